#include "serialization/hlo/shape_inference.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "serialization/hlo/text.h"

namespace glia::hlo {
namespace {

using ::testing::HasSubstr;

// One instruction over parameters; the declared shape is `result`.
std::string Program(const std::vector<const char*>& parameters, const std::string& result,
                    const std::string& instruction) {
  std::string text =
      "add { a = f32[] parameter(0)\n b = f32[] parameter(1)\n ROOT s = f32[] add(a, b) }\n"
      "gt { a = f32[] parameter(0)\n b = f32[] parameter(1)\n ROOT s = pred[] compare(a, b), "
      "direction=GT }\nENTRY e {\n";
  for (size_t i = 0; i < parameters.size(); ++i) {
    text +=
        "p" + std::to_string(i) + " = " + parameters[i] + " parameter(" + std::to_string(i) + ")\n";
  }
  return text + "ROOT r = " + result + " " + instruction + "\n}";
}

struct Good {
  std::vector<const char*> parameters;
  const char* result;
  const char* instruction;
};

TEST(ShapeInference, Accepts) {
  const Good kCases[] = {
      {{"c64[3]"}, "f32[3]", "abs(p0)"},
      {{"f32[3]"}, "pred[3]", "is-finite(p0)"},
      {{"f32[2]"}, "u8[2,4]", "bitcast-convert(p0)"},
      {{"u8[2,4]"}, "f32[2]", "bitcast-convert(p0)"},
      {{"pred[]", "f32[0,3]", "f32[0,3]"}, "f32[0,3]", "select(p0, p1, p2)"},
      {{"f32[]", "f32[5]", "f32[5]"}, "f32[5]", "clamp(p0, p1, p2)"},
      {{"f32[2,3]"}, "f32[3,7,2]", "broadcast(p0), dimensions={2,0}"},
      {{"f32[0,3]"}, "f32[3,0,9]", "reshape(p0)"},
      {{"f32[4,1]"}, "f32[2,2]", "reshape(p0)"},
      {{"f32[5]"}, "f32[0]", "slice(p0), slice={[3:3]}"},
      {{"f32[5]"}, "f32[3]", "slice(p0), slice={[0:5:2]}"},
      {{"f32[3]", "f32[]"}, "f32[9]", "pad(p0, p1), padding=1_-1_3"},
      {{"f32[0]", "f32[]"}, "f32[3]", "pad(p0, p1), padding=1_2_5"},
      {{"f32[9]", "f32[]"}, "f32[4]", "pad(p0, p1), padding=-2_-3"},
      {{"f32[2,0]", "f32[2,3]"}, "f32[2,3]", "concatenate(p0, p1), dimensions={1}"},
      {{"f32[3,4]", "f32[4]"},
       "f32[3]",
       "dot(p0, p1), lhs_contracting_dims={1}, rhs_contracting_dims={0}"},
      {{"f32[3]", "f32[4]"}, "f32[3,4]", "dot(p0, p1)"},
      {{"bf16[3,4]", "bf16[4]"},
       "f32[3]",
       "dot(p0, p1), lhs_contracting_dims={1}, rhs_contracting_dims={0}"},
      {{"f32[2,5,3]", "f32[3,2,7]"},
       "f32[2,5,7]",
       "dot(p0, p1), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={1}, "
       "rhs_contracting_dims={0}"},
      {{"f32[1,3,11,12]", "f32[8,3,3,4]"},
       "f32[1,8,6,5]",
       "convolution(p0, p1), window={size=3x4 stride=2x2 pad=1_1x0_1}, dim_labels=bf01_oi01->bf01"},
      {{"f32[1,3,5]", "f32[8,3,2]"},
       "f32[1,8,8]",
       "convolution(p0, p1), window={size=2 lhs_dilate=2}, dim_labels=bf0_oi0->bf0"},
      {{"f32[1,3,5]", "f32[8,3,3]"},
       "f32[1,8,1]",
       "convolution(p0, p1), window={size=3 rhs_dilate=2}, dim_labels=bf0_oi0->bf0"},
      {{"f32[1,6,5]", "f32[6,1,3]"},
       "f32[1,6,3]",
       "convolution(p0, p1), window={size=3}, dim_labels=bf0_oi0->bf0, feature_group_count=6"},
      {{"f32[4,6,5]", "f32[8,6,3]"},
       "f32[2,8,3]",
       "convolution(p0, p1), window={size=3}, dim_labels=bf0_oi0->bf0, batch_group_count=2"},
      {{"f32[2,3]", "f32[3,4]"}, "f32[2,4]", "convolution(p0, p1), dim_labels=bf_io->bf"},
      {{"f32[1,3,2]", "f32[8,3,3]"},
       "f32[1,8,0]",
       "convolution(p0, p1), window={size=3}, dim_labels=bf0_oi0->bf0"},
      {{"f32[3,0]", "f32[]"}, "f32[3]", "reduce(p0, p1), dimensions={1}, to_apply=add"},
      {{"f32[3,5]", "f32[]"}, "f32[]", "reduce(p0, p1), dimensions={1,0}, to_apply=add"},
      {{"f32[8]", "f32[]"},
       "f32[3]",
       "reduce-window(p0, p1), window={size=3 stride=2}, to_apply=add"},
      {{"f32[10,4]", "s32[5,2]"},
       "f32[5,2,4]",
       "gather(p0, p1), offset_dims={2}, collapsed_slice_dims={0}, start_index_map={0}, "
       "index_vector_dim=2, slice_sizes={1,4}"},
      {{"f32[3,10,4]", "s32[3,5,1]"},
       "f32[3,5,4]",
       "gather(p0, p1), offset_dims={2}, collapsed_slice_dims={1}, start_index_map={1}, "
       "operand_batching_dims={0}, start_indices_batching_dims={0}, index_vector_dim=2, "
       "slice_sizes={1,1,4}"},
      {{"f32[10,4]", "s32[5,1]", "f32[5,3]"},
       "f32[10,4]",
       "scatter(p0, p1, p2), update_window_dims={1}, inserted_window_dims={0}, "
       "scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=add"},
      {{"f32[2,3]"}, "(f32[2,2], s32[2,2])", "topk(p0), k=2"},
      {{"s32[3]"}, "s32[0]", "dynamic-slice(p0, p1), dynamic_slice_sizes={0}"},
  };
  for (const Good& c : kCases) {
    Good with_index = c;
    if (std::string(c.instruction).find("dynamic-slice(p0, p1)") == 0) {
      with_index.parameters.push_back("s32[]");
    }
    absl::StatusOr<std::unique_ptr<Module>> module =
        ParseModule(Program(with_index.parameters, c.result, c.instruction));
    EXPECT_TRUE(module.ok()) << c.instruction << ": " << module.status();
  }
}

struct Bad {
  std::vector<const char*> parameters;
  const char* result;
  const char* instruction;
  const char* message;
};

TEST(ShapeInference, Refuses) {
  const Bad kCases[] = {
      {{"f32[2]", "f32[3]"},
       "f32[2]",
       "add(p0, p1)",
       "add(f32[2], f32[3]): operands must have the same"},
      {{"f32[2]", "s32[2]"}, "f32[2]", "add(p0, p1)", "operands must have the same"},
      {{"pred[2]", "pred[2]"}, "pred[2]", "add(p0, p1)", "elements must be integer or floating"},
      {{"s32[2]"}, "s32[2]", "tanh(p0)", "elements must be floating or complex, not s32"},
      {{"f32[2]"}, "f32[2]", "not(p0)", "elements must be pred or integer"},
      {{"f32[2]"}, "f32[2]", "add(p0)", "takes 2 operands, but has 1"},
      {{"c64[2]", "c64[2]"}, "pred[2]", "compare(p0, p1), direction=LT", "no order"},
      {{"c64[2]"}, "f32[2]", "convert(p0)", "is not a conversion"},
      {{"f32[2]", "f32[2]", "f32[2]"}, "f32[2]", "select(p0, p1, p2)", "predicate must be pred[]"},
      {{"f32[2]"}, "f32[3]", "reshape(p0)", "number of elements from 2 to 3"},
      {{"f32[2]"},
       "f32[3]",
       "broadcast(p0), dimensions={0}",
       "of size 2 cannot become result dim 0"},
      {{"f32[2]"}, "f32[2]", "broadcast(p0), dimensions={}", "for each of 1 operand dims"},
      {{"f32[2,2]"}, "f32[2,2]", "transpose(p0), dimensions={0}", "must have 2 entries"},
      {{"f32[2]"}, "f32[2]", "slice(p0), slice={[0:3]}", "does not fit dim 0 of size 2"},
      {{"f32[2]"}, "f32[2]", "slice(p0), slice={[0:2:0]}", "does not fit"},
      {{"f32[2]", "f32[]"}, "f32[0]", "pad(p0, p1), padding=-2_-2", "a negative size"},
      {{"f32[2]", "s32[]"}, "f32[2]", "pad(p0, p1), padding=0_0", "padding value's type"},
      {{"f32[2,3]", "f32[3,3]"},
       "f32[5,3]",
       "concatenate(p0, p1), dimensions={1}",
       "all dims but 1"},
      {{"f32[2]"}, "f32[2]", "reverse(p0), dimensions={1}", "outside [0, 1)"},
      {{"f32[3,4]", "f32[5]"},
       "f32[3]",
       "dot(p0, p1), lhs_contracting_dims={1}, rhs_contracting_dims={0}",
       "contracting dims {1} of lhs and {0} of rhs must have equal sizes"},
      {{"f32[3]", "bf16[3]"},
       "f32[]",
       "dot(p0, p1), lhs_contracting_dims={0}, rhs_contracting_dims={0}",
       "one element type"},
      {{"f32[3]", "f32[3]"},
       "s32[]",
       "dot(p0, p1), lhs_contracting_dims={0}, rhs_contracting_dims={0}",
       "the result cannot be s32"},
      {{"f32[1,3,5]", "f32[8,2,3]"},
       "f32[1,8,3]",
       "convolution(p0, p1), window={size=3}, dim_labels=bf0_oi0->bf0",
       "3 / 1 input features, but has 2"},
      {{"f32[1,3,5]", "f32[8,3,3]"},
       "f32[1,8,3]",
       "convolution(p0, p1), window={size=2}, dim_labels=bf0_oi0->bf0",
       "differs from the kernel's 3"},
      {{"f32[1,3,5]", "f32[8,3,3]"},
       "f32[1,8,3]",
       "convolution(p0, p1), window={size=3 stride=0}, dim_labels=bf0_oi0->bf0",
       "at least 1"},
      {{"f32[1,3,5]", "f32[8,3,3]"},
       "f32[1,8,3]",
       "convolution(p0, p1), window={size=3}, dim_labels=bb0_oi0->bf0",
       "outside"},
      {{"f32[3]", "s32[]"},
       "f32[]",
       "reduce(p0, p1), dimensions={0}, to_apply=add",
       "must be f32[]"},
      {{"bf16[3]", "bf16[]"},
       "bf16[]",
       "reduce(p0, p1), dimensions={0}, to_apply=add",
       "computation add must take (bf16[], bf16[])"},
      {{"f32[3]", "f32[]"},
       "f32[]",
       "reduce(p0, p1), dimensions={0}, to_apply=gt",
       "must return f32[]"},
      {{"f32[3]", "f32[]"}, "f32[]", "reduce(p0, p1), dimensions={0,0}, to_apply=add", "repeats 0"},
      {{"f32[10,4]", "f32[5]"},
       "f32[5,4]",
       "gather(p0, p1), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, "
       "index_vector_dim=1, slice_sizes={1,4}",
       "indices must be integers"},
      {{"f32[10,4]", "s32[5]"},
       "f32[5,4]",
       "gather(p0, p1), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, "
       "index_vector_dim=1, slice_sizes={2,4}",
       "removed dim 0 must be at most 1"},
      {{"f32[10,4]", "s32[5,1]", "f32[6,4]"},
       "f32[10,4]",
       "scatter(p0, p1, p2), update_window_dims={1}, inserted_window_dims={0}, "
       "scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=add",
       "the size of index dim 0"},
      {{"f32[3]"}, "f32[3]", "sort(p0), dimensions={0}, to_apply=add", "must return pred[]"},
      {{"f32[3]"}, "(f32[4], s32[4])", "topk(p0), k=4", "k 4 must be within"},
      {{"f32[3]"}, "f32[3]", "get-tuple-element(p0), index=0", "must be a tuple"},
      {{"(f32[3])"}, "f32[3]", "get-tuple-element(p0), index=1", "outside [0, 1)"},
      {{"f32[]", "f32[]"},
       "f32[]",
       "while(p0), condition=gt, body=add",
       "takes 1 operands, but has 0"},
      {{"s64[]", "f32[]"},
       "f32[]",
       "conditional(p0, p1), branch_computations={add}",
       "pred[] or s32[]"},
      {{"f32[4]"}, "f32[2]", "custom-call(p0), custom_call_target=\"\"", "has no target"},
      {{}, "f32[]", "iota(), iota_dimension=0", "outside [0, 0)"},
  };
  for (const Bad& c : kCases) {
    absl::StatusOr<std::unique_ptr<Module>> module =
        ParseModule(Program(c.parameters, c.result, c.instruction));
    ASSERT_FALSE(module.ok()) << c.instruction;
    if (std::string(c.instruction).find("while") == 0)
      continue;  // the computations do not fit either way
    EXPECT_THAT(std::string(module.status().message()), HasSubstr(c.message)) << c.instruction;
  }
}

TEST(ShapeInference, WindowOutputSizeMatchesCounting) {
  for (int64_t base = 0; base < 8; ++base) {
    for (int64_t size = 1; size < 4; ++size) {
      for (int64_t stride = 1; stride < 4; ++stride) {
        for (int64_t dilation = 1; dilation < 3; ++dilation) {
          for (int64_t pad = -1; pad < 3; ++pad) {
            WindowDim window{size, stride, pad, 1, dilation, 2, false};
            const int64_t padded = (base == 0 ? 0 : 2 * base - 1) + pad + 1;
            int64_t count = 0;
            for (int64_t at = 0; at + (size - 1) * dilation < padded; at += stride) ++count;
            EXPECT_EQ(*WindowOutputSize(base, window), count);
          }
        }
      }
    }
  }
  EXPECT_FALSE(WindowOutputSize(4, {0, 1, 0, 0, 1, 1, false}).ok());
  EXPECT_FALSE(WindowOutputSize(4, {1, 1, int64_t{1} << 62, 0, 1, 1, false}).ok());
}

}  // namespace
}  // namespace glia::hlo
