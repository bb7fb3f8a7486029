// Products with the element-wise work that follows them.
#include <array>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "compiler/codegen/codegen_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

// A linear layer of k features to n for m rows: `y` is [1, m, n], then `tail`.
std::string Linear(int m, int k, int n, const std::string& tail) {
  const std::string text = R"(HloModule linear
ENTRY main {
  x = f32[$M,$K] parameter(0)
  w = f32[$K,$N] parameter(1)
  b = f32[$N] parameter(2)
  r = f32[$M,$N] parameter(3)
  d = f32[$M,$N] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  e = f32[1,$M,$N] reshape(d)
  bb = f32[1,$M,$N] broadcast(b), dimensions={2}
  rr = f32[1,$M,$N] reshape(r)
  y = f32[1,$M,$N] add(e, bb)
  half = f32[] constant(0.5)
  one = f32[] constant(1)
  root2 = f32[] constant(0.70710677)
  zero = f32[] constant(0)
  halves = f32[1,$M,$N] broadcast(half), dimensions={}
  ones = f32[1,$M,$N] broadcast(one), dimensions={}
  zeros = f32[1,$M,$N] broadcast(zero), dimensions={}
  roots = f32[1,$M,$N] broadcast(root2), dimensions={}
})";
  std::string all = text;
  all.insert(all.rfind('}'), tail + "\n");
  return absl::StrReplaceAll(
      all, {{"$M", absl::StrCat(m)}, {"$K", absl::StrCat(k)}, {"$N", absl::StrCat(n)}});
}

constexpr char kGelu[] = R"(  s = f32[1,$M,$N] multiply(y, roots)
  f = f32[1,$M,$N] erf(s)
  g = f32[1,$M,$N] add(f, ones)
  h = f32[1,$M,$N] multiply(halves, g)
  ROOT z = f32[1,$M,$N] multiply(y, h))";
constexpr char kRelu[] = "  ROOT z = f32[1,$M,$N] maximum(y, zeros)";
constexpr char kResidual[] = "  ROOT z = f32[1,$M,$N] add(y, rr)";
constexpr char kSilu[] = R"(  s = f32[1,$M,$N] logistic(y)
  ROOT z = f32[1,$M,$N] multiply(y, s))";
// The product itself is read, too, and a part of the group.
constexpr char kMany[] = R"(  t = f32[1,$M,$N] tanh(y)
  z = f32[1,$M,$N] floor(t)
  q = f32[1,$M,$N] multiply(e, e)
  ROOT all = (f32[1,$M,$N], f32[1,$M,$N], f32[$M,$N], f32[1,$M,$N]) tuple(z, t, d, q))";

TEST(EpilogueTest, FollowsTheProduct) {
  for (const char* tail : {kGelu, kRelu, kResidual, kSilu, kMany}) {
    for (const auto& [m, k, n] : std::vector<std::array<int, 3>>{
             {1, 1, 1}, {5, 7, 3}, {128, 256, 512}, {130, 129, 513}, {1, 300, 70}}) {
      GLIA_EXPECT_OK(CheckText(Linear(m, k, n, tail), 1, {2e-4, 1e-4}));
    }
  }
}

