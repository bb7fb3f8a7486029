// Small models through the whole of code generation.
#include "absl/strings/str_cat.h"
#include "compiler/codegen/codegen_testing.h"

namespace glia::compiler {
namespace {

std::string Mlp(int batch) {
  return absl::StrCat(R"(
HloModule mlp
add { a = f32[] parameter(0) b = f32[] parameter(1) ROOT r = f32[] add(a, b) }
max { a = f32[] parameter(0) b = f32[] parameter(1) ROOT r = f32[] maximum(a, b) }
ENTRY main {
  x = f32[)",
                      batch, R"(,784] parameter(0)
  w1 = f32[120,784] parameter(1)
  b1 = f32[120] parameter(2)
  w2 = f32[10,120] parameter(3)
  b2 = f32[10] parameter(4)
  d1 = f32[)",
                      batch, R"(,120] dot(x, w1), lhs_contracting_dims={1}, rhs_contracting_dims={1}
  bb1 = f32[)",
                      batch, R"(,120] broadcast(b1), dimensions={1}
  s1 = f32[)",
                      batch, R"(,120] add(d1, bb1)
  zero = f32[] constant(0)
  zeros = f32[)",
                      batch, R"(,120] broadcast(zero), dimensions={}
  h = f32[)",
                      batch, R"(,120] maximum(s1, zeros)
  d2 = f32[)",
                      batch, R"(,10] dot(h, w2), lhs_contracting_dims={1}, rhs_contracting_dims={1}
  bb2 = f32[)",
                      batch, R"(,10] broadcast(b2), dimensions={1}
  s2 = f32[)",
                      batch, R"(,10] add(d2, bb2)
  scale = f32[] constant(0.01)
  scales = f32[)",
                      batch, R"(,10] broadcast(scale), dimensions={}
  s3 = f32[)",
                      batch, R"(,10] multiply(s2, scales)
  inf = f32[] constant(-inf)
  m = f32[)",
                      batch, R"(] reduce(s3, inf), dimensions={1}, to_apply=max
  mb = f32[)",
                      batch, R"(,10] broadcast(m), dimensions={0}
  c = f32[)",
                      batch, R"(,10] subtract(s3, mb)
  ex = f32[)",
                      batch, R"(,10] exponential(c)
  sum = f32[)",
                      batch, R"(] reduce(ex, zero), dimensions={1}, to_apply=add
  sb = f32[)",
                      batch, R"(,10] broadcast(sum), dimensions={0}
  ROOT p = f32[)",
                      batch, R"(,10] divide(ex, sb)
})");
}

TEST(ModelTest, Mlp) {
  for (int batch : {1, 2, 7, 130}) {
    SCOPED_TRACE(batch);
    GLIA_EXPECT_OK(CheckText(Mlp(batch)));
  }
}

}  // namespace
}  // namespace glia::compiler
