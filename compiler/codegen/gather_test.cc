#include "absl/strings/str_cat.h"
#include "compiler/codegen/codegen_testing.h"
#include "serialization/hlo/text.h"

namespace glia::compiler {
namespace {

// Computations that the cases call, then instructions of the entry.
constexpr char kComputations[] = R"(
add { a = f32[] parameter(0) b = f32[] parameter(1)
  ROOT r = f32[] add(a, b) }
add32 { a = s32[] parameter(0) b = s32[] parameter(1)
  ROOT r = s32[] add(a, b) }
largest { a = f32[] parameter(0) b = f32[] parameter(1)
  ROOT r = f32[] maximum(b, a) }
smallest { a = bf16[] parameter(0) b = bf16[] parameter(1)
  ROOT r = bf16[] minimum(b, a) }
product { a = s64[] parameter(0) b = s64[] parameter(1)
  ROOT r = s64[] multiply(b, a) }
either { a = pred[] parameter(0) b = pred[] parameter(1)
  ROOT r = pred[] or(b, a) }
assign { a = f32[] parameter(0)
  ROOT b = f32[] parameter(1) }
mix { a = f32[] parameter(0) b = f32[] parameter(1) h = f32[] constant(0.5)
  c = f32[] multiply(a, h)
  ROOT r = f32[] subtract(c, b) }
two { a = f32[] parameter(0) i = s64[] parameter(1) b = f32[] parameter(2) j = s64[] parameter(3)
  s = f32[] add(a, b)
  ROOT t = (f32[], s64[]) tuple(s, j) }
argmax { a = f32[] parameter(0) i = s32[] parameter(1) b = f32[] parameter(2) j = s32[] parameter(3)
  g = pred[] compare(b, a), direction=GT
  v = f32[] select(g, b, a)
  k = s32[] select(g, j, i)
  ROOT t = (f32[], s32[]) tuple(v, k) }
)";

struct Case {
  const char* name;
  const char* body;
};

void Check(const Case& c) {
  SCOPED_TRACE(c.name);
  const std::string text = absl::StrCat(kComputations, "ENTRY main {\n", c.body, "\n}");
  GLIA_EXPECT_OK(CheckText(text, 5));
  // With so little SBUF that tiles are spilled, those with indices too.
  CodegenOptions options;
  options.sbuf_partition_bytes = 4096;
  GLIA_EXPECT_OK(CheckText(text, 6, {}, options));
}

// Random integers are in [-10, 10]: some are out of range.
const Case kGathers[] = {
    {"embedding",
     "t = f32[50,64] parameter(0) i = s64[7] parameter(1) ROOT r = f32[7,64] gather(t, i), "
     "offset_dims={1}, "
     "collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,64}"},
    {"embedding of a batch of sentences",
     "t = bf16[50,33] parameter(0) i = s32[3,70] parameter(1) ROOT r = bf16[3,70,33] gather(t, i), "
     "offset_dims={2}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=2, "
     "slice_sizes={1,33}"},
    {"more rows than are staged",
     "t = f32[50,3] parameter(0) i = u32[700] parameter(1) ROOT r = f32[700,3] gather(t, i), "
     "offset_dims={1}, "
     "collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,3}"},
    {"many elements",
     "t = s8[50] parameter(0) i = u8[33001] parameter(1) ROOT r = s8[33001] gather(t, i), "
     "offset_dims={}, "
     "collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1}"},
    {"middle dim",
     "t = f32[4,9,5] parameter(0) i = u64[6,2] parameter(1) ROOT r = f32[4,6,2,5] gather(t, i), "
     "offset_dims={0,3}, collapsed_slice_dims={1}, start_index_map={1}, index_vector_dim=2, "
     "slice_sizes={4,1,5}"},
    {"batch dims apart",
     "t = f32[9,5] parameter(0) i = s32[6,2] parameter(1) ROOT r = f32[6,5,2] gather(t, i), "
     "offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=2, "
     "slice_sizes={1,5}"},
    {"coordinates and windows",
     "t = f32[9,8,7] parameter(0) i = s32[2,6] parameter(1) ROOT r = f32[6,3,2,7] gather(t, i), "
     "offset_dims={1,2,3}, collapsed_slice_dims={}, start_index_map={1,0}, index_vector_dim=0, "
     "slice_sizes={3,2,7}"},
    {"of a transpose and a reverse",
     "t = f32[9,8] parameter(0) x = f32[8,9] transpose(t), dimensions={1,0} y = f32[8,9] "
     "reverse(x), "
     "dimensions={0} i = s32[5,1] parameter(1) ROOT r = f32[5,9] gather(y, i), offset_dims={1}, "
     "collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,9}"},
    {"batching dims",
     "t = f32[4,9,5] parameter(0) i = s32[3,4,2] parameter(1) ROOT r = f32[3,4,2,5] gather(t, i), "
     "offset_dims={3}, collapsed_slice_dims={1}, start_index_map={1}, index_vector_dim=3, "
     "slice_sizes={1,1,5}, "
     "operand_batching_dims={0}, start_indices_batching_dims={1}"},
    {"one window, no index",
     "t = f32[9,5] parameter(0) i = s32[0] parameter(1) ROOT r = f32[2,3] gather(t, i), "
     "offset_dims={0,1}, "
     "collapsed_slice_dims={}, start_index_map={}, index_vector_dim=0, slice_sizes={2,3}"},
    {"nothing",
     "t = f32[9,5] parameter(0) i = s32[0] parameter(1) ROOT r = f32[0,5] gather(t, i), "
     "offset_dims={1}, "
     "collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,5}"},
    {"windows of many dims",
     "t = s8[3,4,3,4,3,4,3] parameter(0) i = s32[4,2] parameter(1) ROOT r = s8[4,2,3,2,3,2,3,2] "
     "gather(t, i), "
     "offset_dims={1,2,3,4,5,6,7}, collapsed_slice_dims={}, start_index_map={1,6}, "
     "index_vector_dim=1, "
     "slice_sizes={2,3,2,3,2,3,2}"},
};

TEST(GatherTest, MatchesEvaluator) {
  for (const Case& c : kGathers) Check(c);
}

const Case kSlices[] = {
    {"row",
     "x = f32[9,70] parameter(0) i = s32[] parameter(1) z = s32[] constant(0) "
     "ROOT r = f32[1,70] dynamic-slice(x, i, z), dynamic_slice_sizes={1,70}"},
    {"window",
     "x = s64[9,7,5] parameter(0) i = s64[] parameter(1) j = s64[] parameter(2) k = s64[] "
     "constant(9) "
     "ROOT r = s64[2,3,4] dynamic-slice(x, i, j, k), dynamic_slice_sizes={2,3,4}"},
    {"known starts",
     "x = f32[9,7] parameter(0) i = s32[] constant(-3) j = s32[] constant(2) "
     "ROOT r = f32[2,3] dynamic-slice(x, i, j), dynamic_slice_sizes={2,3}"},
    {"of a transpose",
     "x = f32[9,7] parameter(0) y = f32[7,9] transpose(x), dimensions={1,0} i = u8[] parameter(1) "
     "j = u8[] parameter(2) "
     "ROOT r = f32[2,3] dynamic-slice(y, i, j), dynamic_slice_sizes={2,3}"},
    {"many dims",
     "x = s8[3,4,3,4,3,4] parameter(0) i = s32[] parameter(1) "
     "ROOT r = s8[2,2,2,2,2,2] dynamic-slice(x, i, i, i, i, i, i), "
     "dynamic_slice_sizes={2,2,2,2,2,2}"},
    {"scalar", "x = f32[] parameter(0) ROOT r = f32[] dynamic-slice(x), dynamic_slice_sizes={}"},
    {"empty",
     "x = f32[5] parameter(0) i = s32[] parameter(1) "
     "ROOT r = f32[0] dynamic-slice(x, i), dynamic_slice_sizes={0}"},
    {"update of a row",
     "x = f32[9,70] parameter(0) u = f32[1,70] parameter(1) i = s32[] parameter(2) "
     "z = s32[] constant(0) ROOT r = f32[9,70] dynamic-update-slice(x, u, i, z)"},
    {"update of a window",
     "x = bf16[9,7,5] parameter(0) u = bf16[3,2,5] parameter(1) i = s32[] parameter(2) "
     "j = s32[] parameter(3) ROOT r = bf16[9,7,5] dynamic-update-slice(x, u, i, j, i)"},
    {"update at known starts",
     "x = f32[9,7] parameter(0) u = f32[3,2] parameter(1) i = s32[] constant(99) "
     "ROOT r = f32[9,7] dynamic-update-slice(x, u, i, i)"},
    {"update with nothing",
     "x = f32[9] parameter(0) u = f32[0] parameter(1) i = s32[] parameter(2) "
     "ROOT r = f32[9] dynamic-update-slice(x, u, i)"},
};

TEST(GatherTest, DynamicSlices) {
  for (const Case& c : kSlices) Check(c);
}

const Case kScatters[] = {
    {"rows",
     "x = f32[9,70] parameter(0) i = s32[6] parameter(1) u = f32[6,70] parameter(2) "
     "ROOT r = f32[9,70] scatter(x, i, u), update_window_dims={1}, inserted_window_dims={0}, "
     "scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=assign"},
    {"sum of rows",
     "x = f32[5,7] parameter(0) i = s64[40] parameter(1) u = f32[40,7] parameter(2) "
     "ROOT r = f32[5,7] scatter(x, i, u), update_window_dims={1}, inserted_window_dims={0}, "
     "scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=add"},
    {"elements",
     "x = s64[5,7] parameter(0) i = s64[4,10,2] parameter(1) u = s64[4,10] parameter(2) "
     "ROOT r = s64[5,7] scatter(x, i, u), update_window_dims={}, inserted_window_dims={0,1}, "
     "scatter_dims_to_operand_dims={0,1}, index_vector_dim=2, to_apply=product"},
    {"columns",
     "x = f32[5,7] parameter(0) i = s32[3] parameter(1) u = f32[5,3] parameter(2) "
     "ROOT r = f32[5,7] scatter(x, i, u), update_window_dims={0}, inserted_window_dims={1}, "
     "scatter_dims_to_operand_dims={1}, index_vector_dim=1, to_apply=largest"},
    {"windows",
     "x = bf16[9,8,7] parameter(0) i = s32[2,6] parameter(1) u = bf16[6,3,2,7] parameter(2) "
     "ROOT r = bf16[9,8,7] scatter(x, i, u), update_window_dims={1,2,3}, inserted_window_dims={}, "
     "scatter_dims_to_operand_dims={1,0}, index_vector_dim=0, to_apply=smallest"},
    {"truth values",
     "x = pred[5] parameter(0) i = s32[7] parameter(1) u = pred[7] parameter(2) "
     "ROOT r = pred[5] scatter(x, i, u), update_window_dims={}, inserted_window_dims={0}, "
     "scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=either"},
    {"batching dims",
     "x = f32[3,9] parameter(0) i = s32[5,3,1] parameter(1) u = f32[5,3] parameter(2) "
     "ROOT r = f32[3,9] scatter(x, i, u), update_window_dims={}, inserted_window_dims={1}, "
     "scatter_dims_to_operand_dims={1}, index_vector_dim=2, input_batching_dims={0}, "
     "scatter_indices_batching_dims={1}, to_apply=add"},
    {"many updates",
     "x = s32[9] parameter(0) i = s32[3001] parameter(1) u = s32[3001] parameter(2) "
     "ROOT r = s32[9] scatter(x, i, u), update_window_dims={}, inserted_window_dims={0}, "
     "scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=add32"},
    {"any computation in order",
     "x = f32[9,3] parameter(0) i = s32[12] parameter(1) u = f32[12,3] parameter(2) "
     "ROOT r = f32[9,3] scatter(x, i, u), update_window_dims={1}, inserted_window_dims={0}, "
     "scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=mix"},
    {"unique indices",
     "x = f32[9,3] parameter(0) i = s32[4] constant({3,0,12,8}) u = f32[4,3] parameter(1) "
     "ROOT r = f32[9,3] scatter(x, i, u), update_window_dims={1}, inserted_window_dims={0}, "
     "scatter_dims_to_operand_dims={0}, index_vector_dim=1, unique_indices=true, to_apply=mix"},
    {"several operands",
     "x = f32[9] parameter(0) y = s64[9] parameter(1) i = s32[7] parameter(2) u = f32[7] "
     "parameter(3) "
     "v = s64[7] parameter(4) ROOT r = (f32[9], s64[9]) scatter(x, y, i, u, v), "
     "update_window_dims={}, "
     "inserted_window_dims={0}, scatter_dims_to_operand_dims={0}, index_vector_dim=1, "
     "to_apply=two"},
    {"several operands together",
     "x = f32[9] parameter(0) y = s32[9] parameter(1) i = s32[7] parameter(2) u = f32[7] "
     "parameter(3) "
     "v = s32[7] parameter(4) ROOT r = (f32[9], s32[9]) scatter(x, y, i, u, v), "
     "update_window_dims={}, "
     "inserted_window_dims={0}, scatter_dims_to_operand_dims={0}, index_vector_dim=1, "
     "to_apply=argmax"},
    {"no updates",
     "x = f32[9] parameter(0) i = s32[0] parameter(1) u = f32[0] parameter(2) "
     "ROOT r = f32[9] scatter(x, i, u), update_window_dims={}, inserted_window_dims={0}, "
     "scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=add"},
};

TEST(ScatterTest, MatchesEvaluator) {
  for (const Case& c : kScatters) Check(c);
}

// One index vector of `rank` components into a table of 5 x 3, as PyTorch's operators ask for it.
absl::StatusOr<std::vector<hlo::Literal>> GatherChecked(const std::vector<int64_t>& index,
                                                        device::ExecutorKind kind) {
  const bool both = index.size() == 2;
  const std::string text = absl::StrCat(
      "ENTRY main { t = f32[5,3] parameter(0) i = s64[1,", index.size(),
      "] parameter(1) ROOT r = f32[1", both ? "" : ",3", "] gather(t, i), offset_dims={",
      both ? "" : "1", "}, collapsed_slice_dims={0", both ? ",1" : "", "}, start_index_map={0",
      both ? ",1" : "", "}, index_vector_dim=1, slice_sizes={1,", both ? "1" : "3",
      "}, frontend_attributes={glia_indices=\"checked\"} }");
  auto module = hlo::ParseModule(text);
  if (!module.ok()) return module.status();
  auto neff = Generate(**module, {});
  if (!neff.ok()) return neff.status();
  std::vector<float> table(15);
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<float>(i);
  return RunNeff(*neff, **module,
                 {hlo::Literal::FromVector({5, 3}, table),
                  hlo::Literal::FromVector({1, static_cast<int64_t>(index.size())}, index)},
                 kind);
}

TEST(GatherTest, RefusesIndicesOutOfRangeOnRequest) {
  for (const device::ExecutorKind kind :
       {device::ExecutorKind::kInterpreter, device::ExecutorKind::kFast}) {
    for (const std::vector<int64_t>& index :
         std::vector<std::vector<int64_t>>{{0}, {4}, {0, 0}, {4, 2}}) {
      const auto result = GatherChecked(index, kind);
      ASSERT_TRUE(result.ok()) << result.status().message();
      EXPECT_EQ((*result)[0].GetAsDouble(0), index[0] * 3 + (index.size() == 2 ? index[1] : 0));
    }
    for (const std::vector<int64_t>& index :
         std::vector<std::vector<int64_t>>{{-1},
                                           {5},
                                           {int64_t{1} << 40},
                                           {-(int64_t{1} << 32)},
                                           {0, 3},
                                           {1, -1},
                                           {5, 0},
                                           {-1, 2},
                                           {int64_t{1} << 32, 0}}) {
      EXPECT_EQ(GatherChecked(index, kind).status().code(), absl::StatusCode::kOutOfRange)
          << index[0];
    }
  }
}

TEST(GatherTest, NeverLoadsTheTable) {
  auto module = hlo::ParseModule(R"(
ENTRY main {
  t = f32[30000,768] parameter(0)
  i = s32[128] parameter(1)
  ROOT r = f32[128,768] gather(t, i), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0},
      index_vector_dim=1, slice_sizes={1,768}
})");
  ASSERT_TRUE(module.ok()) << module.status().message();
  const auto neff = Generate(**module, {});
  ASSERT_TRUE(neff.ok()) << neff.status().message();
  int indirect = 0;
  for (const isa::DmaDescriptor& dma : neff->program.dmas) {
    if (dma.src_var != 0) continue;
    EXPECT_EQ(dma.index_side, isa::IndexSide::kSource);
    ++indirect;
  }
  EXPECT_EQ(indirect, 1);
}

}  // namespace
}  // namespace glia::compiler
