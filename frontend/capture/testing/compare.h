// Runs a program on the CPU and on the xla device and compares everything that eager PyTorch
// promises: values, sizes, strides, dtypes, and what became of the inputs.
#ifndef GLIA_FRONTEND_CAPTURE_TESTING_COMPARE_H_
#define GLIA_FRONTEND_CAPTURE_TESTING_COMPARE_H_

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "frontend/capture/capture.h"

namespace glia::capture::testing {

using Tensors = std::vector<at::Tensor>;
using Program = std::function<Tensors(const Tensors&)>;

inline void ExpectSame(const at::Tensor& expected, const at::Tensor& got, const char* what) {
  ASSERT_EQ(got.device().type(), at::kXLA) << what;
  EXPECT_EQ(got.sizes(), expected.sizes()) << what;
  EXPECT_EQ(got.scalar_type(), expected.scalar_type()) << what;
  EXPECT_EQ(got.is_contiguous(), expected.is_contiguous())
      << what << " strides " << got.strides() << " instead of " << expected.strides();
  if (expected.numel() > 0) {
    for (int64_t d = 0; d < expected.dim(); ++d) {
      if (expected.size(d) != 1) {
        EXPECT_EQ(got.stride(d), expected.stride(d)) << what << " dim " << d;
      }
    }
  }
  const at::Tensor host = got.cpu();
  ASSERT_EQ(host.sizes(), expected.sizes()) << what;
  EXPECT_TRUE(host.scalar_type() == expected.scalar_type() &&
              at::allclose(
                  host.to(at::isComplexType(host.scalar_type()) ? at::kComplexDouble : at::kDouble),
                  expected.to(host.is_complex() ? at::kComplexDouble : at::kDouble), 1e-5, 1e-6,
                  /*equal_nan=*/true))
      << what << "\nexpected\n"
      << expected << "\ngot\n"
      << host;
}

inline void Compare(const char* name, const Tensors& inputs, const Program& program) {
  SCOPED_TRACE(name);
  Tensors cpu, xla;
  for (const at::Tensor& t : inputs) {
    cpu.push_back(t.clone());
    xla.push_back(t.to(XlaDevice()));
  }
  const Tensors expected = program(cpu), got = program(xla);
  ASSERT_EQ(expected.size(), got.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ExpectSame(expected[i], got[i], ("output " + std::to_string(i)).c_str());
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    ExpectSame(cpu[i], xla[i], ("input " + std::to_string(i)).c_str());
  }
}

}  // namespace glia::capture::testing

#endif  // GLIA_FRONTEND_CAPTURE_TESTING_COMPARE_H_
