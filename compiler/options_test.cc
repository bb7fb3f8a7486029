#include "compiler/options.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

TEST(OptionsTest, NeuronxCommandLine) {
  Options options;
  ASSERT_TRUE(
      options
          .ParseFlags(
              "--framework XLA --target inf2 --model-type=transformer -O1 --auto-cast matmult "
              "--auto-cast-type fp16 --enable-fast-context-switch --output 'my model.neff'")
          .ok());
  EXPECT_EQ(options.target, "inf2");
  EXPECT_EQ(options.model_type, "transformer");
  EXPECT_EQ(options.optlevel, 1);
  EXPECT_EQ(options.auto_cast, AutoCast::kMatmult);
  EXPECT_EQ(options.auto_cast_type, AutoCastType::kFp16);
  EXPECT_EQ(options.output, "my model.neff");
  EXPECT_EQ(options.codegen().optlevel, 1);
}

TEST(OptionsTest, Defaults) {
  const Options options;
  EXPECT_EQ(options.auto_cast, AutoCast::kMatmult);
  EXPECT_EQ(
      options.Fingerprint(),
      "--target=trn1 --model-type=generic --auto-cast=matmult --auto-cast-type=bf16 --optlevel=2 "
      "--glia-sbuf-bytes=196608");
}

TEST(OptionsTest, FingerprintIgnoresWhereOutputGoes) {
  Options a, b;
  ASSERT_TRUE(a.Parse({"--output=x", "--dump", "/tmp/d", "--verbose", "debug", "-O", "2"}).ok());
  EXPECT_EQ(a.Fingerprint(), b.Fingerprint());
  ASSERT_TRUE(b.Parse({"--auto-cast=all"}).ok());
  EXPECT_NE(a.Fingerprint(), b.Fingerprint());
}

struct BadCase {
  const char* flags;
  absl::StatusCode code;
  const char* message;  // part of it
};

TEST(OptionsTest, ErrorsNameOptionAndRemedy) {
  const BadCase cases[] = {
      {"--no-such-thing", absl::StatusCode::kInvalidArgument,
       "unknown compiler option \"--no-such-thing\""},
      {"model.hlo", absl::StatusCode::kInvalidArgument, "unknown compiler option \"model.hlo\""},
      {"--optlevel", absl::StatusCode::kInvalidArgument, "--optlevel needs a value: 1|2|3"},
      {"--optlevel=4", absl::StatusCode::kInvalidArgument,
       "--optlevel \"4\": must be one of 1, 2, 3"},
      {"-O9", absl::StatusCode::kInvalidArgument, "--optlevel \"9\""},
      {"--auto-cast maybe", absl::StatusCode::kInvalidArgument, "one of none, matmult, all"},
      {"--framework TF", absl::StatusCode::kInvalidArgument, "--framework \"TF\""},
      {"--target trn2", absl::StatusCode::kUnimplemented, "use trn1 or inf2"},
      {"--auto-cast-type tf32", absl::StatusCode::kUnimplemented, "use bf16 or fp16"},
      {"--output=", absl::StatusCode::kInvalidArgument, "must be a value"},
      {"--glia-verify-passes=1", absl::StatusCode::kInvalidArgument, "takes no value"},
      {"--glia-sbuf-bytes 5", absl::StatusCode::kInvalidArgument, "must be 1024 to 196608"},
      {"--output 'x", absl::StatusCode::kInvalidArgument, "unclosed '"},
  };
  for (const BadCase& c : cases) {
    Options options;
    const absl::Status status = options.ParseFlags(c.flags);
    EXPECT_EQ(status.code(), c.code) << c.flags;
    EXPECT_NE(std::string(status.message()).find(c.message), std::string::npos) << status;
    EXPECT_EQ(options.Fingerprint(), Options().Fingerprint());
  }
}

TEST(OptionsTest, Environment) {
  setenv("NEURON_CC_FLAGS", " --auto-cast all\t--cache_dir=/c ", 1);
  auto options = Options::FromEnvironment();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->auto_cast, AutoCast::kAll);
  EXPECT_EQ(options->cache_dir, "/c");
  setenv("NEURON_CC_FLAGS", "--bad", 1);
  EXPECT_EQ(std::string(Options::FromEnvironment().status().message()).find("NEURON_CC_FLAGS: "),
            0u);
  unsetenv("NEURON_CC_FLAGS");
  EXPECT_TRUE(Options::FromEnvironment().ok());
}

}  // namespace
}  // namespace glia::compiler
