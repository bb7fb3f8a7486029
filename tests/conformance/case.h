// One case of the conformance suite: a function of tensors that runs on any device.
#ifndef GLIA_TESTS_CONFORMANCE_CASE_H_
#define GLIA_TESTS_CONFORMANCE_CASE_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace glia::conformance {

using Tensors = std::vector<at::Tensor>;

inline constexpr char kByExample[] = "by example";

struct Case {
  std::string name;
  Tensors inputs;  // on the CPU; each run gets copies
  // The results, among them what was written in place.
  std::function<Tensors(const Tensors& inputs)> run;
  // 0: that of the result's type (frontend/lowering/testing/compare.h).
  double tolerance = 0;
  // How many results to compare. 0: all.
  size_t compared = 0;
  // Eager's strides follow from the library that it picks for the call, and are not compared.
  bool any_strides = false;
  // Traced mode refuses it with an error that contains this. Empty: it does not. kByExample: it
  // traces, and keeps what the values of the example inputs decided.
  std::string untraceable;
  // How often lazy mode may run an operator on the CPU for want of a lowering.
  int fallbacks = 0;
};

// Each calls `visit` for its cases, in an order that is always the same.
using Visitor = std::function<void(const Case&)>;
// The table of operators (frontend/lowering/testing/cases_*.cc): each row in its types and shapes,
// then its first in every layout, in place and with out= where the operator has that and eager
// takes it.
void VisitOperators(const Visitor& visit);
// Programs in TorchScript: views, in-place, aliases across steps, composites, data-dependent
// shapes.
void VisitPrograms(const Visitor& visit);
// Random programs of views and writes through them.
void VisitRandomPrograms(const Visitor& visit);

}  // namespace glia::conformance

#endif  // GLIA_TESTS_CONFORMANCE_CASE_H_