// Heads of 64 features, softmax and all: results stay in SBUF between the products.
TEST(EpilogueTest, AttentionStaysOnChip) {
  const std::string text = R"(HloModule attention
max { a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT c = f32[] maximum(a, b) }
add { a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT c = f32[] add(a, b) }
ENTRY main {
  x = f32[$T,128] parameter(0)
  wq = f32[128,128] parameter(1)
  wk = f32[128,128] parameter(2)
  wv = f32[128,128] parameter(3)
  q = f32[$T,128] dot(x, wq), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  k = f32[$T,128] dot(x, wk), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  v = f32[$T,128] dot(x, wv), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  q3 = f32[$T,2,64] reshape(q)
  k3 = f32[$T,2,64] reshape(k)
  v3 = f32[$T,2,64] reshape(v)
  qt = f32[2,$T,64] transpose(q3), dimensions={1,0,2}
  kt = f32[2,64,$T] transpose(k3), dimensions={1,2,0}
  vt = f32[2,$T,64] transpose(v3), dimensions={1,0,2}
  s = f32[2,$T,$T] dot(qt, kt), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}, rhs_contracting_dims={1}
  c = f32[] constant(0.0003)
  cs = f32[2,$T,$T] broadcast(c), dimensions={}
  sc = f32[2,$T,$T] multiply(s, cs)
  inf = f32[] constant(-inf)
  m = f32[2,$T] reduce(sc, inf), dimensions={2}, to_apply=max
  mb = f32[2,$T,$T] broadcast(m), dimensions={0,1}
  d = f32[2,$T,$T] subtract(sc, mb)
  e = f32[2,$T,$T] exponential(d)
  zero = f32[] constant(0)
  n = f32[2,$T] reduce(e, zero), dimensions={2}, to_apply=add
  nb = f32[2,$T,$T] broadcast(n), dimensions={0,1}
  p = f32[2,$T,$T] divide(e, nb)
  o = f32[2,$T,64] dot(p, vt), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}, rhs_contracting_dims={1}
  ot = f32[$T,2,64] transpose(o), dimensions={1,0,2}
  ROOT r = f32[$T,128] reshape(ot)
})";
  for (const char* t : {"128", "32", "77", "200"}) {
    const std::string sized = absl::StrReplaceAll(text, {{"$T", t}});
    GLIA_EXPECT_OK(CheckText(sized, 1, {1e-3, 1e-3}));
    CodegenOptions options;
    options.auto_cast = AutoCast::kMatmult;
    GLIA_EXPECT_OK(CheckText(sized, 1, {0.5, 0.05}, options));
  }
}

// Numbers on a coarse grid, as the text of a constant [rows, columns].
std::string Weights(int rows, int columns, int seed) {
  std::vector<std::string> lines;
  for (int r = 0; r < rows; ++r) {
    std::vector<std::string> row;
    for (int c = 0; c < columns; ++c)
      row.push_back(absl::StrCat(((r * 31 + c * 17 + seed) % 33 - 16) / 32.0));
    lines.push_back(absl::StrCat("{", absl::StrJoin(row, ","), "}"));
  }
  return absl::StrCat("f32[", rows, ",", columns, "] constant({", absl::StrJoin(lines, ","), "})");
}

// Two layers with weights known to the compiler: they are packed, and what lies between the
// products has its features on the partitions.
TEST(EpilogueTest, PacksConstantWeights) {
  for (const auto& [m, k, f] :
       std::vector<std::array<int, 3>>{{128, 256, 640}, {3, 130, 70}, {200, 100, 384}}) {
    const std::string text = absl::StrReplaceAll(
        R"(HloModule layers
ENTRY main {
  x = f32[$M,$K] parameter(0)
  b = f32[$F] parameter(1)
  w = $W
  v = $V
  d = f32[$M,$F] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  bb = f32[$M,$F] broadcast(b), dimensions={1}
  y = f32[$M,$F] add(d, bb)
  t = f32[$M,$F] tanh(y)
  ROOT r = f32[$M,$K] dot(t, v), lhs_contracting_dims={1}, rhs_contracting_dims={1}
})",
        {{"$M", absl::StrCat(m)},
         {"$K", absl::StrCat(k)},
         {"$F", absl::StrCat(f)},
         {"$W", Weights(k, f, 1)},
         {"$V", Weights(k, f, 2)}});
    GLIA_EXPECT_OK(CheckText(text, 1, {1e-3, 1e-3}));
    CodegenOptions options;
    options.auto_cast = AutoCast::kMatmult;
    GLIA_EXPECT_OK(CheckText(text, 1, {0.3, 0.05}, options));
    options.auto_cast_type = AutoCastType::kFp16;
    GLIA_EXPECT_OK(CheckText(text, 1, {0.1, 0.02}, options));
  }
}

}  // namespace
}  // namespace glia::compiler
