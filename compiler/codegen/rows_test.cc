// Groups that reduce rows and read the results back: softmax, normalisations, by themselves and
// behind products.
#include <array>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "compiler/codegen/codegen_testing.h"
#include "gtest/gtest.h"
#include "serialization/hlo/text.h"

namespace glia::compiler {
namespace {

constexpr char kReducers[] = R"(HloModule rows
max { a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT c = f32[] maximum(a, b) }
add { a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT c = f32[] add(a, b) }
)";

// `body` with $D (all dims), $R (without the last), $L (the dims of $R, as a list) and $N put in.
std::string Sized(const std::string& body, const std::vector<int>& dims) {
  std::string rows, list;
  for (size_t d = 0; d + 1 < dims.size(); ++d) {
    absl::StrAppend(&rows, d == 0 ? "" : ",", dims[d]);
    absl::StrAppend(&list, d == 0 ? "" : ",", d);
  }
  return absl::StrReplaceAll(absl::StrCat(kReducers, body),
                             {{"$D", absl::StrCat(rows, ",", dims.back())},
                              {"$R", rows},
                              {"$L", list},
                              {"$K", absl::StrCat(dims.size() - 1)},
                              {"$N", absl::StrCat(dims.back())}});
}

constexpr char kSoftmax[] = R"(
  inf = f32[] constant(-inf)
  zero = f32[] constant(0)
  m = f32[$R] reduce(x, inf), dimensions={$K}, to_apply=max
  mb = f32[$D] broadcast(m), dimensions={$L}
  d = f32[$D] subtract(x, mb)
  e = f32[$D] exponential(d)
  s = f32[$R] reduce(e, zero), dimensions={$K}, to_apply=add
  sb = f32[$D] broadcast(s), dimensions={$L}
)";
// The mean and the variance keep a dim of size 1 for a while.
constexpr char kNormalized[] = R"(
  zero = f32[] constant(0)
  n = f32[] constant($N)
  eps = f32[] constant(0.001)
  ns = f32[$R,1] broadcast(n), dimensions={}
  epss = f32[$R,1] broadcast(eps), dimensions={}
  s = f32[$R] reduce(x, zero), dimensions={$K}, to_apply=add
  s1 = f32[$R,1] reshape(s)
  m1 = f32[$R,1] divide(s1, ns)
  m = f32[$R] reshape(m1)
  mb = f32[$D] broadcast(m), dimensions={$L}
  d = f32[$D] subtract(x, mb)
  dd = f32[$D] multiply(d, d)
  v = f32[$R] reduce(dd, zero), dimensions={$K}, to_apply=add
  v1 = f32[$R,1] reshape(v)
  vn = f32[$R,1] divide(v1, ns)
  ve = f32[$R,1] add(vn, epss)
  r1 = f32[$R,1] rsqrt(ve)
  r = f32[$R] reshape(r1)
  rb = f32[$D] broadcast(r), dimensions={$L}
  h = f32[$D] multiply(d, rb)
)";

const std::vector<int> kShapes[] = {{16, 2},    {300, 70},      {3, 5, 40},     {2, 12, 130, 33},
                                    {20, 4096}, {1, 4, 9, 513}, {128, 5000},    {7, 64},
                                    {129, 128}, {4, 1, 128, 5}, {2, 3, 1, 5, 6}};

TEST(RowsTest, Softmax) {
  for (const std::vector<int>& dims : kShapes) {
    GLIA_EXPECT_OK(CheckText(Sized(absl::StrCat("ENTRY main { x = f32[$D] parameter(0)", kSoftmax,
                                                "ROOT p = f32[$D] divide(e, sb) }"),
                                   dims),
                             1, {1e-5, 1e-4}));
  }
}

// A logarithm among the numbers of rows; the largest and the sum are results as well.
TEST(RowsTest, LogSoftmaxWithItsSums) {
  for (const std::vector<int>& dims : kShapes) {
    GLIA_EXPECT_OK(
        CheckText(Sized(absl::StrCat("ENTRY main { x = f32[$D] parameter(0)", kSoftmax, R"(
  l = f32[$R] log(s)
  lb = f32[$D] broadcast(l), dimensions={$L}
  y = f32[$D] subtract(d, lb)
  all = f32[$R] add(l, m)
  ROOT t = (f32[$D], f32[$R], f32[$R], f32[$R]) tuple(y, m, all, s) })"),
                        dims),
                  1, {1e-4, 1e-4}));
  }
}

TEST(RowsTest, LayerNorm) {
  for (const std::vector<int>& dims : kShapes) {
    GLIA_EXPECT_OK(
        CheckText(Sized(absl::StrCat("ENTRY main { x = f32[$D] parameter(0)", kNormalized, R"(
  g = f32[$N] parameter(1)
  b = f32[$N] parameter(2)
  gb = f32[$D] broadcast(g), dimensions={$K}
  bb = f32[$D] broadcast(b), dimensions={$K}
  hg = f32[$D] multiply(h, gb)
  ROOT y = f32[$D] add(hg, bb) })"),
                        dims),
                  1, {1e-4, 1e-4}));
  }
}

