#include "frontend/lowering/ctx.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace glia::lowering {

using capture::ArgKind;

bool Ctx::Has(size_t i) const { return i < node_.num_args() && !node_.arg(i).isNone(); }

bool Ctx::IsTensor(size_t i) const { return i < node_.num_args() && node_.HasTensor(i); }

const capture::TensorMeta& Ctx::Meta(size_t i) const {
  return node_.operands[node_.arg(i).toInt()].meta();
}

Op Ctx::T(size_t i) const { return IsTensor(i) ? operands_[node_.arg(i).toInt()] : Op{}; }

Op Ctx::T(size_t i, PrimitiveType type) const {
  const Op x = T(i);
  if (!x.valid()) return x;
  return type == hlo::kPred ? NotZero(x) : Convert(x, type);
}

std::vector<Op> Ctx::List(size_t i) const {
  const auto values = node_.TensorList(i);
  const auto first = operands_.begin() + (values.data() - node_.operands.data());
  return std::vector<Op>(first, first + static_cast<int64_t>(values.size()));
}

int64_t Ctx::Int(size_t i) const {
  const c10::IValue& v = node_.arg(i);
  return v.isBool() ? v.toBool() : v.isInt() ? v.toInt() : v.toScalar().toLong();
}

double Ctx::Double(size_t i) const {
  const c10::IValue& v = node_.arg(i);
  return v.isDouble() ? v.toDouble() : v.toScalar().toDouble();
}

Dims Ctx::Ints(size_t i) const {
  if (!Has(i)) return {};
  const c10::IValue& v = node_.arg(i);
  if (v.isInt()) return {v.toInt()};
  Dims result;
  for (const c10::IValue& element : v.toListRef()) result.push_back(element.toInt());
  return result;
}

std::vector<double> Ctx::Doubles(size_t i) const {
  if (!Has(i)) return {};
  std::vector<double> result;
  for (const c10::IValue& element : node_.arg(i).toListRef()) {
    result.push_back(element.toScalar().toDouble());
  }
  return result;
}

std::string Ctx::Str(size_t i) const {
  return Has(i) ? std::string(node_.arg(i).toStringRef()) : std::string();
}

int64_t Ctx::Wrap(int64_t dim, int64_t rank) {
  return dim < 0 ? dim + (rank == 0 ? 1 : rank) : dim;
}

Dims Ctx::DimList(size_t i, int64_t rank) const {
  if (rank == 0) return {};  // torch allows 0 and -1 there, which say nothing
  Dims dims = Ints(i);
  for (int64_t& d : dims) d = Wrap(d, rank);
  return dims;
}

Dims Ctx::DimsOrAll(size_t i, int64_t rank) const {
  const Dims dims = DimList(i, rank);
  return dims.empty() ? DimRange(0, rank) : dims;
}

PrimitiveType Ctx::ComputeType(PrimitiveType type) {
  if (type == hlo::kF16 || type == hlo::kBF16) return hlo::kF32;
  return type == hlo::kPred ? hlo::kS32 : type;
}

PrimitiveType Ctx::Promote(std::initializer_list<size_t> args) const {
  // As at::result_type: tensors with dims go before 0-d tensors, which go before Python numbers; a
  // lower class counts only when it is of a higher category (bool < integer < float).
  using at::ScalarType;
  ScalarType best[3] = {ScalarType::Undefined, ScalarType::Undefined, ScalarType::Undefined};
  const auto merge = [](ScalarType a, ScalarType b) {
    return a == ScalarType::Undefined ? b : c10::promoteTypes(a, b);
  };
  for (size_t i : args) {
    if (!Has(i)) continue;
    if (IsTensor(i)) {
      const capture::TensorMeta& meta = Meta(i);
      const int level = meta.wrapped_number ? 2 : meta.sizes.empty() ? 1 : 0;
      ScalarType type = meta.dtype;
      if (level == 2 && c10::isFloatingType(type)) type = ScalarType::Float;
      best[level] = merge(best[level], type);
    } else {
      const c10::Scalar s = node_.arg(i).toScalar();
      best[2] = merge(best[2], s.isFloatingPoint() ? ScalarType::Float
                               : s.isBoolean()     ? ScalarType::Bool
                                                   : ScalarType::Long);
    }
  }
  const auto category = [](ScalarType t) {
    return t == ScalarType::Undefined ? -1
           : c10::isFloatingType(t)   ? 2
           : t == ScalarType::Bool    ? 0
                                      : 1;
  };
  ScalarType result = best[0];
  for (int level = 1; level < 3; ++level) {
    if (category(best[level]) > category(result)) {
      result =
          result == ScalarType::Undefined ? best[level] : c10::promoteTypes(result, best[level]);
    }
  }
  return ToHlo(result);
}

Op Ctx::El(size_t i, PrimitiveType type) const {
  const Op x = IsTensor(i) ? T(i, type) : ScalarEl(i, type);
  return BroadcastTo(x, Out().dims);
}

Op Ctx::ScalarEl(size_t i, PrimitiveType type) const {
  const c10::Scalar value = node_.arg(i).toScalar();
  if (value.isFloatingPoint() || hlo::IsFloating(type)) {
    return hlo::ConstantScalar(builder_, type, value.toDouble());
  }
  return IntScalar(builder_, type, value.toLong());
}

Shape Ctx::Out(size_t k) const {
  const capture::NodeInfo& info = *node_.info;
  if (!OutDefined(k)) return Shape();
  if (info.returns.size() > 1) k = info.returns[k].first;
  const capture::TensorMeta& meta = info.outputs[k];
  return Shape(ToHlo(meta.dtype), meta.sizes);
}

bool Ctx::OutDefined(size_t k) const {
  const capture::NodeInfo& info = *node_.info;
  return info.returns.size() <= 1 || info.returns[k].first >= 0;
}

void Ctx::Refuse(absl::string_view reason) {
  builder_->ReportError(absl::UnimplementedError(absl::StrCat(node_.op()->name, ": ", reason)));
}

}  // namespace glia::lowering
