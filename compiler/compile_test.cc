#include "compiler/compile.h"

#include "gtest/gtest.h"
#include "serialization/hlo/text.h"

namespace glia::compiler {
namespace {

std::unique_ptr<hlo::Module> Parse(const std::string& body) {
  auto module = hlo::ParseModule("HloModule affine\nENTRY e {\n" + body + "}\n");
  EXPECT_TRUE(module.ok()) << module.status();
  return *std::move(module);
}

constexpr char kBody[] = R"(
  x = f32[2,3] parameter(0)
  c = f32[3] constant({1, 2, 3})
  b = f32[2,3] broadcast(c), dimensions={1}
  ROOT r = f32[2,3] add(x, b)
)";

TEST(CompileTest, FillsInfoAndStatistics) {
  auto result = Compile(Parse(kBody), Options());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->neff.info["module"], "affine");
  EXPECT_EQ(result->neff.info["compiler_options"], Options().Fingerprint());
  EXPECT_EQ(result->neff.info["hlo_sha256"].size(), 64u);
  EXPECT_FALSE(result->neff.info["compiler_version"].empty());
  EXPECT_EQ(result->statistics.hlo_instructions_before, 4);
  EXPECT_GT(result->statistics.program_instructions, 0);
  EXPECT_FALSE(result->statistics.passes.empty());
}

TEST(CompileTest, EqualModulesGiveEqualNeffs) {
  auto module = Parse(kBody);
  auto a = Compile(*module, Options());
  auto b = Compile(std::move(module), Options());
  ASSERT_TRUE(a.ok() && b.ok());
  auto a_bytes = neff::Write(a->neff);
  auto b_bytes = neff::Write(b->neff);
  ASSERT_TRUE(a_bytes.ok() && b_bytes.ok());
  EXPECT_EQ(*a_bytes, *b_bytes);
}

TEST(CompileTest, SourceHashSeesConstants) {
  auto other = Parse(R"(
  x = f32[2,3] parameter(0)
  c = f32[3] constant({1, 2, 4})
  b = f32[2,3] broadcast(c), dimensions={1}
  ROOT r = f32[2,3] add(x, b)
)");
  EXPECT_NE(SourceHash(*Parse(kBody)), SourceHash(*other));
  EXPECT_EQ(SourceHash(*Parse(kBody)), SourceHash(*Parse(kBody)));
}

TEST(CompileTest, InvalidAndUnsupportedModulesAreErrors) {
  auto invalid = Parse(kBody);
  invalid->entry()->root()->shape.dims = {9};
  EXPECT_EQ(Compile(*invalid, Options()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Compile(std::unique_ptr<hlo::Module>(), Options()).status().code(),
            absl::StatusCode::kInvalidArgument);
  auto unsupported = Parse(
      "x = f32[] parameter(0)\n ROOT c = f32[] custom-call(x), custom_call_target=\"what\"\n");
  const auto status = Compile(*unsupported, Options()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(std::string(status.message()).find("custom-call"), std::string::npos) << status;
}

}  // namespace
}  // namespace glia::compiler
