// One call of an operator, written as text.
//
//   {"aten::add.Tensor", "$[2,3] $[3] 2", "f32 i64"}
//
// Arguments follow the schema; those left out at the end take their defaults.
//   f32[2,3]          uniform values in (-2, 2); integers in [-5, 5]; bools half true
//   f32[4]+  f32[4]u  in (0.1, 2), in (0.05, 0.95)
//   i64[4]<0:9        integers in [0, 9); floats too: f32[3]<-30:30
//   f32[6]=1,-0,nan   these values, repeated as needed
//   w2.5              a number as a 0-d tensor, as `x + 2.5` makes one
//   {f32[2];f32[3]}   a list of tensors; - is an absent element
//   2  1.5  true  none  "floor"  (1,2)  i32      attributes, by the schema's type
// `$` stands for each of the types in turn, `#` for each of a few shapes, from 0-d to more than a
// tile. //tests/conformance adds layouts, in-place and out= forms to each row.
#ifndef GLIA_FRONTEND_LOWERING_TESTING_OP_CASE_H_
#define GLIA_FRONTEND_LOWERING_TESTING_OP_CASE_H_

#include <ATen/core/Tensor.h>
#include <ATen/core/stack.h>

#include <string>
#include <vector>

#include "frontend/capture/graph.h"

namespace glia::lowering::testing {

struct OpCase {
  const char* op;
  const char* args;
  const char* types = "";
  // Greatest difference, see compare.h. 0: that of the result's type.
  double tolerance = 0;
  // How many of the results to compare, where eager leaves the others unset. 0: all.
  int results = 0;
  // Why no other layouts and forms are tried; "" when they are.
  const char* plain_only = "";
};

// The arguments for each type and shape of the row.
std::vector<std::string> ExpandArgs(const OpCase& op_case);

struct OpCall {
  const capture::OpInfo* op;
  torch::jit::Stack arguments;  // contiguous tensors on the CPU
};

// Values depend on the text alone. Throws when the text does not fit the schema.
OpCall ParseCall(const capture::OpInfo& op, const std::string& args);
// The tensors of "f32[2,3] i64[4]<0:9".
std::vector<at::Tensor> MakeTensors(const std::string& text);

// What eager gives. CPUs lack many half-precision kernels, and some bf16 ones round within: then in
// f32, rounded.
torch::jit::Stack CallEager(const capture::OpInfo& op, const torch::jit::Stack& arguments);
// The defined tensors among results, those of lists each for itself.
std::vector<at::Tensor> FlattenResults(const torch::jit::Stack& results);

}  // namespace glia::lowering::testing

#endif  // GLIA_FRONTEND_LOWERING_TESTING_OP_CASE_H_
