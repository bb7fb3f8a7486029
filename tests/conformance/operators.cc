// Rows of the operator table as cases, in every layout and form.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <c10/core/MemoryFormat.h>

#include <exception>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "frontend/capture/cpu_call.h"
#include "frontend/lowering/testing/cases.h"
#include "frontend/torch_compat.h"
#include "tests/conformance/case.h"

namespace glia::conformance {
namespace {

using capture::OpInfo;
using lowering::testing::OpCall;
using lowering::testing::OpCase;
using Sizes = std::vector<int64_t>;
using Stack = torch::jit::Stack;

// A view of an input.
struct View {
  size_t input;
  Sizes sizes;
  Sizes strides;
  int64_t offset;
};

// Where the elements of a tensor lie: strides and offset, or none where the layout means nothing.
struct Layout {
  const char* name;
  bool (*place)(const at::Tensor& t, Sizes* strides, int64_t* offset);
};

bool Contiguous(const at::Tensor& t, Sizes* strides, int64_t*) {
  *strides = capture::ContiguousStrides(t.sizes().vec());
  return true;
}

bool Transposed(const at::Tensor& t, Sizes* strides, int64_t*) {
  if (t.dim() < 2) return false;
  Sizes sizes = t.sizes().vec();
  std::swap(sizes[t.dim() - 1], sizes[t.dim() - 2]);
  *strides = capture::ContiguousStrides(sizes);
  std::swap((*strides)[t.dim() - 1], (*strides)[t.dim() - 2]);
  return true;
}

// Every second element, from the third on.
bool Strided(const at::Tensor& t, Sizes* strides, int64_t* offset) {
  if (t.dim() == 0) return false;
  Contiguous(t, strides, offset);
  for (int64_t& s : *strides) s *= 2;
  *offset = 3;
  return true;
}

bool Offset(const at::Tensor& t, Sizes* strides, int64_t* offset) {
  *offset = 5;
  return Contiguous(t, strides, offset);
}

// Dimension 0 repeats its first slice.
bool Expanded(const at::Tensor& t, Sizes* strides, int64_t* offset) {
  if (t.dim() == 0 || t.size(0) < 2) return false;
  Contiguous(t, strides, offset);
  (*strides)[0] = 0;
  return true;
}

bool ChannelsLast(const at::Tensor& t, Sizes* strides, int64_t*) {
  if (t.dim() == 4) *strides = c10::get_channels_last_strides_2d(t.sizes());
  if (t.dim() == 5) *strides = c10::get_channels_last_strides_3d(t.sizes());
  return t.dim() == 4 || t.dim() == 5;
}

constexpr Layout kContiguous = {"", Contiguous};
constexpr Layout kStrided = {"strided", Strided};
constexpr Layout kLayouts[] = {
    {"transposed", Transposed},      kStrided, {"at an offset", Offset}, {"expanded", Expanded},
    {"channels last", ChannelsLast},
};

// Puts `t` into a new input; false when the layout changes nothing.
bool Place(const at::Tensor& t, const Layout& layout, Tensors* inputs, View* view) {
  int64_t offset = 0;
  Sizes strides;
  const bool placed = layout.place(t, &strides, &offset);
  if (!placed) Contiguous(t, &strides, &offset);
  int64_t extent = offset;
  if (t.numel() > 0) {
    ++extent;
    for (int64_t d = 0; d < t.dim(); ++d) extent += strides[d] * (t.size(d) - 1);
  }
  *view = {inputs->size(), t.sizes().vec(), strides, offset};
  at::Tensor base = at::ones({extent}, t.options());
  at::Tensor repeated = t;
  for (int64_t d = 0; d < t.dim(); ++d) {
    if (strides[d] == 0 && t.size(d) > 1) repeated = t.narrow(d, 0, 1);
  }
  base.as_strided(repeated.sizes(), strides, offset).copy_(repeated);
  inputs->push_back(std::move(base));
  return placed;
}

at::Tensor Read(const View& view, const Tensors& inputs) {
  return inputs[view.input].as_strided(view.sizes, view.strides, view.offset);
}

// A call whose tensor arguments are views of inputs.
struct Placed {
  const OpInfo* op;
  Stack arguments;
  Tensors inputs;
  std::vector<View> views;  // of the tensors in the arguments, in order
  bool changed = false;     // the layout applies to one of them
  // Of an out= form. Many of eager's kernels write results that are not contiguous to wrong places,
  // so there the last argument gets a copy of what this gives.
  const OpInfo* functional = nullptr;
};

bool IsNumber(const at::Tensor& t) { return t.unsafeGetTensorImpl()->is_wrapped_number(); }

Placed PlaceAll(const OpInfo& op, const Stack& arguments, const Layout& layout) {
  Placed placed{&op, arguments, {}, {}, false, nullptr};
  capture::MapArguments(op, arguments, at::kCPU, [&](const at::Tensor& t, size_t, int) {
    if (!IsNumber(t)) {
      placed.views.emplace_back();
      if (Place(t, layout, &placed.inputs, &placed.views.back())) placed.changed = true;
    }
    return t;
  });
  // A factory takes no tensor: this one says on which device it shall make its result.
  if (placed.inputs.empty()) placed.inputs.push_back(at::ones({1}));
  return placed;
}

bool Writes(const OpInfo& op) {
  for (const c10::Argument& a : op.handle.schema().arguments()) {
    if (a.alias_info() != nullptr && a.alias_info()->isWrite()) return true;
  }
  return false;
}

Tensors Call(const Placed& placed, const Tensors& inputs) {
  size_t next = 0;
  const c10::Device device = inputs[0].device();
  Stack stack = capture::MapArguments(*placed.op, placed.arguments, device,
                                      [&](const at::Tensor& t, size_t, int) {
                                        return IsNumber(t) ? t : Read(placed.views[next++], inputs);
                                      });
  if (device.type() == at::kXLA) {
    placed.op->handle.callBoxed(&stack);
  } else if (placed.functional != nullptr) {
    at::Tensor out = stack.back().toTensor();
    stack.pop_back();
    out.copy_(lowering::testing::CallEager(*placed.functional, stack)[0].toTensor());
    stack = {out};
  } else {
    stack = lowering::testing::CallEager(*placed.op, stack);
  }
  Tensors results = lowering::testing::FlattenResults(stack);
  if (Writes(*placed.op)) results.insert(results.end(), inputs.begin(), inputs.end());
  return results;
}

// Eager's own kernels lay the results of these out as no meta function says: oneDNN's convolutions,
// and in libtorch 2 the paddings of channels-last images and what copies the gaps between elements
// too.
bool LaidOutByCpu(const std::string& op) {
  if (op.find("convolution") != std::string::npos) return true;
  if (!kCpuKernelsChooseLayouts) return false;
  for (const char* name :
       {"aten::reflection_pad3d", "aten::reflection_pad3d_backward", "aten::replication_pad2d",
        "aten::replication_pad3d", "aten::copy", "aten::select_scatter", "aten::slice_scatter",
        "aten::diagonal_scatter"}) {
    if (op == name) return true;
  }
  return false;
}

void VisitCall(std::string name, const OpCase& row, Placed placed, const Visitor& visit) {
  Case c;
  c.name = std::move(name);
  c.inputs = placed.inputs;
  c.tolerance = row.tolerance;
  c.compared = static_cast<size_t>(row.results);
  c.any_strides = LaidOutByCpu(placed.op->name);
  c.run = [placed = std::move(placed)](const Tensors& inputs) { return Call(placed, inputs); };
  visit(c);
}

// Whether eager takes the call.
bool EagerTakes(const Placed& placed) {
  Tensors inputs;
  for (const at::Tensor& t : placed.inputs) inputs.push_back(t.clone());
  try {
    Call(placed, inputs);
  } catch (const std::exception&) {
    return false;
  }
  return true;
}

// ---- In-place and out= forms.
const std::vector<const OpInfo*>& OverloadsOf(const std::string& name) {
  static const auto* const table = [] {
    auto* overloads = new std::map<std::string, std::vector<const OpInfo*>>;
    for (const c10::OperatorName& n : c10::Dispatcher::singleton().getAllOpNames()) {
      const auto handle = c10::Dispatcher::singleton().findSchema(n);
      if (handle) (*overloads)[n.name].push_back(capture::GetOpInfo(*handle));
    }
    return overloads;
  }();
  static const std::vector<const OpInfo*> none;
  const auto it = table->find(name);
  return it == table->end() ? none : it->second;
}

// `op` with `extra` more arguments.
bool SameArguments(const c10::FunctionSchema& schema, const c10::FunctionSchema& other,
                   size_t extra) {
  const auto& a = schema.arguments();
  const auto& b = other.arguments();
  if (a.size() + extra != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].name() != b[i].name() || *a[i].type() != *b[i].type()) return false;
  }
  return true;
}

