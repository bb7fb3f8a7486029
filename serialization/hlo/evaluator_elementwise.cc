#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/evaluator_internal.h"
#include "serialization/hlo/evaluator_lanes.h"

namespace glia::hlo {

Literal ConvertLiteral(const Literal& literal, PrimitiveType type) {
  const PrimitiveType from = literal.shape().type;
  if (from == type) return literal;
  Literal result = Literal::Zero(Shape(type, literal.shape().dims));
  const int64_t count = result.elements();
  void* data = result.MutableRaw();
  auto in = std::make_unique<evaluator::Lanes>();
  auto out = std::make_unique<evaluator::Lanes>();
  for (int64_t start = 0; start < count; start += evaluator::kLanes) {
    const int n = static_cast<int>(std::min<int64_t>(evaluator::kLanes, count - start));
    evaluator::Load(literal.raw(), from, start, 1, n, in.get());
    out->type = type;
    evaluator::Convert(*in, n, out.get());
    evaluator::Store(*out, n, data, start);
  }
  return result;
}

namespace evaluator {

absl::StatusOr<Literal> Elementwise(const Instruction& instr, Operands operands) {
  if (instr.opcode() == Opcode::kCopy) return operands[0];
  if (instr.opcode() == Opcode::kConvert) return ConvertLiteral(operands[0], instr.shape.type);
  Literal result = Literal::Zero(Shape(instr.shape.type, instr.shape.dims));
  const int64_t count = result.elements();
  void* data = result.MutableRaw();
  std::vector<Lanes> in(operands.size());
  std::vector<const Lanes*> in_pointers;
  for (const Lanes& lanes : in) in_pointers.push_back(&lanes);
  Lanes out;
  for (int64_t start = 0; start < count; start += kLanes) {
    const int n = static_cast<int>(std::min<int64_t>(kLanes, count - start));
    for (size_t i = 0; i < operands.size(); ++i) {
      // The scalar operands of select and clamp stand for every element.
      const bool scalar = operands[i].shape().IsScalar();
      Load(operands[i].raw(), operands[i].shape().type, scalar ? 0 : start, scalar ? 0 : 1, n,
           &in[i]);
    }
    absl::Status status = Apply(instr, in_pointers, n, &out);
    if (!status.ok()) return status;
    Store(out, n, data, start);
  }
  return result;
}

absl::StatusOr<Literal> BitcastConvert(const Instruction& instr, Operands operands) {
  // Between sizes, the shorter elements are the innermost dim of the longer: the bytes stay as they
  // are.
  const Shape shape(instr.shape.type, instr.shape.dims);
  return Literal::FromBytes(shape, operands[0].raw());
}

absl::StatusOr<Literal> Iota(const Instruction& instr, Operands /*operands*/) {
  Literal result = Literal::Zero(Shape(instr.shape.type, instr.shape.dims));
  const int64_t dim = instr.dimensions[0];
  const int64_t size = instr.shape.dims[static_cast<size_t>(dim)];
  int64_t inner = 1;
  for (int64_t d = dim + 1; d < instr.shape.rank(); ++d) inner *= instr.shape.dim(d);
  const int64_t count = result.elements();
  Lanes index;
  Lanes out;
  void* data = result.MutableRaw();
  for (int64_t start = 0; start < count; start += kLanes) {
    const int n = static_cast<int>(std::min<int64_t>(kLanes, count - start));
    index.type = kS64;
    for (int i = 0; i < n; ++i) index.as<int64_t>()[i] = (start + i) / inner % size;
    out.type = instr.shape.type;
    Convert(index, n, &out);
    Store(out, n, data, start);
  }
  return result;
}

absl::StatusOr<Literal> Map(const Instruction& instr, Operands operands) {
  Literal result = Literal::Zero(Shape(instr.shape.type, instr.shape.dims));
  const int64_t count = result.elements();
  void* data = result.MutableRaw();
  ScalarFunction function(*instr.to_apply());
  std::vector<Lanes> in(operands.size());
  std::vector<Lanes*> in_pointers;
  for (Lanes& lanes : in) in_pointers.push_back(&lanes);
  Lanes out;
  Lanes* const out_pointer = &out;
  for (int64_t start = 0; start < count; start += kLanes) {
    const int n = static_cast<int>(std::min<int64_t>(kLanes, count - start));
    for (size_t i = 0; i < operands.size(); ++i) {
      Load(operands[i].raw(), operands[i].shape().type, start, 1, n, &in[i]);
    }
    absl::Status status = function.Run(in_pointers, n, absl::MakeSpan(&out_pointer, 1));
    if (!status.ok()) return status;
    Store(out, n, data, start);
  }
  return result;
}

absl::StatusOr<Literal> BatchNormInference(const Instruction& instr, Operands operands) {
  // (x - mean) / sqrt(variance + epsilon) * scale + offset, per feature.
  Literal result = Literal::Zero(Shape(instr.shape.type, instr.shape.dims));
  const int64_t features = instr.shape.dim(instr.feature_index);
  int64_t inner = 1;
  for (int64_t d = instr.feature_index + 1; d < instr.shape.rank(); ++d)
    inner *= instr.shape.dim(d);
  const int64_t count = result.elements();
  void* data = result.MutableRaw();
  Lanes lanes[5];
  int64_t feature[kLanes];
  for (int64_t start = 0; start < count; start += kLanes) {
    const int n = static_cast<int>(std::min<int64_t>(kLanes, count - start));
    for (int i = 0; i < n; ++i) feature[i] = (start + i) / inner % features;
    Load(operands[0].raw(), instr.shape.type, start, 1, n, &lanes[0]);
    for (int p = 1; p < 5; ++p) {
      Load(operands[static_cast<size_t>(p)].raw(), operands[static_cast<size_t>(p)].shape().type,
           feature, n, &lanes[p]);
    }
    for (int i = 0; i < n; ++i) {
      const double x = lanes[0].as<double>()[i];
      const double scale = lanes[1].as<double>()[i];
      const double offset = lanes[2].as<double>()[i];
      const double mean = lanes[3].as<double>()[i];
      const double variance = lanes[4].as<double>()[i];
      lanes[0].as<double>()[i] =
          (x - mean) / std::sqrt(variance + static_cast<double>(instr.epsilon)) * scale + offset;
    }
    Store(lanes[0], n, data, start);
  }
  return result;
}

}  // namespace evaluator
}  // namespace glia::hlo
