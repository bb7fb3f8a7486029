#include "frontend/lowering/testing/op_case.h"

#include <ATen/core/grad_mode.h>
#include <ATen/core/stack.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>

#include <cmath>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "frontend/capture/cpu_call.h"
#include "frontend/capture/graph.h"
#include "frontend/lowering/lowering.h"
#include "frontend/lowering/testing/literals.h"
#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/verifier.h"

namespace glia::lowering::testing {
namespace {

using capture::Node;
using capture::NodeInfo;
using capture::NodeKind;
using capture::NodePtr;
using capture::TensorMeta;
using capture::Value;

const std::map<std::string, at::ScalarType>& Types() {
  static const auto* const types = new std::map<std::string, at::ScalarType>{
      {"f64", at::kDouble}, {"f32", at::kFloat}, {"bf16", at::kBFloat16},   {"f16", at::kHalf},
      {"i64", at::kLong},   {"i32", at::kInt},   {"i16", at::kShort},       {"i8", at::kChar},
      {"u8", at::kByte},    {"bool", at::kBool}, {"c64", at::kComplexFloat}};
  return *types;
}

double ParseNumber(absl::string_view text) {
  double value = 0;
  TORCH_CHECK(absl::SimpleAtod(text, &value), "not a number: ", std::string(text));
  return value;
}

// ---- Tensors.
class TensorMaker {
 public:
  explicit TensorMaker(uint64_t seed) : random_(seed) {}

  // "f32[2,3]<0:9"; empty when it is no tensor.
  at::Tensor Make(const std::string& text) {
    const size_t open = text.find('['), close = text.find(']');
    if (open == std::string::npos || Types().count(text.substr(0, open)) == 0) return {};
    const at::ScalarType dtype = Types().at(text.substr(0, open));
    std::vector<int64_t> sizes;
    for (absl::string_view size :
         absl::StrSplit(text.substr(open + 1, close - open - 1), ',', absl::SkipEmpty())) {
      sizes.push_back(static_cast<int64_t>(ParseNumber(size)));
    }
    const at::Tensor values = at::empty(sizes, at::TensorOptions().dtype(at::kDouble));
    Fill(values, dtype, text.substr(close + 1));
    return values.to(dtype);
  }

 private:
  void Fill(const at::Tensor& values, at::ScalarType dtype, const std::string& how) {
    double* data = values.data_ptr<double>();
    const int64_t count = values.numel();
    if (!how.empty() && how[0] == '=') {
      const std::vector<std::string> given = absl::StrSplit(how.substr(1), ',');
      for (int64_t i = 0; i < count; ++i) data[i] = ParseNumber(given[i % given.size()]);
      return;
    }
    const bool floating = c10::isFloatingType(dtype) || c10::isComplexType(dtype);
    double low = floating ? -2 : dtype == at::kByte ? 0 : -5, high = floating ? 2 : 6;
    if (dtype == at::kBool) {
      low = 0;
      high = 2;
    }
    if (how == "+") low = floating ? 0.1 : 1;
    if (how == "u") {
      low = 0.05;
      high = 0.95;
    }
    if (!how.empty() && how[0] == '<') {
      const std::pair<std::string, std::string> ends = absl::StrSplit(how.substr(1), ':');
      low = ParseNumber(ends.first);
      high = ParseNumber(ends.second);
    }
    for (int64_t i = 0; i < count; ++i) {
      const double unit = static_cast<double>(random_() >> 11) / 9007199254740992.0;
      const double value = low + unit * (high - low);
      data[i] = floating ? value : std::floor(value);
    }
  }