const OpInfo* InPlaceForm(const OpInfo& op) {
  const c10::FunctionSchema& schema = op.handle.schema();
  const std::string name = schema.name() + "_";
  for (const OpInfo* other : OverloadsOf(name)) {
    if (SameArguments(schema, other->handle.schema(), 0)) return other;
  }
  return nullptr;
}

// Only of one result: libtorch's boxed calls return dangling references to several, for it forms a
// tuple of references to arguments and drops these before it reads them.
// frontend/capture/ops_test.cc has calls of such operators from C++.
const OpInfo* OutForm(const OpInfo& op) {
  const c10::FunctionSchema& schema = op.handle.schema();
  const size_t results = 1;
  if (schema.returns().size() != results) return nullptr;
  for (const OpInfo* other : OverloadsOf(schema.name())) {
    const c10::FunctionSchema& out = other->handle.schema();
    if (!SameArguments(schema, out, results)) continue;
    bool all_written = true;
    for (size_t i = schema.arguments().size(); i < out.arguments().size(); ++i) {
      const c10::Argument& a = out.arguments()[i];
      all_written = all_written && a.kwarg_only() && a.alias_info() != nullptr &&
                    a.alias_info()->isWrite() && a.type()->kind() == c10::TypeKind::TensorType;
    }
    if (all_written) return other;
  }
  return nullptr;
}

