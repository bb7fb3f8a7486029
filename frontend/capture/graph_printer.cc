#include <sstream>
#include <unordered_map>

#include "frontend/capture/graph.h"

namespace glia::capture {
namespace {

const char* DtypeName(at::ScalarType t) {
  switch (t) {
    case at::ScalarType::Float:
      return "f32";
    case at::ScalarType::Double:
      return "f64";
    case at::ScalarType::Half:
      return "f16";
    case at::ScalarType::BFloat16:
      return "bf16";
    case at::ScalarType::Long:
      return "s64";
    case at::ScalarType::Int:
      return "s32";
    case at::ScalarType::Short:
      return "s16";
    case at::ScalarType::Char:
      return "s8";
    case at::ScalarType::Byte:
      return "u8";
    case at::ScalarType::Bool:
      return "pred";
    case at::ScalarType::ComplexFloat:
      return "c64";
    case at::ScalarType::ComplexDouble:
      return "c128";
    default:
      return c10::toString(t);
  }
}

std::string List(const std::vector<int64_t>& v, char open, char close) {
  std::string s(1, open);
  for (size_t i = 0; i < v.size(); ++i) s += (i ? "," : "") + std::to_string(v[i]);
  return s + close;
}

std::string Region(const TensorMeta& m) {
  return DtypeName(m.dtype) + List(m.sizes, '[', ']') + List(m.strides, '{', '}') + "+" +
         std::to_string(m.storage_offset);
}

// Prints an operator's arguments; `operand` prints operand i. `names`: of tensors too.
template <typename F>
void PrintArgs(std::ostream& os, const Node& n, F operand, bool names = false) {
  for (size_t i = 0; i < n.num_args(); ++i) {
    if (i > 0) os << ", ";
    if (names && n.arg(i).isInt() && n.arg_kind(i) != ArgKind::kAttribute) {
      os << n.schema().arguments()[i].name() << "=";
    }
    if (n.HasTensor(i)) {
      os << operand(n.arg(i).toInt());
    } else if (n.arg_kind(i) == ArgKind::kTensorList && n.arg(i).isInt()) {
      const int64_t first = n.arg(i).toInt() >> 32, count = n.arg(i).toInt() & 0xffffffff;
      os << "[";
      for (int64_t k = 0; k < count; ++k) os << (k ? ", " : "") << operand(first + k);
      os << "]";
    } else {
      os << n.schema().arguments()[i].name() << "=" << n.arg(i);
    }
  }
}

}  // namespace

std::string ToString(const TensorMeta& m) {
  std::string s = DtypeName(m.dtype) + List(m.sizes, '[', ']');
  if (m.strides != ContiguousStrides(m.sizes)) s += List(m.strides, '{', '}');
  if (m.wrapped_number) s += "w";
  return s;
}

std::string DescribeNode(const Node& n) {
  std::ostringstream os;
  switch (n.kind) {
    case NodeKind::kView:
      return "a view " + Region(n.region()) + " of " + Region(n.base());
    case NodeKind::kUpdate:
      return "a write to " + Region(n.region()) + " of " + Region(n.base());
    case NodeKind::kInput:
      return (n.parameter >= 0 ? "input " + std::to_string(n.parameter) : "a constant or weight") +
             (" " + ToString(n.output()));
    case NodeKind::kConstant:
    case NodeKind::kZeros:
      return "a constant " + ToString(n.output());
    case NodeKind::kOp:
      break;
  }
  os << n.op()->name << "(";
  PrintArgs(
      os, n,
      [&](int64_t i) {
        return n.operands[i] ? ToString(n.operands[i].meta()) : std::string("none");
      },
      /*names=*/true);
  os << ")";
  return os.str();
}

std::string ToString(const Graph& graph) {
  std::ostringstream os;
  std::unordered_map<const Node*, size_t> number;
  auto name = [&](const Value& v) {
    if (!v) return std::string("none");
    std::string s = "%" + std::to_string(number.at(v.node.get()));
    if (v.node->num_outputs() > 1) s += "." + std::to_string(v.index);
    return s;
  };
  for (const NodePtr& node : graph.nodes) {
    const Node& n = *node;
    const size_t id = number.size();
    number[&n] = id;
    os << "%" << id << " = ";
    if (n.num_outputs() != 1) os << "(";
    for (int i = 0; i < n.num_outputs(); ++i) os << (i ? ", " : "") << ToString(n.output(i));
    if (n.num_outputs() != 1) os << ")";
    os << " ";
    switch (n.kind) {
      case NodeKind::kInput:
        os << (n.parameter >= 0 ? "parameter " + std::to_string(n.parameter)
                                : std::string(n.data ? "data" : "host"));
        break;
      case NodeKind::kConstant:
        os << "constant " << c10::IValue(n.scalar());
        break;
      case NodeKind::kZeros:
        os << "zeros";
        break;
      case NodeKind::kOp:
        os << n.op()->name << "(";
        PrintArgs(os, n, [&](int64_t i) { return name(n.operands[i]); });
        os << ")";
        break;
      case NodeKind::kView:
        os << "view " << Region(n.region()) << " of " << name(n.operands[0]) << " "
           << Region(n.base());
        break;
      case NodeKind::kUpdate:
        os << "update " << Region(n.region()) << " of " << name(n.operands[0]) << " "
           << Region(n.base()) << " with " << name(n.operands[1]);
        break;
    }
    if (n.source) os << "  # " << *n.source;
    os << "\n";
  }
  os << "return ";
  for (size_t i = 0; i < graph.outputs.size(); ++i) os << (i ? ", " : "") << name(graph.outputs[i]);
  os << "\n";
  return os.str();
}

}  // namespace glia::capture