  std::mt19937_64 random_;
};

// ---- Arguments.
std::vector<std::string> SplitArgs(const std::string& text) {
  return absl::StrSplit(text, ' ', absl::SkipEmpty());
}

std::vector<std::string> SplitList(const std::string& text, char separator) {
  return absl::StrSplit(text.substr(1, text.size() - 2), separator, absl::SkipEmpty());
}

c10::IValue ParseAttribute(const std::string& text, const c10::TypePtr& type) {
  switch (type->kind()) {
    case c10::TypeKind::OptionalType:
      return ParseAttribute(text, type->castRaw<c10::OptionalType>()->getElementType());
    case c10::TypeKind::BoolType:
      return text == "true" || text == "1";
    case c10::TypeKind::FloatType:
      return ParseNumber(text);
    case c10::TypeKind::StringType:
      return absl::StrReplaceAll(text, {{"\"", ""}});
    case c10::TypeKind::NumberType:
      if (text == "true" || text == "false") return c10::Scalar(text == "true");
      if (text.find_first_of(".en") != std::string::npos) return c10::Scalar(ParseNumber(text));
      return c10::Scalar(static_cast<int64_t>(ParseNumber(text)));
    case c10::TypeKind::ListType: {
      const c10::TypeKind element = type->containedType(0)->kind();
      if (text[0] != '(') return ParseAttribute("(" + text + ")", type);
      if (element == c10::TypeKind::FloatType) {
        c10::List<double> list;
        for (const std::string& v : SplitList(text, ',')) list.push_back(ParseNumber(v));
        return list;
      }
      if (element == c10::TypeKind::BoolType) {
        c10::List<bool> list;
        for (const std::string& v : SplitList(text, ',')) list.push_back(v == "true");
        return list;
      }
      c10::List<int64_t> list;
      for (const std::string& v : SplitList(text, ',')) {
        list.push_back(static_cast<int64_t>(ParseNumber(v)));
      }
      return list;
    }
    default: {
      const auto dtype = Types().find(text);
      if (dtype != Types().end()) return static_cast<int64_t>(dtype->second);
      return static_cast<int64_t>(ParseNumber(text));
    }
  }
}

c10::IValue ParseArgument(const std::string& text, const c10::Argument& formal,
                          TensorMaker* maker) {
  if (text == "none") return {};
  if (text[0] == 'w') {
    const c10::IValue number = ParseAttribute(text.substr(1), c10::NumberType::get());
    at::Tensor t = at::scalar_tensor(number.toScalar(),
                                     number.toScalar().isFloatingPoint() ? at::kDouble : at::kLong);
    t.unsafeGetTensorImpl()->set_wrapped_number(true);
    return t;
  }
  if (text[0] == '{') {
    c10::List<c10::optional<at::Tensor>> optional;
    c10::List<at::Tensor> plain;
    for (const std::string& element : SplitList(text, ';')) {
      const at::Tensor t = element == "-" ? at::Tensor() : maker->Make(element);
      optional.push_back(t.defined() ? c10::optional<at::Tensor>(t) : c10::nullopt);
      if (t.defined()) plain.push_back(t);
    }
    const bool takes_optional =
        formal.type()->containedType(0)->kind() == c10::TypeKind::OptionalType;
    if (takes_optional) return optional;
    return plain;
  }
  const at::Tensor tensor = maker->Make(text);
  return tensor.defined() ? c10::IValue(tensor) : ParseAttribute(text, formal.type());
}

torch::jit::Stack ParseArguments(const c10::FunctionSchema& schema, const std::string& text) {
  TensorMaker maker(std::hash<std::string>()(text));
  torch::jit::Stack stack;
  const std::vector<std::string> given = SplitArgs(text);
  const auto& formals = schema.arguments();
  TORCH_CHECK(given.size() <= formals.size(), "too many arguments for ", schema.name());
  for (size_t i = 0; i < formals.size(); ++i) {
    if (i < given.size()) {
      stack.push_back(ParseArgument(given[i], formals[i], &maker));
    } else {
      stack.push_back(formals[i].default_value() ? *formals[i].default_value() : c10::IValue());
    }
  }
  return stack;
}

// ---- The recorded call.
TensorMeta MetaOf(const at::Tensor& t) {
  TensorMeta meta;
  meta.sizes = t.sizes().vec();
  meta.strides = t.strides().vec();
  meta.dtype = t.scalar_type();
  meta.wrapped_number = t.unsafeGetTensorImpl()->is_wrapped_number();
  return meta;
}

Value InputOf(const at::Tensor& t) {
  if (!t.defined()) return {};
  auto info = std::make_shared<NodeInfo>();
  info->outputs = {MetaOf(t)};
  const bool number = t.unsafeGetTensorImpl()->is_wrapped_number();
  if (number) info->scalar = t.item();
  auto node = c10::make_intrusive<Node>(number ? NodeKind::kConstant : NodeKind::kInput, info);
  if (!number) node->host = t;
  return {node, 0};
}

// One kOp node over inputs that hold the arguments; `results` are eager's.
NodePtr MakeNode(const capture::OpInfo& op, const torch::jit::Stack& arguments,
                 const torch::jit::Stack& results) {
  auto info = std::make_shared<NodeInfo>();
  info->op = &op;
  c10::SmallVector<Value, 4> operands;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const c10::IValue& v = arguments[i];
    if (op.args[i] == capture::ArgKind::kTensor && v.isTensor()) {
      info->args.emplace_back(static_cast<int64_t>(operands.size()));
      operands.push_back(InputOf(v.toTensor()));
    } else if (op.args[i] == capture::ArgKind::kTensorList && v.isList()) {
      const int64_t first = static_cast<int64_t>(operands.size());
      for (const c10::IValue& element : v.toListRef()) {
        operands.push_back(element.isTensor() ? InputOf(element.toTensor()) : Value());
      }
      info->args.emplace_back(
          capture::PackOperandRange(first, static_cast<int64_t>(operands.size()) - first));
    } else {
      info->args.push_back(v);
    }
  }
  for (const c10::IValue& v : results) {
    NodeInfo::Return r;
    r.first = static_cast<int32_t>(info->outputs.size());
    if (v.isTensorList()) {
      for (const at::Tensor& t : v.toTensorVector()) info->outputs.push_back(MetaOf(t));
      r.count = static_cast<int32_t>(info->outputs.size()) - r.first;
    } else if (!v.isTensor() || !v.toTensor().defined()) {
      r.first = -1;
    } else {
      info->outputs.push_back(MetaOf(v.toTensor()));
    }
    info->returns.push_back(r);
  }
  auto node = c10::make_intrusive<Node>(NodeKind::kOp, info);
  node->operands = operands;
  return node;
}

std::vector<at::Tensor> Flatten(const torch::jit::Stack& results) {
  std::vector<at::Tensor> tensors;
  for (const c10::IValue& v : results) {
    if (v.isTensorList()) {
      for (const at::Tensor& t : v.toTensorVector()) tensors.push_back(t);
    } else if (v.isTensor() && v.toTensor().defined()) {
      tensors.push_back(v.toTensor());
    }
  }
  return tensors;
}

struct Call {
  const capture::OpInfo* op;
  NodePtr node;
  std::vector<at::Tensor> expected;
};

void ConvertAll(at::ScalarType from, at::ScalarType to, torch::jit::Stack* stack) {
  for (c10::IValue& v : *stack) {
    if (v.isTensor() && v.toTensor().defined() && v.toTensor().scalar_type() == from) {
      v = v.toTensor().to(to);
    } else if (v.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& t : v.toTensorVector())
        list.push_back(t.scalar_type() == from ? t.to(to) : t);
      v = list;
    }
  }
}

