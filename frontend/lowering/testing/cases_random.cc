// Random operators where chance has no say: probabilities of 0 and 1, no deviation, one number to
// choose from. //frontend:random_test tests distributions.
#include "frontend/lowering/testing/cases.h"

namespace glia::lowering::testing {
namespace {

constexpr OpCase kCases[] = {
    {"aten::bernoulli", "$[3,5]=0,1", "f32 bf16 f16"},
    {"aten::bernoulli.Tensor", "$[3,5] f32[3,5]=0,1,1", "f32 i64 bool"},
    {"aten::bernoulli.Tensor", "f32[3,5] f32[5]=0,1,1"},
    {"aten::bernoulli.p", "$# 1", "f32 bf16 u8 bool"},
    {"aten::bernoulli.p", "$[3,5] 0", "f32 i32"},
    {"aten::cauchy", "f32[3,5] 3 1e-30"},
    {"aten::exponential", "f32[3,5] 1e30", "", 1e-20},
    {"aten::geometric", "$[3,5] 0.9999999", "f32 i32"},
    {"aten::log_normal", "f32[3,5] 0.5 1e-30"},
    {"aten::multinomial", "f32[3,4]=0,0,7,0 1"},
    {"aten::multinomial", "f32[4]=0,2,0,0 1"},
    {"aten::multinomial", "f32[3,4]=0,0,1,0 9 true"},
    {"aten::multinomial", "f32[2,4]=0,0,0,3 1 true"},
    {"aten::native_dropout", "f32[3,4] 0.5 false"},
    {"aten::native_dropout", "f32[3,4] 0 true"},
    {"aten::native_dropout", "$[3,4] 1 true", "f32 bf16"},
    {"aten::normal.Tensor_Tensor", "f32[3,5] f32[5]=0"},
    {"aten::normal.Tensor_float", "$[3,5] 0", "f32 bf16"},
    {"aten::normal.float_Tensor", "2.5 f32[3,5]=0"},
    {"aten::normal_functional", "$# 1.5 0", "f32 bf16 f16"},
    {"aten::random", "$[0,3]", "i64 f32"},
    {"aten::random.from", "$[3,5] -7 -6", "f32 i8 i16 i32 i64"},
    {"aten::random.to", "$# 1", "f32 bf16 u8 i64 bool"},
    {"aten::randperm.generator", "1 none"},
    {"aten::randperm.generator", "0 none"},
    {"aten::uniform", "$# 2 2", "f32 bf16 f16"},
};

}  // namespace

absl::Span<const OpCase> RandomCases() { return kCases; }

}  // namespace glia::lowering::testing
