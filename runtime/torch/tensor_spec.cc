#include "runtime/torch/tensor_spec.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace glia::neuron {
namespace {

struct Dtype {
  at::ScalarType type;
  // The first is the one printed.
  std::vector<absl::string_view> names;
};

const std::vector<Dtype>& Dtypes() {
  static const auto* const dtypes = new std::vector<Dtype>{
      {at::ScalarType::Float, {"f32", "float32", "float"}},
      {at::ScalarType::Double, {"f64", "float64", "double"}},
      {at::ScalarType::BFloat16, {"bf16", "bfloat16"}},
      {at::ScalarType::Half, {"f16", "float16", "half"}},
      {at::ScalarType::Char, {"i8", "s8", "int8"}},
      {at::ScalarType::Byte, {"u8", "uint8"}},
      {at::ScalarType::Short, {"i16", "s16", "int16"}},
      {at::ScalarType::Int, {"i32", "s32", "int32"}},
      {at::ScalarType::Long, {"i64", "s64", "int64"}},
      {at::ScalarType::Bool, {"bool", "pred"}},
  };
  return *dtypes;
}

}  // namespace

absl::string_view DtypeName(at::ScalarType dtype) {
  for (const Dtype& d : Dtypes()) {
    if (d.type == dtype) return d.names.front();
  }
  return "?";
}

std::string ToString(const TensorSpec& spec) {
  return absl::StrCat(spec.name, spec.name.empty() ? "" : ":", DtypeName(spec.dtype), "[",
                      absl::StrJoin(spec.sizes, ","), "]");
}

std::string ShapeString(const std::vector<int64_t>& sizes) {
  return absl::StrCat("[", absl::StrJoin(sizes, ", "), "]");
}

absl::StatusOr<TensorSpec> ParseTensorSpec(absl::string_view text) {
  auto error = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no tensor type: ", why,
                     "; expected a dtype (f32, f64, bf16, f16, i8, u8, i16, i32, i64, bool) and a "
                     "shape, such as f32[1,784]"));
  };
  TensorSpec spec;
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  if (const size_t colon = rest.rfind(':'); colon != absl::string_view::npos) {
    spec.name = std::string(absl::StripAsciiWhitespace(rest.substr(0, colon)));
    rest = rest.substr(colon + 1);
  }
  const size_t open = rest.find('[');
  if (open == absl::string_view::npos || rest.empty() || rest.back() != ']') {
    return error("the shape's brackets are missing");
  }
  const std::string name =
      absl::AsciiStrToLower(absl::StripAsciiWhitespace(rest.substr(0, open)));
  bool known = false;
  for (const Dtype& d : Dtypes()) {
    for (absl::string_view n : d.names) {
      if (n == name) {
        spec.dtype = d.type;
        known = true;
      }
    }
  }
  if (!known) return error(absl::StrCat("unknown dtype '", name, "'"));
  const absl::string_view inside =
      absl::StripAsciiWhitespace(rest.substr(open + 1, rest.size() - open - 2));
  if (inside.empty()) return spec;
  int64_t elements = 1;
  for (absl::string_view part : absl::StrSplit(inside, ',')) {
    int64_t size = 0;
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(part), &size) || size < 0) {
      return error(absl::StrCat("bad size '", part, "'"));
    }
    if (__builtin_mul_overflow(elements, size > 0 ? size : 1, &elements) ||
        elements > (int64_t{1} << 48)) {
      return error("too many elements");
    }
    spec.sizes.push_back(size);
  }
  return spec;
}

at::ScalarType DeviceDtype(at::ScalarType dtype) {
  return dtype == at::ScalarType::Double ? at::ScalarType::Float : dtype;
}

}  // namespace glia::neuron