// What eager gives. CPUs lack many half-precision kernels: then in f32, rounded.
torch::jit::Stack CallEager(const capture::OpInfo& op, const torch::jit::Stack& arguments) {
  torch::jit::Stack stack = arguments;
  try {
    capture::CallOnCpu(op, &stack);
  } catch (const c10::Error& e) {
    if (std::string(e.what_without_backtrace()).find("'Half'") == std::string::npos) throw;
    stack = arguments;
    ConvertAll(at::kHalf, at::kFloat, &stack);
    capture::CallOnCpu(op, &stack);
    ConvertAll(at::kFloat, at::kHalf, &stack);
  }
  return stack;
}

absl::StatusOr<Call> MakeCall(const OpCase& op_case, const std::string& args) {
  const capture::OpInfo* op = capture::FindOpInfo(op_case.op);
  if (op == nullptr) return absl::NotFoundError(absl::StrCat("no operator ", op_case.op));
  const at::NoGradGuard no_grad;
  const torch::jit::Stack arguments = ParseArguments(op->handle.schema(), args);
  const torch::jit::Stack results = CallEager(*op, arguments);
  return Call{op, MakeNode(*op, arguments, results), Flatten(results)};
}

// ---- Comparison.
double DefaultTolerance(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? 1e-2 : dtype == at::kHalf ? 2e-3 : 1e-5;
}

