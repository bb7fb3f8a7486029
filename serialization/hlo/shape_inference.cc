#include "serialization/hlo/shape_inference.h"

#include "absl/strings/str_join.h"
#include "serialization/hlo/shape_inference_internal.h"

namespace glia::hlo {
namespace inference {

std::string DimsToString(absl::Span<const int64_t> dims) {
  return absl::StrCat("{", absl::StrJoin(dims, ","), "}");
}

absl::Status CheckArray(const Input& input, size_t operand) {
  if (input.operands[operand]->IsArray()) return absl::OkStatus();
  return Error(input, "operand ", operand, " must be an array");
}

absl::Status CheckScalar(const Input& input, size_t operand) {
  if (input.operands[operand]->IsScalar()) return absl::OkStatus();
  return Error(input, "operand ", operand, " must be a scalar");
}

absl::Status CheckDims(const Input& input, absl::Span<const int64_t> dims, int64_t rank,
                       absl::string_view what) {
  std::vector<bool> seen(static_cast<size_t>(rank));
  for (int64_t dim : dims) {
    if (dim < 0 || dim >= rank) {
      return Error(input, what, " ", DimsToString(dims), " has ", dim, ", outside [0, ", rank, ")");
    }
    if (seen[dim]) return Error(input, what, " ", DimsToString(dims), " repeats ", dim);
    seen[dim] = true;
  }
  return absl::OkStatus();
}

absl::Status CheckCalled(const Input& input, size_t count) {
  if (input.called.size() != count) {
    return Error(input, "must call ", count, " computation", count == 1 ? "" : "s", ", but calls ",
                 input.called.size());
  }
  for (const Computation* computation : input.called) {
    if (computation->root() == nullptr) {
      return Error(input, "called computation ", computation->name(), " has no root");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSignature(const Input& input, size_t called, absl::Span<const Shape> parameters,
                            const Shape* result) {
  const Computation& computation = *input.called[called];
  auto describe = [&](absl::Span<const Shape> shapes) {
    return absl::StrJoin(shapes, ", ", [](std::string* out, const Shape& shape) {
      absl::StrAppend(out, shape.ToString());
    });
  };
  const ProgramShape given = ProgramShapeOf(computation);
  bool match = given.parameters.size() == parameters.size();
  for (size_t i = 0; match && i < parameters.size(); ++i) {
    match = Compatible(given.parameters[i], parameters[i]);
  }
  if (!match) {
    return Error(input, "computation ", computation.name(), " must take (", describe(parameters),
                 "), but takes (", describe(given.parameters), ")");
  }
  if (result != nullptr && !Compatible(given.result, *result)) {
    return Error(input, "computation ", computation.name(), " must return ", result->ToString(),
                 ", but returns ", given.result.ToString());
  }
  return absl::OkStatus();
}

namespace {

using Rule = Result (*)(const Input&);

Rule RuleOf(Opcode opcode) {
  switch (OpcodeCategory(opcode)) {
    case OpCategory::kUnary:
      return InferUnary;
    case OpCategory::kBinary:
      return opcode == Opcode::kCompare ? InferCompare : InferBinary;
    default:
      break;
  }
  struct Entry {
    Opcode opcode;
    Rule rule;
  };
  static constexpr Entry kRules[] = {
      {Opcode::kConvert, InferConvert},
      {Opcode::kBitcastConvert, InferBitcastConvert},
      {Opcode::kClamp, InferClamp},
      {Opcode::kSelect, InferSelect},
      {Opcode::kBitcast, InferBitcast},
      {Opcode::kBroadcast, InferBroadcast},
      {Opcode::kConcatenate, InferConcatenate},
      {Opcode::kDynamicSlice, InferDynamicSlice},
      {Opcode::kDynamicUpdateSlice, InferDynamicUpdateSlice},
      {Opcode::kGather, InferGather},
      {Opcode::kPad, InferPad},
      {Opcode::kReshape, InferReshape},
      {Opcode::kReverse, InferReverse},
      {Opcode::kSlice, InferSlice},
      {Opcode::kTranspose, InferTranspose},
      {Opcode::kBatchNormInference, InferBatchNormInference},
      {Opcode::kConvolution, InferConvolution},
      {Opcode::kDot, InferDot},
      {Opcode::kMap, InferMap},
      {Opcode::kReduce, InferReduce},
      {Opcode::kReduceWindow, InferReduceWindow},
      {Opcode::kScatter, InferScatter},
      {Opcode::kSelectAndScatter, InferSelectAndScatter},
      {Opcode::kSort, InferSort},
      {Opcode::kTopK, InferTopK},
      {Opcode::kConstant, InferConstant},
      {Opcode::kIota, InferIota},
      {Opcode::kParameter, InferParameter},
      {Opcode::kRng, InferRng},
      {Opcode::kRngBitGenerator, InferRngBitGenerator},
      {Opcode::kCall, InferCall},
      {Opcode::kConditional, InferConditional},
      {Opcode::kCustomCall, InferCustomCall},
      {Opcode::kFusion, InferCall},
      {Opcode::kGetTupleElement, InferGetTupleElement},
      {Opcode::kOptimizationBarrier, InferIdentity},
      {Opcode::kTuple, InferTuple},
      {Opcode::kWhile, InferWhile},
  };
  for (const Entry& entry : kRules) {
    if (entry.opcode == opcode) return entry.rule;
  }
  return nullptr;
}

}  // namespace
}  // namespace inference

absl::StatusOr<Shape> InferShape(const InferenceInput& input) {
  static const std::vector<inference::Rule>* const rules = [] {
    auto* table = new std::vector<inference::Rule>;
    for (int i = 0; i < kOpcodeCount; ++i) {
      table->push_back(inference::RuleOf(static_cast<Opcode>(i)));
    }
    return table;
  }();
  const int operands = OpcodeOperandCount(input.opcode);
  if (operands >= 0 && input.operands.size() != static_cast<size_t>(operands)) {
    return inference::Error(input, "takes ", operands, " operands, but has ",
                            input.operands.size());
  }
  const inference::Rule rule = (*rules)[static_cast<size_t>(input.opcode)];
  absl::StatusOr<Shape> shape = rule(input);
  if (!shape.ok()) return shape;
  absl::Status valid = ValidateShape(*shape);
  if (!valid.ok()) return inference::Error(input, valid.message());
  return shape;
}

absl::StatusOr<Shape> InferShape(const Instruction& instruction) {
  std::vector<const Shape*> operands;
  operands.reserve(static_cast<size_t>(instruction.operand_count()));
  for (const Instruction* operand : instruction.operands()) operands.push_back(&operand->shape);
  return InferShape(
      {instruction.opcode(), operands, instruction, instruction.called, instruction.shape});
}

absl::StatusOr<int64_t> WindowOutputSize(int64_t base, const WindowDim& window) {
  if (window.size < 1 || window.stride < 1 || window.window_dilation < 1 ||
      window.base_dilation < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "window sizes, strides and dilations must be at least 1, but size=", window.size,
        " stride=", window.stride, " window dilation=", window.window_dilation,
        " base dilation=", window.base_dilation));
  }
  constexpr int64_t kLimit = int64_t{1} << 40;  // keeps the products below in range
  for (int64_t value : {base, window.size, window.stride, window.window_dilation,
                        window.base_dilation, window.pad_low, window.pad_high}) {
    if (value > kLimit || value < -kLimit) {
      return absl::InvalidArgumentError(absl::StrCat("window value ", value, " is out of range"));
    }
  }
  __int128 padded = base == 0 ? 0 : static_cast<__int128>(base - 1) * window.base_dilation + 1;
  padded += window.pad_low;
  padded += window.pad_high;
  const __int128 extent = static_cast<__int128>(window.size - 1) * window.window_dilation + 1;
  if (padded < extent) return 0;
  const __int128 positions = (padded - extent) / window.stride + 1;
  if (positions > kLimit) return absl::InvalidArgumentError("the window's output is out of range");
  return static_cast<int64_t>(positions);
}

}  // namespace glia::hlo