// x / sqrt(mean(x^2)), with the reduced dim kept as 1 by the broadcast, and the mean a result.
TEST(RowsTest, RmsNorm) {
  for (const std::vector<int>& dims : kShapes) {
    GLIA_EXPECT_OK(CheckText(Sized(R"(ENTRY main {
  x = f32[$D] parameter(0)
  zero = f32[] constant(0)
  n = f32[] constant(0.01)
  xx = f32[$D] multiply(x, x)
  s = f32[$R] reduce(xx, zero), dimensions={$K}, to_apply=add
  s1 = f32[$R,1] broadcast(s), dimensions={$L}
  ns = f32[$R,1] broadcast(n), dimensions={}
  m = f32[$R,1] multiply(ns, s1)
  r = f32[$R,1] rsqrt(m)
  q = f32[$R] reshape(r)
  rb = f32[$D] broadcast(q), dimensions={$L}
  y = f32[$D] multiply(rb, x)
  z = f32[$D] divide(y, rb)
  w = f32[$D] subtract(rb, z)
  ROOT t = (f32[$D], f32[$D], f32[$R,1]) tuple(y, w, m) })",
                                   dims),
                             1, {1e-4, 1e-4}));
  }
}

// The way back from the sum leads through a product: no group may hold both ends.
TEST(RowsTest, GroupsAreConvex) {
  GLIA_EXPECT_OK(CheckText(absl::StrCat(kReducers, R"(ENTRY main {
  x = f32[40,24] parameter(0)
  w = f32[24,24] parameter(1)
  inf = f32[] constant(-inf)
  zero = f32[] constant(0)
  m = f32[40] reduce(x, inf), dimensions={1}, to_apply=max
  mb = f32[40,24] broadcast(m), dimensions={0}
  e = f32[40,24] subtract(x, mb)
  y = f32[40,24] dot(e, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  s = f32[40] reduce(y, zero), dimensions={1}, to_apply=add
  sb = f32[40,24] broadcast(s), dimensions={0}
  z = f32[40,24] multiply(e, sb)
  n = f32[40] add(m, s)
  nb = f32[40,24] broadcast(n), dimensions={0}
  ROOT r = f32[40,24] add(z, nb) })"),
                           1, {1e-4, 1e-4}));
}

// Numbers of one group's rows meet those of another's.
TEST(RowsTest, NumbersOfOtherGroups) {
  for (const std::vector<int>& dims : kShapes) {
    GLIA_EXPECT_OK(CheckText(Sized(R"(ENTRY main {
  x = f32[$D] parameter(0)
  inf = f32[] constant(-inf)
  zero = f32[] constant(0)
  tenth = f32[] constant(0.125)
  tenths = f32[$R] broadcast(tenth), dimensions={}
  m = f32[$R] reduce(x, inf), dimensions={$K}, to_apply=max
  mb = f32[$D] broadcast(m), dimensions={$L}
  e = f32[$D] subtract(x, mb)
  r = f32[$D] reverse(e), dimensions={$K}
  s = f32[$R] reduce(r, zero), dimensions={$K}, to_apply=add
  st = f32[$R] multiply(s, tenths)
  n = f32[$R] add(m, st)
  nb = f32[$D] broadcast(n), dimensions={$L}
  ROOT z = f32[$D] multiply(r, nb) })",
                                   dims),
                             1, {1e-4, 1e-4}));
  }
}

// A linear layer of k features, then the residual and the norm; or the norm of the product itself.
TEST(RowsTest, NormBehindAProduct) {
  for (const bool residual : {true, false}) {
    for (const std::vector<int>& dims :
         std::vector<std::vector<int>>{{128, 768}, {130, 40}, {17, 1, 600}, {2, 100, 96}}) {
      int m = 1;
      for (size_t d = 0; d + 1 < dims.size(); ++d) m *= dims[d];
      const std::string text = Sized(absl::StrCat(R"(ENTRY main {
  a = f32[$M,70] parameter(0)
  w = f32[70,$N] parameter(1)
  b = f32[$N] parameter(2)
  old = f32[$D] parameter(3)
  p = f32[$M,$N] dot(a, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
)",
                                                  residual ? R"(
  p3 = f32[$D] reshape(p)
  bb = f32[$D] broadcast(b), dimensions={$K}
  pb = f32[$D] add(p3, bb)
  x = f32[$D] add(pb, old)
)"
                                                           : "x = f32[$D] reshape(p)",
                                                  kNormalized, R"(
  bb2 = f32[$D] broadcast(b), dimensions={$K}
  y = f32[$D] multiply(h, bb2)
  ROOT t = (f32[$D], f32[$D]) tuple(y, x) })"),
                                     dims);
      const std::string sized = absl::StrReplaceAll(text, {{"$M", absl::StrCat(m)}});
      GLIA_EXPECT_OK(CheckText(sized, 1, {1e-3, 1e-3}));
      CodegenOptions options;
      options.auto_cast = AutoCast::kMatmult;
      GLIA_EXPECT_OK(CheckText(sized, 1, {1e-2, 1e-2}, options));
    }
  }
}

