#include "compiler/passes/pass_pipeline.h"

#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

constexpr char kMlp[] = R"(HloModule mlp
ENTRY e {
  x = f32[2,4] parameter(0)
  w = f32[3,4] constant({ {1, 2, 3, 4}, {5, 6, 7, 8}, {-1, 1, -1, 1} })
  t = f32[4,3] transpose(w), dimensions={1,0}
  d = f32[2,3] dot(x, t), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  b = f32[3] constant({1, 2, 3})
  bb = f32[2,3] broadcast(b), dimensions={1}
  a = f32[2,3] add(d, bb)
  zero = f32[] constant(0)
  z = f32[2,3] broadcast(zero), dimensions={}
  dead = f32[2,3] negate(a)
  ROOT r = f32[2,3] maximum(a, z)
})";

PipelineOptions Checked() {
  PipelineOptions options;
  options.verify_each_pass = true;
  return options;
}

TEST(PassPipelineTest, KeepsResultsAndReportsStatistics) {
  auto module = ParseOrDie(kMlp);
  auto original = module->Clone();
  auto statistics = RunPasses(module.get(), Checked());
  ASSERT_TRUE(statistics.ok()) << statistics.status();
  ExpectSameResults(*original, *module, 1e-6);
  EXPECT_EQ(Count(*module, hlo::Opcode::kTranspose), 0);
  EXPECT_EQ(Count(*module, hlo::Opcode::kNegate), 0);
  EXPECT_EQ((*statistics)[0].pass, "canonicalize-layout");
  EXPECT_EQ((*statistics)[0].runs, 1);
  // A second run finds nothing to do.
  auto again = RunPasses(module.get(), Checked());
  ASSERT_TRUE(again.ok());
  for (const PassStatistics& row : *again) EXPECT_EQ(row.changes, 0) << row.pass;
}

TEST(PassPipelineTest, DumpsBeforeAndAfter) {
  const std::string directory = testing::TempDir() + "/a/b";
  auto module = ParseOrDie(kMlp);
  PipelineOptions options = Checked();
  options.dump_dir = directory;
  ASSERT_TRUE(RunPasses(module.get(), options).ok());
  std::ifstream file(directory + "/0001.before.canonicalize-layout.txt");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_NE(text.str().find("negate"), std::string::npos);
  EXPECT_TRUE(std::ifstream(directory + "/0005.after.fold-constants.txt").good());
  EXPECT_FALSE(std::ifstream(directory + "/0001.after.canonicalize-layout.txt").good());
}

TEST(PassPipelineTest, AnUnusableDumpDirectoryIsAnError) {
  const std::string file = testing::TempDir() + "/file";
  std::ofstream(file) << "x";
  auto module = ParseOrDie(kMlp);
  PipelineOptions options;
  options.dump_dir = file + "/sub";
  EXPECT_EQ(RunPasses(module.get(), options).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(PassPipelineTest, ABreakingPassIsNamed) {
  const PassFn breaks = [](hlo::Module* module) -> absl::StatusOr<bool> {
    module->entry()->root()->shape.dims.push_back(7);
    return true;
  };
  auto module = ParseOrDie(kMlp);
  const auto result = RunPasses(module.get(), {{{{"breaks", breaks}}, false}}, Checked());
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInternal);
  EXPECT_NE(std::string(result.status().message()).find("pass breaks"), std::string::npos);
}

}  // namespace
}  // namespace glia::compiler
