// Helpers of the evaluator's tests.
#ifndef GLIA_SERIALIZATION_HLO_EVALUATOR_TESTING_H_
#define GLIA_SERIALIZATION_HLO_EVALUATOR_TESTING_H_

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "serialization/hlo/builder.h"
#include "serialization/hlo/evaluator.h"

namespace glia::hlo {

inline Literal Lit(PrimitiveType type, std::vector<int64_t> dims,
                   const std::vector<double>& values) {
  return Literal::FromDoubles(Shape(type, std::move(dims)), values);
}

// A constant of the builder.
inline Op Const(Builder* b, PrimitiveType type, std::vector<int64_t> dims,
                const std::vector<double>& values) {
  return Constant(b, Lit(type, std::move(dims), values));
}

// Builds with this root and evaluates; fails the test and gives an empty literal on an error.
inline Literal Eval(Builder* b, Op root, const std::vector<Literal>& args = {}) {
  auto module = b->Build(root);
  EXPECT_TRUE(module.ok()) << module.status();
  if (!module.ok()) return Literal();
  auto result = Evaluate(**module, args);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : Literal();
}

// Same shape and equal values; NaN equals NaN. tolerance is relative to max(1, |expected|).
inline void ExpectLiteral(const Literal& actual, const Literal& expected, double tolerance = 0) {
  ASSERT_TRUE(Compatible(actual.shape(), expected.shape()))
      << actual.shape().ToString() << " instead of " << expected.shape().ToString();
  if (expected.shape().IsTuple()) {
    for (size_t i = 0; i < expected.tuple().size(); ++i) {
      ExpectLiteral(actual.tuple()[i], expected.tuple()[i], tolerance);
    }
    return;
  }
  for (int64_t i = 0; i < expected.elements(); ++i) {
    const double a = actual.GetAsDouble(i);
    const double e = expected.GetAsDouble(i);
    const bool equal = a == e || (std::isnan(a) && std::isnan(e)) ||
                       std::fabs(a - e) <= tolerance * std::max(1.0, std::fabs(e));
    EXPECT_TRUE(equal) << "element " << i << " of " << actual.ToString(64) << " instead of "
                       << expected.ToString(64);
    if (!equal) return;
  }
}

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_EVALUATOR_TESTING_H_
