#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

struct Case {
  const char* lhs;
  const char* rhs;
  const char* result;
  const char* dims;
  const char* expression;
};

const Case kCases[] = {
    {"f32[2,3]", "f32[3,4]", "f32[2,4]", "lhs_contracting_dims={1}, rhs_contracting_dims={0}",
     "dot(p0, p1)"},
    {"f32[3,2]", "f32[4,3]", "f32[2,4]", "lhs_contracting_dims={0}, rhs_contracting_dims={1}",
     "dot(p0, p1)"},
    {"f32[3]", "f32[3]", "f32[]", "lhs_contracting_dims={0}, rhs_contracting_dims={0}",
     "reshape(dot(reshape(p0), reshape(p1)))"},
    {"f32[2,5,3]", "f32[3,4]", "f32[2,5,4]", "lhs_contracting_dims={2}, rhs_contracting_dims={0}",
     "reshape(dot(reshape(p0), p1))"},
    {"f32[2,5,3]", "f32[2,3,4]", "f32[2,5,4]",
     "lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}, rhs_contracting_dims={1}",
     "dot(p0, p1)"},
    // Attention: [batch, sequence, heads, depth] on both sides.
    {"f32[2,5,3,4]", "f32[2,6,3,4]", "f32[2,3,5,6]",
     "lhs_batch_dims={0,2}, lhs_contracting_dims={3}, rhs_batch_dims={0,2}, "
     "rhs_contracting_dims={3}",
     "reshape(dot(reshape(transpose(p0)), reshape(transpose(p1))))"},
    {"f32[2,3,5,4]", "f32[2,3,6,4]", "f32[2,3,5,6]",
     "lhs_batch_dims={0,1}, lhs_contracting_dims={3}, rhs_batch_dims={0,1}, "
     "rhs_contracting_dims={3}",
     "reshape(dot(reshape(p0), reshape(p1)))"},
    // Two contracting dims in another order.
    {"f32[2,3,4]", "f32[4,3,5]", "f32[2,5]",
     "lhs_contracting_dims={1,2}, rhs_contracting_dims={1,0}",
     "dot(reshape(transpose(p0)), reshape(p1))"},
    // Free dims on both sides of the contracting one.
    {"f32[2,3,4]", "f32[3,5]", "f32[2,4,5]", "lhs_contracting_dims={1}, rhs_contracting_dims={0}",
     "reshape(dot(reshape(transpose(p0)), p1))"},
    {"f32[2]", "f32[3]", "f32[2,3]", "", "dot(reshape(p0), reshape(p1))"},
    {"f32[1,5,3]", "f32[1,3,4]", "f32[1,5,4]",
     "lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}, rhs_contracting_dims={1}",
     "reshape(dot(reshape(p0), reshape(p1)))"},
    {"f32[2,0]", "f32[0,3]", "f32[2,3]", "lhs_contracting_dims={1}, rhs_contracting_dims={0}",
     "broadcast(constant)"},
};

TEST(CanonicalizeDotsTest, Forms) {
  for (const Case& c : kCases) {
    const std::string comma = c.dims[0] == 0 ? "" : ", ";
    auto module =
        ParseOrDie(Entry(std::string("x = ") + c.lhs + " parameter(0)\n y = " + c.rhs +
                         " parameter(1)\n ROOT d = " + c.result + " dot(x, y)" + comma + c.dims));
    SCOPED_TRACE(std::string(c.lhs) + " " + c.rhs);
    RunAndCheck(CanonicalizeDots, module.get(), 1e-6);
    EXPECT_EQ(Expression(*module), c.expression);
    EXPECT_FALSE(RunAndCheck(CanonicalizeDots, module.get(), 1e-6));
  }
}

TEST(CanonicalizeDotsTest, TransposesBecomePartOfTheDims) {
  auto batched = ParseOrDie(Entry(R"(
  x = f32[4,3,2] parameter(0)
  y = f32[4,5,3] parameter(1)
  t = f32[4,2,3] transpose(x), dimensions={0,2,1}
  u = f32[4,3,5] transpose(y), dimensions={0,2,1}
  ROOT d = f32[4,2,5] dot(t, u), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}, rhs_contracting_dims={1})"));
  EXPECT_TRUE(RunAndCheck(CanonicalizeDots, batched.get(), 1e-6));
  EXPECT_EQ(Expression(*batched), "dot(p0, p1)");
  EXPECT_FALSE(RunAndCheck(CanonicalizeDots, batched.get(), 1e-6));
}

}  // namespace
}  // namespace glia::compiler
