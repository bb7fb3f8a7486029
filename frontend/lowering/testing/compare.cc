#include "frontend/lowering/testing/compare.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace glia::lowering::testing {
namespace {

struct Tolerance {
  at::ScalarType dtype;
  double difference;
  const char* reason;
};
constexpr Tolerance kTolerances[] = {
    {at::kFloat, 1e-5, "84 units in the last place: sums in another order, other approximations"},
    {at::kDouble, 1e-5, "the device computes it in f32"},
    {at::kBFloat16, 1e-2,
     "2.6 units in the last place: eager rounds between the steps of a formula"},
    {at::kHalf, 2e-3, "2 units in the last place: eager rounds between the steps of a formula"},
};

template <typename T>
absl::Status CompareElements(const at::Tensor& got, const at::Tensor& want, at::ScalarType as,
                             double tolerance) {
  const at::Tensor a = got.to(as).contiguous(), b = want.to(as).contiguous();
  for (int64_t i = 0; i < a.numel(); ++i) {
    const T p = a.data_ptr<T>()[i], q = b.data_ptr<T>()[i];
    const double difference = std::abs(static_cast<double>(p) - static_cast<double>(q));
    const bool same = p == q || (p != p && q != q) ||
                      (tolerance > 0 &&
                       difference <= tolerance * std::max(1.0, std::abs(static_cast<double>(q))));
    if (!same)
      return absl::InternalError(absl::StrCat("element ", i, " is ", p, ", eager has ", q));
  }
  return absl::OkStatus();
}

}  // namespace

double ToleranceOf(at::ScalarType dtype) {
  for (const Tolerance& t : kTolerances) {
    if (t.dtype == dtype) return t.difference;
  }
  return 0;
}

absl::Status Compare(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  if (got.scalar_type() != want.scalar_type() || got.sizes() != want.sizes()) {
    std::ostringstream os;
    os << got.scalar_type() << got.sizes() << ", eager has " << want.scalar_type() << want.sizes();
    return absl::InternalError(os.str());
  }
  const double of_type = ToleranceOf(want.scalar_type());
  if (of_type == 0) return CompareElements<int64_t>(got, want, at::kLong, 0);
  return CompareElements<double>(got, want, at::kDouble, std::max(tolerance, of_type));
}

}  // namespace glia::lowering::testing
