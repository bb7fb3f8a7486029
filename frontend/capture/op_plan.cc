#include "frontend/capture/op_plan.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "frontend/capture/varying.h"

namespace glia::capture {
namespace {

using Argument = c10::Argument;
using Schema = c10::FunctionSchema;

// Operators whose functional form cannot be found by name. `first_written` is the result that
// belongs to the first written argument; results before it are the operator's own returns.
struct Exception {
  const char* op;
  const char* functional;
  int first_written;
};
constexpr Exception kExceptions[] = {
    {"aten::normal_", "aten::normal_functional", 0},
    {"aten::_cummax_helper", "aten::cummax", 0},
    {"aten::_cummin_helper", "aten::cummin", 0},
    {"aten::_native_batch_norm_legit", "aten::_native_batch_norm_legit_functional", 3},
    {"aten::_batch_norm_with_update", "aten::_batch_norm_with_update_functional", 4},
    {"aten::rrelu_with_noise", "aten::rrelu_with_noise_functional", 1},
};

// The result's shape depends on the contents of an argument. Not every libtorch tags them all.
const std::set<std::string>& DataDependent() {
  static const auto* names = new std::set<std::string>{
      "aten::nonzero",
      "aten::nonzero_numpy",
      "aten::masked_select",
      "aten::_unique",
      "aten::_unique2",
      "aten::unique_dim",
      "aten::unique_consecutive",
      "aten::unique_dim_consecutive",
      "aten::bincount",
      "aten::repeat_interleave",
      "aten::linalg_lstsq",
      "aten::_linalg_check_errors",
      "aten::_ctc_loss",
      "aten::argwhere",
  };
  return *names;
}

// Eager lets these write a tensor that overlaps itself.
const std::set<std::string>& OverlapAllowed() {
  static const auto* names = new std::set<std::string>{
      "aten::fill_",       "aten::zero_",      "aten::masked_fill_",
      "aten::index_fill_", "aten::index_put_", "aten::_index_put_impl_",
  };
  return *names;
}

bool TakesMasks(const std::string& name) {
  return name == "aten::index.Tensor" || name == "aten::_index_put_impl" ||
         name == "aten::index_put";
}

bool IsWritten(const Argument& a) { return a.alias_info() != nullptr && a.alias_info()->isWrite(); }

bool Writes(const Schema& s) {
  return std::any_of(s.arguments().begin(), s.arguments().end(), IsWritten);
}

// aten::foo_ -> aten::foo, aten::__iand__ -> aten::__and__.
std::string FunctionalName(const std::string& name) {
  const size_t start = name.find("::") + 2;
  std::string ns = name.substr(0, start), s = name.substr(start);
  const bool dunder = s.size() > 4 && s.compare(s.size() - 2, 2, "__") == 0;
  if (dunder && s.compare(0, 3, "__i") == 0) return ns + "__" + s.substr(3);
  if (!dunder && s.size() > 1 && s.back() == '_') s.pop_back();
  return ns + s;
}

std::vector<c10::OperatorHandle> OverloadsOf(const std::string& name) {
  static const auto* table = [] {
    auto* t = new std::unordered_map<std::string, std::vector<c10::OperatorName>>;
    for (const c10::OperatorName& n : c10::Dispatcher::singleton().getAllOpNames()) {
      (*t)[n.name].push_back(n);
    }
    return t;
  }();
  std::vector<c10::OperatorHandle> result;
  auto it = table->find(name);
  if (it == table->end()) return result;
  for (const c10::OperatorName& n : it->second) {
    if (auto handle = c10::Dispatcher::singleton().findSchema(n)) result.push_back(*handle);
  }
  return result;
}

// Fills plan.arguments for `candidate`; false when it does not fit. `skip[i]`: argument i of op is
// not an argument of the functional form.
bool MatchArguments(const Schema& op, const std::vector<bool>& skip, const Schema& candidate,
                    OpPlan* plan) {
  plan->arguments.clear();
  plan->defaults.clear();
  const auto& have = candidate.arguments();
  auto add_default = [&](const Argument& a) {
    if (!a.default_value()) return false;
    plan->arguments.push_back(a.name() == "dtype" ? OpPlan::kOutDtype : OpPlan::kDefault);
    plan->defaults.push_back(*a.default_value());
    return true;
  };
  size_t j = 0;
  for (size_t i = 0; i < op.arguments().size(); ++i) {
    if (skip[i]) continue;
    const Argument& want = op.arguments()[i];
    while (j < have.size() && have[j].name() != want.name()) {
      if (!add_default(have[j++])) return false;
    }
    if (j == have.size() || *have[j].type() != *want.type()) return false;
    plan->arguments.push_back(static_cast<int>(i));
    plan->defaults.emplace_back();
    ++j;
  }
  while (j < have.size()) {
    if (!add_default(have[j++])) return false;
  }
  return true;
}

bool FindFunctional(const Schema& schema, OpPlan* plan) {
  std::vector<int> written, out;
  std::vector<bool> skip(schema.arguments().size(), false);
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    if (!IsWritten(schema.arguments()[i])) continue;
    written.push_back(static_cast<int>(i));
    if (schema.arguments()[i].kwarg_only()) {
      out.push_back(static_cast<int>(i));
      skip[i] = true;
    }
  }
  int first_written = 0;
  std::string name = FunctionalName(schema.name());
  bool exception = false;
  for (const Exception& e : kExceptions) {
    if (schema.name() != e.op || (!schema.overload_name().empty() && !out.empty())) continue;
    exception = true;
    name = e.functional;
    first_written = e.first_written;
  }
  // With out= arguments the other written ones (none in practice) would not be results.
  const std::vector<int>& targets = out.empty() ? written : out;
  for (const c10::OperatorHandle& candidate : OverloadsOf(name)) {
    const Schema& c = candidate.schema();
    if (Writes(c)) continue;
    std::vector<bool> skipped = skip;
    if (exception) {
      // Arguments that the functional form does not have by that name are results only.
      for (int w : written) {
        skipped[w] = std::none_of(
            c.arguments().begin(), c.arguments().end(),
            [&](const Argument& a) { return a.name() == schema.arguments()[w].name(); });
      }
    }
    if (c.returns().size() < first_written + targets.size()) continue;
    if (!MatchArguments(schema, skipped, c, plan)) continue;
    plan->functional = GetOpInfo(candidate);
    for (size_t k = 0; k < targets.size(); ++k) {
      plan->writes.push_back({targets[k], first_written + static_cast<int>(k), !out.empty()});
    }
    return true;
  }
  return false;
}

OpPlan MakePlan(const c10::OperatorHandle& op) {
  const Schema& schema = op.schema();
  OpPlan plan;
  plan.op = GetOpInfo(op);
  plan.check_overlap = OverlapAllowed().count(schema.name()) == 0;
  if (!Writes(schema)) {
    plan.functional = plan.op;
    plan.same_arguments = true;
    for (size_t i = 0; i < schema.returns().size(); ++i)
      plan.returns.push_back(~static_cast<int>(i));
  } else if (FindFunctional(schema, &plan)) {
    plan.same_arguments = plan.arguments.size() == schema.arguments().size();
    for (size_t i = 0; i < plan.arguments.size(); ++i) {
      plan.same_arguments = plan.same_arguments && plan.arguments[i] == static_cast<int>(i);
    }
    int result = 0;
    for (const Argument& r : schema.returns()) {
      int argument = -1;
      if (r.alias_info() != nullptr && r.alias_info()->isWrite()) {
        for (const OpPlan::Write& w : plan.writes) {
          if (schema.arguments()[w.argument].alias_info()->beforeSets() ==
              r.alias_info()->beforeSets()) {
            argument = w.argument;
          }
        }
      }
      plan.returns.push_back(argument >= 0 ? argument : ~result);
      ++result;
    }
  } else {
    plan.host_reason = "it writes its arguments and has no functional form";
  }
  if (plan.functional != nullptr) {
    const c10::OperatorHandle& f = plan.functional->handle;
    if (!ReturnsTensors(f.schema())) {
      plan.host_reason = "its result is a value that the program needs at once";
    } else if (DataDependent().count(f.schema().name()) != 0 ||
               (f.hasTag(at::Tag::dynamic_output_shape) && f.schema().name() != "aten::index") ||
               f.hasTag(at::Tag::data_dependent_output)) {
      // aten::index is tagged for its masks; the kernel looks for those.
      plan.host_reason = "the shape of its result depends on the contents of a tensor";
    }
    plan.factor = FactorArgument(plan.functional->name);
    plan.takes_masks = TakesMasks(plan.functional->name);
    if (plan.host_reason != nullptr) plan.functional = nullptr;
  }
  return plan;
}

}  // namespace

