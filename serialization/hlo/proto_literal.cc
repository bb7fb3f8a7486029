// Shapes and literals to and from the wire.

#include <cstring>

#include "absl/strings/str_cat.h"
#include "serialization/hlo/proto_convert.h"

namespace glia::hlo {
namespace {

constexpr int kMaxTupleDepth = 64;

absl::StatusOr<Shape> ShapeAtDepth(const proto::ShapeProto& proto, int depth) {
  if (depth > kMaxTupleDepth) {
    return absl::InvalidArgumentError("shape: tuples are nested deeper than 64");
  }
  Shape shape(static_cast<PrimitiveType>(proto.element_type()),
              {proto.dimensions().begin(), proto.dimensions().end()});
  if (shape.type == kTuple) {
    for (const proto::ShapeProto& element : proto.tuple_shapes()) {
      absl::StatusOr<Shape> converted = ShapeAtDepth(element, depth + 1);
      if (!converted.ok()) return converted;
      shape.tuple.push_back(*std::move(converted));
    }
  } else if (proto.tuple_shapes_size() > 0) {
    return absl::InvalidArgumentError("shape: only a tuple has elements");
  }
  for (bool dynamic : proto.is_dynamic_dimension()) {
    if (dynamic) {
      return absl::InvalidArgumentError(
          absl::StrCat("shape ", shape.ToString(),
                       ": dynamic dimensions are not supported; compile for a fixed shape"));
    }
  }
  // Writers leave the layout of a scalar empty.
  if (proto.layout().minor_to_major_size() > 0) {
    shape.minor_to_major.assign(proto.layout().minor_to_major().begin(),
                                proto.layout().minor_to_major().end());
  }
  return shape;
}

template <typename T, typename Field>
void PutValues(const Literal& literal, Field* field) {
  const auto* data = static_cast<const T*>(literal.raw());
  const int64_t count = literal.bytes() / static_cast<int64_t>(sizeof(T));
  field->Resize(static_cast<int>(count), {});
  if (count > 0) std::memcpy(field->mutable_data(), data, static_cast<size_t>(count) * sizeof(T));
}

void PutBytes(const Literal& literal, std::string* field) {
  field->assign(static_cast<const char*>(literal.raw()), static_cast<size_t>(literal.bytes()));
}

// Where the values are, and how many bytes.
struct Values {
  const void* data = nullptr;
  size_t bytes = 0;
};

template <typename Field>
Values FromField(const Field& field) {
  return {field.data(), static_cast<size_t>(field.size()) * sizeof(*field.data())};
}
Values FromBytes(const std::string& field) { return {field.data(), field.size()}; }

bool FindValues(const proto::LiteralProto& proto, PrimitiveType type, Values* values) {
  static_assert(sizeof(bool) == 1, "PRED is one byte");
  switch (type) {
    case kPred:
      *values = FromField(proto.preds());
      return true;
    case kS8:
      *values = FromBytes(proto.s8s());
      return true;
    case kS16:
      *values = FromBytes(proto.s16s());
      return true;
    case kS32:
      *values = FromField(proto.s32s());
      return true;
    case kS64:
      *values = FromField(proto.s64s());
      return true;
    case kU8:
      *values = FromBytes(proto.u8s());
      return true;
    case kU16:
      *values = FromBytes(proto.u16s());
      return true;
    case kU32:
      *values = FromField(proto.u32s());
      return true;
    case kU64:
      *values = FromField(proto.u64s());
      return true;
    case kF16:
      *values = FromBytes(proto.f16s());
      return true;
    case kBF16:
      *values = FromBytes(proto.bf16s());
      return true;
    case kF32:
      *values = FromField(proto.f32s());
      return true;
    case kF64:
      *values = FromField(proto.f64s());
      return true;
    case kC64:
      *values = FromField(proto.c64s());
      return true;
    case kC128:
      *values = FromField(proto.c128s());
      return true;
    case kF8E5M2:
      *values = FromBytes(proto.f8e5m2s());
      return true;
    case kF8E4M3FN:
      *values = FromBytes(proto.f8e4m3fns());
      return true;
    default:
      return false;
  }
}

// Reorders values from the order of the layout to row-major.
Literal FromLayout(const Shape& shape, const void* data) {
  Literal result = Literal::Zero(Shape(shape.type, shape.dims));
  const size_t rank = shape.dims.size();
  std::vector<int64_t> step(rank);  // in the source, of each logical dim
  int64_t stride = 1;
  for (int64_t dim : shape.minor_to_major) {
    step[dim] = stride;
    stride *= shape.dims[dim];
  }
  const auto size = static_cast<size_t>(ByteSize(shape.type));
  char* out = static_cast<char*>(result.MutableRaw());
  std::vector<int64_t> index(rank, 0);
  int64_t source = 0;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    std::memcpy(out + static_cast<size_t>(i) * size,
                static_cast<const char*>(data) + static_cast<size_t>(source) * size, size);
    for (size_t d = rank; d-- > 0;) {
      source += step[d];
      if (++index[d] < shape.dims[d]) break;
      source -= step[d] * shape.dims[d];
      index[d] = 0;
    }
  }
  return result;
}

absl::StatusOr<Literal> LiteralAtDepth(const proto::LiteralProto& proto, int depth) {
  if (depth > kMaxTupleDepth) {
    return absl::InvalidArgumentError("literal: tuples are nested deeper than 64");
  }
  absl::StatusOr<Shape> shape = ShapeFromProto(proto.shape());
  if (!shape.ok()) return shape.status();
  auto wrong_count = [&](size_t given, size_t expected, absl::string_view unit) {
    return absl::InvalidArgumentError(
        absl::StrCat("literal ", shape->ToString(), " has ", given, " ", unit, ", not ", expected));
  };
  if (shape->IsTuple()) {
    const auto given = static_cast<size_t>(proto.tuple_literals_size());
    if (given != shape->tuple.size()) return wrong_count(given, shape->tuple.size(), "elements");
    std::vector<Literal> elements;
    for (const proto::LiteralProto& element : proto.tuple_literals()) {
      absl::StatusOr<Literal> literal = LiteralAtDepth(element, depth + 1);
      if (!literal.ok()) return literal;
      if (!Compatible(literal->shape(), shape->tuple[elements.size()])) {
        return absl::InvalidArgumentError(absl::StrCat("literal ", shape->ToString(), ": element ",
                                                       elements.size(), " is ",
                                                       literal->shape().ToString()));
      }
      elements.push_back(*std::move(literal));
    }
    return Literal::Tuple(std::move(elements));
  }
  Values values;
  if (!FindValues(proto, shape->type, &values)) {
    return absl::InvalidArgumentError(
        absl::StrCat("literals of shape ", shape->ToString(), " are not supported"));
  }
  const auto expected = static_cast<size_t>(shape->bytes());
  if (values.bytes != expected) return wrong_count(values.bytes, expected, "bytes");
  if (!shape->HasDefaultLayout()) return FromLayout(*shape, values.data);
  return Literal::FromBytes(Shape(shape->type, shape->dims), values.data);
}

}  // namespace