absl::Status Compare(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  const at::Tensor a = got.to(at::kDouble).contiguous(), b = want.to(at::kDouble).contiguous();
  const bool floating = c10::isFloatingType(want.scalar_type());
  if (!floating) {
    const at::Tensor x = got.to(at::kLong).contiguous(), y = want.to(at::kLong).contiguous();
    for (int64_t i = 0; i < x.numel(); ++i) {
      const int64_t p = x.data_ptr<int64_t>()[i], q = y.data_ptr<int64_t>()[i];
      if (p != q)
        return absl::InternalError(absl::StrCat("element ", i, " is ", p, ", eager has ", q));
    }
    return absl::OkStatus();
  }
  if (tolerance == 0 || want.scalar_type() == at::kBFloat16 || want.scalar_type() == at::kHalf) {
    tolerance = std::max(tolerance, DefaultTolerance(want.scalar_type()));
  }
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double p = a.data_ptr<double>()[i], q = b.data_ptr<double>()[i];
    const bool same = p == q || (std::isnan(p) && std::isnan(q)) ||
                      std::abs(p - q) <= tolerance * std::max(1.0, std::abs(q));
    if (!same)
      return absl::InternalError(absl::StrCat("element ", i, " is ", p, ", eager has ", q));
  }
  return absl::OkStatus();
}

absl::Status RunCall(const Call& call, double tolerance, size_t compared) {
  const absl::Status why = WhyUnsupported(*call.node);
  if (!why.ok()) return why;
  std::vector<Value> outputs;
  for (size_t i = 0; i < call.expected.size(); ++i)
    outputs.push_back({call.node, static_cast<int32_t>(i)});
  const auto graph = capture::BuildGraph(outputs);
  const auto module = Lower(*graph);
  if (!module.ok()) return module.status();
  const absl::Status valid = hlo::Verify(**module);
  if (!valid.ok()) return valid;
  std::vector<hlo::Literal> inputs;
  for (const NodePtr& input : graph->inputs) inputs.push_back(ToLiteral(input->host));
  const auto result = hlo::Evaluate(**module, inputs);
  if (!result.ok()) return result.status();
  if (compared == 0) compared = call.expected.size();
  for (size_t i = 0; i < compared; ++i) {
    const at::Tensor& want = call.expected[i];
    const absl::Status same =
        Compare(ToTensor(result->tuple()[i], want.scalar_type()), want, tolerance);
    if (!same.ok()) return absl::InternalError(absl::StrCat("result ", i, ": ", same.message()));
  }
  return absl::OkStatus();
}

template <typename Function>
absl::Status ForEachType(const OpCase& op_case, const Function& function) {
  std::vector<std::string> types = SplitArgs(op_case.types);
  if (types.empty()) types.push_back("");
  for (const std::string& type : types) {
    const std::string args = absl::StrReplaceAll(op_case.args, {{"$", type}});
    absl::Status status;
    try {
      const absl::StatusOr<Call> call = MakeCall(op_case, args);
      status = call.ok() ? function(*call) : call.status();
    } catch (const c10::Error& e) {
      status = absl::InvalidArgumentError(e.what_without_backtrace());
    } catch (const std::exception& e) {
      status = absl::InvalidArgumentError(e.what());
    }
    if (!status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat(op_case.op, " ", args, ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunCase(const OpCase& op_case) {
  return ForEachType(op_case, [&](const Call& call) {
    return RunCall(call, op_case.tolerance, static_cast<size_t>(op_case.results));
  });
}

absl::StatusOr<std::string> RefusalOf(const OpCase& op_case) {
  std::string refusal;
  const absl::Status status = ForEachType(op_case, [&](const Call& call) {
    refusal = std::string(WhyUnsupported(*call.node).message());
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return refusal;
}

}  // namespace glia::lowering::testing