// Attention of $B sequences of $T tokens, $H heads of $E features, with a mask.
std::string Attention(int b, int t, int h, int e) {
  const std::string text = absl::StrCat(kReducers, R"(ENTRY main {
  a = f32[$T2,$F] parameter(0)
  wq = f32[$F,$F] parameter(1)
  wk = f32[$F,$F] parameter(2)
  wv = f32[$F,$F] parameter(3)
  wo = f32[$F,$F] parameter(4)
  mask = f32[$B,$T] parameter(5)
  q = f32[$T2,$F] dot(a, wq), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  k = f32[$T2,$F] dot(a, wk), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  v = f32[$T2,$F] dot(a, wv), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  q4 = f32[$B,$T,$H,$E] reshape(q)
  k4 = f32[$B,$T,$H,$E] reshape(k)
  v4 = f32[$B,$T,$H,$E] reshape(v)
  qt = f32[$B,$H,$T,$E] transpose(q4), dimensions={0,2,1,3}
  kt = f32[$B,$H,$E,$T] transpose(k4), dimensions={0,2,3,1}
  vt = f32[$B,$H,$T,$E] transpose(v4), dimensions={0,2,1,3}
  s = f32[$B,$H,$T,$T] dot(qt, kt), lhs_batch_dims={0,1}, lhs_contracting_dims={3}, rhs_batch_dims={0,1}, rhs_contracting_dims={2}
  c = f32[] constant(0.001)
  cs = f32[$B,$H,$T,$T] broadcast(c), dimensions={}
  sc = f32[$B,$H,$T,$T] multiply(s, cs)
  mk = f32[$B,$H,$T,$T] broadcast(mask), dimensions={0,3}
  x = f32[$B,$H,$T,$T] add(sc, mk)
  inf = f32[] constant(-inf)
  zero = f32[] constant(0)
  m = f32[$B,$H,$T] reduce(x, inf), dimensions={3}, to_apply=max
  mb = f32[$B,$H,$T,$T] broadcast(m), dimensions={0,1,2}
  d = f32[$B,$H,$T,$T] subtract(x, mb)
  ex = f32[$B,$H,$T,$T] exponential(d)
  n = f32[$B,$H,$T] reduce(ex, zero), dimensions={3}, to_apply=add
  nb = f32[$B,$H,$T,$T] broadcast(n), dimensions={0,1,2}
  p = f32[$B,$H,$T,$T] divide(ex, nb)
  o = f32[$B,$H,$T,$E] dot(p, vt), lhs_batch_dims={0,1}, lhs_contracting_dims={3}, rhs_batch_dims={0,1}, rhs_contracting_dims={2}
  ot = f32[$B,$T,$H,$E] transpose(o), dimensions={0,2,1,3}
  o2 = f32[$T2,$F] reshape(ot)
  ROOT r = f32[$T2,$F] dot(o2, wo), lhs_contracting_dims={1}, rhs_contracting_dims={0}
})");
  return absl::StrReplaceAll(text, {{"$T2", absl::StrCat(b * t)},
                                    {"$B", absl::StrCat(b)},
                                    {"$T", absl::StrCat(t)},
                                    {"$H", absl::StrCat(h)},
                                    {"$E", absl::StrCat(e)},
                                    {"$F", absl::StrCat(h * e)}});
}

TEST(RowsTest, AttentionOfSeveralSequences) {
  for (const auto& [b, t, h, e] : std::vector<std::array<int, 4>>{
           {2, 128, 4, 64}, {3, 33, 2, 64}, {2, 197, 3, 64}, {1, 128, 12, 32}, {2, 40, 5, 24}}) {
    const std::string text = Attention(b, t, h, e);
    GLIA_EXPECT_OK(CheckText(text, 1, {0.02, 1e-3}));
    CodegenOptions options;
    options.auto_cast = AutoCast::kMatmult;
    // Results are some hundreds large, after four products of rounded operands.
    GLIA_EXPECT_OK(CheckText(text, 1, {16, 0.05}, options));
  }
}

// Nothing but inputs and the result crosses HBM, in rows of a head's features at least.
TEST(RowsTest, AttentionStaysInSbuf) {
  CodegenOptions options;
  options.auto_cast = AutoCast::kMatmult;
  for (const int b : {1, 2}) {
    auto module = hlo::ParseModule(Attention(b, 128, 4, 64));
    ASSERT_TRUE(module.ok()) << module.status().message();
    const auto neff = Generate(**module, options);
    ASSERT_TRUE(neff.ok()) << neff.status().message();
    for (const isa::DmaDescriptor& dma : neff->program.dmas) {
      for (const uint32_t var : {dma.src_var, dma.dst_var}) {
        EXPECT_NE(neff->program.variables[var].kind, isa::VariableKind::kTmpBuf)
            << neff->program.variables[var].name;
      }
    }
  }
}

}  // namespace
}  // namespace glia::compiler