void VisitForms(const OpCase& row, const std::string& args, const OpCall& call,
                const Visitor& visit) {
  const std::string name = absl::StrCat(row.op, " ", args);
  for (const Layout& layout : kLayouts) {
    Placed placed = PlaceAll(*call.op, call.arguments, layout);
    if (!placed.changed || !EagerTakes(placed)) continue;
    VisitCall(absl::StrCat(name, ", ", layout.name), row, std::move(placed), visit);
  }
  // Both write a part of a larger tensor, whose rest must stay.
  if (const OpInfo* in_place = InPlaceForm(*call.op)) {
    Placed placed = PlaceAll(*in_place, call.arguments, kStrided);
    if (EagerTakes(placed)) VisitCall(name + ", in place", row, std::move(placed), visit);
  }
  const OpInfo* out = OutForm(*call.op);
  if (out == nullptr) return;
  const Stack results = lowering::testing::CallEager(*call.op, call.arguments);
  if (!results[0].isTensor()) return;
  Stack arguments = call.arguments;
  arguments.emplace_back(at::ones_like(results[0].toTensor()));
  if (!EagerTakes(PlaceAll(*out, arguments, kContiguous))) return;
  Placed placed = PlaceAll(*out, arguments, kStrided);
  placed.functional = call.op;
  VisitCall(name + ", out=", row, std::move(placed), visit);
}

}  // namespace

void VisitOperators(const Visitor& visit) {
  for (const OpCase& row : lowering::testing::AllCases()) {
    const OpInfo* op = capture::FindOpInfo(row.op);
    if (op == nullptr) continue;  // an operator of another libtorch
    bool first = true;
    for (const std::string& args : lowering::testing::ExpandArgs(row)) {
      const OpCall call = lowering::testing::ParseCall(*op, args);
      VisitCall(absl::StrCat(row.op, " ", args), row, PlaceAll(*op, call.arguments, kContiguous),
                visit);
      if (first && row.plain_only[0] == '\0') VisitForms(row, args, call, visit);
      first = false;
    }
  }
}

}  // namespace glia::conformance
