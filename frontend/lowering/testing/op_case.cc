#include "frontend/lowering/testing/op_case.h"

#include <ATen/core/grad_mode.h>
#include <ATen/core/stack.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "frontend/capture/cpu_call.h"

namespace glia::lowering::testing {
namespace {

const std::map<std::string, at::ScalarType>& Types() {
  static const auto* const types = new std::map<std::string, at::ScalarType>{
      {"f64", at::kDouble}, {"f32", at::kFloat}, {"bf16", at::kBFloat16},   {"f16", at::kHalf},
      {"i64", at::kLong},   {"i32", at::kInt},   {"i16", at::kShort},       {"i8", at::kChar},
      {"u8", at::kByte},    {"bool", at::kBool}, {"c64", at::kComplexFloat}};
  return *types;
}

// What `#` stands for: 0-d, empty, one element, and dims on both sides of a tile's 128 and 512.
constexpr const char* kShapes[] = {"[]", "[0]", "[1]", "[129]", "[3,1,5]", "[130,3]", "[2,517]"};

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
    if (dtype == at::kLong && text.compare(close + 1, 1, "=") == 0) {
      return ExactIntegers(sizes, text.substr(close + 2));
    }
    const at::Tensor values = at::empty(sizes, at::TensorOptions().dtype(at::kDouble));
    Fill(values, dtype, text.substr(close + 1));
    return values.to(dtype);
  }

 private:
  // A double holds them to 2^53 only.
  static at::Tensor ExactIntegers(const std::vector<int64_t>& sizes, const std::string& list) {
    const at::Tensor values = at::empty(sizes, at::TensorOptions().dtype(at::kLong));
    const std::vector<std::string> given = absl::StrSplit(list, ',');
    for (int64_t i = 0; i < values.numel(); ++i) {
      const std::string& text = given[static_cast<size_t>(i) % given.size()];
      int64_t value = 0;
      TORCH_CHECK(absl::SimpleAtoi(text, &value), "not an integer: ", text);
      values.data_ptr<int64_t>()[i] = value;
    }
    return values;
  }

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

}  // namespace

std::vector<std::string> ExpandArgs(const OpCase& op_case) {
  const std::string row = op_case.args;
  std::vector<std::string> types = SplitArgs(op_case.types), shapes = {""}, expanded;
  if (types.empty()) types.emplace_back();
  if (row.find('#') != std::string::npos) shapes.assign(std::begin(kShapes), std::end(kShapes));
  for (const std::string& type : types) {
    for (const std::string& shape : shapes) {
      expanded.push_back(absl::StrReplaceAll(row, {{"$", type}, {"#", shape}}));
    }
  }
  return expanded;
}

OpCall ParseCall(const capture::OpInfo& op, const std::string& args) {
  return {&op, ParseArguments(op.handle.schema(), args)};
}

std::vector<at::Tensor> MakeTensors(const std::string& text) {
  TensorMaker maker(std::hash<std::string>()(text));
  std::vector<at::Tensor> tensors;
  for (const std::string& tensor : SplitArgs(text)) {
    tensors.push_back(maker.Make(tensor));
    TORCH_CHECK(tensors.back().defined(), "not a tensor: ", tensor);
  }
  return tensors;
}

std::vector<at::Tensor> FlattenResults(const torch::jit::Stack& results) {
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

namespace {

// Eager's kernels of these round to bf16 between the steps of a sum, so that fp32 is the better
// witness.
constexpr const char* kRoundWithin[] = {
    "aten::mm",
    "aten::native_batch_norm",
    "aten::native_layer_norm",
    "aten::upsample_bilinear2d",
};

bool RoundsWithin(const capture::OpInfo& op, const torch::jit::Stack& arguments) {
  return std::any_of(std::begin(kRoundWithin), std::end(kRoundWithin),
                     [&](const char* name) { return op.name == name; }) &&
         !arguments.empty() && arguments[0].isTensor() &&
         arguments[0].toTensor().scalar_type() == at::kBFloat16;
}

}  // namespace

torch::jit::Stack CallEager(const capture::OpInfo& op, const torch::jit::Stack& arguments) {
  torch::jit::Stack stack = arguments;
  if (RoundsWithin(op, arguments)) {
    torch::jit::Stack exact = arguments;
    ConvertAll(at::kBFloat16, at::kFloat, &exact);
    capture::CallOnCpu(op, &exact);
    capture::CallOnCpu(op, &stack);  // for the types
    for (size_t i = 0; i < stack.size(); ++i) {
      if (!stack[i].isTensor() || !stack[i].toTensor().defined()) continue;
      stack[i] = exact[i].toTensor().to(stack[i].toTensor().scalar_type());
    }
    return stack;
  }
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

}  // namespace glia::lowering::testing
