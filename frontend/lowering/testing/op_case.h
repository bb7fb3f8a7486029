// One call of an operator, written as text, run in eager PyTorch on the CPU and through lowering
// and the HLO evaluator.
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
// `$` stands for each of the types in turn.
#ifndef GLIA_FRONTEND_LOWERING_TESTING_OP_CASE_H_
#define GLIA_FRONTEND_LOWERING_TESTING_OP_CASE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace glia::lowering::testing {

struct OpCase {
  const char* op;
  const char* args;
  const char* types = "";
  // Greatest difference, relative to the larger of 1 and the value. 0: 1e-5 for f32, and about the
  // last digit for 16-bit floats. Integers and bools are always compared exactly.
  double tolerance = 0;
  // How many of the results to compare, where eager leaves the others unset. 0: all.
  int results = 0;
};

// Runs the case for each of its types. OK, or what differs, with the call. NOT_FOUND when this
// libtorch has no such operator.
absl::Status RunCase(const OpCase& op_case);
// How the lowering refuses the call: the message of WhyUnsupported, empty when it takes it.
absl::StatusOr<std::string> RefusalOf(const OpCase& op_case);

}  // namespace glia::lowering::testing

#endif  // GLIA_FRONTEND_LOWERING_TESTING_OP_CASE_H_
