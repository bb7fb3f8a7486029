#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

// Heads of several sequences: the merge of [batch, head] goes behind the dot.
TEST(SplitDotBatchesTest, MergesBehindTheDot) {
  auto module = ParseOrDie(Entry(R"(
  q = f32[2,5,3,4] parameter(0)
  k = f32[2,6,3,4] parameter(1)
  qt = f32[2,3,5,4] transpose(q), dimensions={0,2,1,3}
  kt = f32[2,3,4,6] transpose(k), dimensions={0,2,3,1}
  qm = f32[6,5,4] reshape(qt)
  km = f32[6,4,6] reshape(kt)
  ROOT s = f32[6,5,6] dot(qm, km), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}, rhs_contracting_dims={1})"));
  EXPECT_TRUE(RunAndCheck(SplitDotBatches, module.get(), 1e-6));
  EXPECT_EQ(Expression(*module), "reshape(dot(transpose(p0), transpose(p1)))");
  EXPECT_FALSE(RunAndCheck(SplitDotBatches, module.get(), 1e-6));
}

TEST(SplitDotBatchesTest, OtherOperandIsSplit) {
  auto module = ParseOrDie(Entry(R"(
  p = f32[6,5,7] parameter(0)
  v = f32[2,7,3,4] parameter(1)
  vt = f32[2,3,7,4] transpose(v), dimensions={0,2,1,3}
  vm = f32[6,7,4] reshape(vt)
  ROOT o = f32[6,5,4] dot(p, vm), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}, rhs_contracting_dims={1})"));
  EXPECT_TRUE(RunAndCheck(SplitDotBatches, module.get(), 1e-6));
  EXPECT_EQ(Expression(*module), "reshape(dot(reshape(p0), transpose(p1)))");
}

TEST(SplitDotBatchesTest, LeavesWhatIsNoMergeOfBatches) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[6,5,4] parameter(0)
  y = f32[2,4,3,7] parameter(1)
  z = f32[4,2,3,7] transpose(y), dimensions={1,0,2,3}
  w = f32[6,4,7] reshape(z)
  ROOT o = f32[6,5,7] dot(x, w), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}, rhs_contracting_dims={1})"));
  EXPECT_FALSE(RunAndCheck(SplitDotBatches, module.get(), 1e-6));
}

}  // namespace
}  // namespace glia::compiler