bool ReturnsTensors(const c10::FunctionSchema& s) {
  for (const Argument& r : s.returns()) {
    const auto kind = r.type()->kind();
    if (kind == c10::TypeKind::TensorType) continue;
    if (kind == c10::TypeKind::ListType &&
        r.type()->containedType(0)->kind() == c10::TypeKind::TensorType) {
      continue;
    }
    return false;
  }
  return true;
}

const OpPlan& PlanOf(const c10::OperatorHandle& op) {
  struct Table {
    std::mutex mutex;
    std::unordered_map<std::string, std::unique_ptr<OpPlan>> plans;
  };
  static Table* table = new Table;
  // Schemas stay where they are as long as the operator is registered. Two that meet in a slot take
  // turns.
  struct Known {
    const Schema* schema;
    const OpPlan* plan;
  };
  thread_local std::array<Known, 1024> known = {};
  const Schema* schema = &op.schema();
  Known& slot = known[(reinterpret_cast<uintptr_t>(schema) * 0x9E3779B97F4A7C15ull) >> 54];
  if (slot.schema == schema) return *slot.plan;
  const OpInfo* info = GetOpInfo(op);
  std::lock_guard<std::mutex> lock(table->mutex);
  std::unique_ptr<OpPlan>& plan = table->plans[info->name];
  if (!plan) plan = std::make_unique<OpPlan>(MakePlan(op));
  slot = {schema, plan.get()};
  return *plan;
}

}  // namespace glia::capture
