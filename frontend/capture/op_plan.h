// How an operator that reaches the device is recorded: which functional operator stands for it,
// where that one's arguments come from, and where its results go. Derived from schemas, once per
// operator.
#ifndef GLIA_FRONTEND_CAPTURE_OP_PLAN_H_
#define GLIA_FRONTEND_CAPTURE_OP_PLAN_H_

#include <vector>

#include "frontend/capture/graph.h"

namespace glia::capture {

struct OpPlan {
  const OpInfo* op = nullptr;
  // The operator to record; null when the operator must run on the host: its result is not a
  // tensor, its result's shape depends on data, or it writes an argument and has no functional
  // form.
  const OpInfo* functional = nullptr;
  // Why it must run on the host.
  const char* host_reason = nullptr;

  // For each argument of `functional`: the argument of `op`, or a constant.
  static constexpr int kDefault = -1;   // its default value
  static constexpr int kOutDtype = -2;  // the dtype of the out= argument
  std::vector<int> arguments;
  std::vector<c10::IValue> defaults;
  bool same_arguments = false;  // the identity

  struct Write {
    int argument;  // of op
    int result;    // of functional
    bool out;      // an out= argument: resized, its contents are not read
  };
  std::vector<Write> writes;
  // For each return of `op`: the written argument that it is (>= 0), or ~result of functional.
  std::vector<int> returns;
  // FactorArgument of `functional`.
  int factor = -1;
  // Whether argument 1 of `functional` may hold masks, on whose contents the result's shape depends.
  bool takes_masks = false;
  // Whether to refuse a written argument that overlaps itself, as eager does.
  bool check_overlap = true;
};

// Whether all results are tensors or lists of them.
bool ReturnsTensors(const c10::FunctionSchema& schema);

// Valid for ever. Thread-safe, and fast when called again.
const OpPlan& PlanOf(const c10::OperatorHandle& op);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_OP_PLAN_H_