proto::ShapeProto ShapeToProto(const Shape& shape) {
  proto::ShapeProto proto;
  proto.set_element_type(static_cast<proto::PrimitiveType>(shape.type));
  for (const Shape& element : shape.tuple) *proto.add_tuple_shapes() = ShapeToProto(element);
  if (!shape.IsArray()) return proto;
  proto.mutable_dimensions()->Add(shape.dims.begin(), shape.dims.end());
  // Readers expect one flag for each dimension, and a layout even for scalars.
  for (size_t i = 0; i < shape.dims.size(); ++i) proto.add_is_dynamic_dimension(false);
  proto::LayoutProto* layout = proto.mutable_layout();
  if (!shape.minor_to_major.empty()) {
    layout->mutable_minor_to_major()->Add(shape.minor_to_major.begin(), shape.minor_to_major.end());
  } else {
    for (int64_t i = shape.rank(); i-- > 0;) layout->add_minor_to_major(i);
  }
  return proto;
}

absl::StatusOr<Shape> ShapeFromProto(const proto::ShapeProto& proto) {
  absl::StatusOr<Shape> shape = ShapeAtDepth(proto, 0);
  if (!shape.ok()) return shape;
  absl::Status valid = ValidateShape(*shape);
  if (!valid.ok()) return valid;
  return shape;
}

proto::LiteralProto LiteralToProto(const Literal& literal) {
  proto::LiteralProto proto;
  *proto.mutable_shape() = ShapeToProto(literal.shape().WithoutLayout());
  for (const Literal& element : literal.tuple()) {
    *proto.add_tuple_literals() = LiteralToProto(element);
  }
  switch (literal.shape().type) {
    case kPred:
      PutValues<bool>(literal, proto.mutable_preds());
      break;
    case kS8:
      PutBytes(literal, proto.mutable_s8s());
      break;
    case kS16:
      PutBytes(literal, proto.mutable_s16s());
      break;
    case kS32:
      PutValues<int32_t>(literal, proto.mutable_s32s());
      break;
    case kS64:
      PutValues<int64_t>(literal, proto.mutable_s64s());
      break;
    case kU8:
      PutBytes(literal, proto.mutable_u8s());
      break;
    case kU16:
      PutBytes(literal, proto.mutable_u16s());
      break;
    case kU32:
      PutValues<uint32_t>(literal, proto.mutable_u32s());
      break;
    case kU64:
      PutValues<uint64_t>(literal, proto.mutable_u64s());
      break;
    case kF16:
      PutBytes(literal, proto.mutable_f16s());
      break;
    case kBF16:
      PutBytes(literal, proto.mutable_bf16s());
      break;
    case kF32:
      PutValues<float>(literal, proto.mutable_f32s());
      break;
    case kF64:
      PutValues<double>(literal, proto.mutable_f64s());
      break;
    case kC64:
      PutValues<float>(literal, proto.mutable_c64s());
      break;
    case kC128:
      PutValues<double>(literal, proto.mutable_c128s());
      break;
    case kF8E5M2:
      PutBytes(literal, proto.mutable_f8e5m2s());
      break;
    case kF8E4M3FN:
      PutBytes(literal, proto.mutable_f8e4m3fns());
      break;
    default:
      break;  // tuples, done above; s4 and u4 have no settled form
  }
  return proto;
}

absl::StatusOr<Literal> LiteralFromProto(const proto::LiteralProto& proto) {
  return LiteralAtDepth(proto, 0);
}

}  // namespace glia::hlo
