#include <gtest/gtest.h>

#include "nrt/nrt.h"
#include "serialization/hlo/builder.h"
#include "serialization/neff/neff.h"

TEST(Consumer, BuildsHlo) {
  glia::hlo::Builder builder("m");
  const glia::hlo::Op x =
      glia::hlo::Parameter(&builder, 0, glia::hlo::Shape(glia::hlo::kF32, {2, 3}), "x");
  EXPECT_TRUE(builder.Build(x).ok());
}

TEST(Consumer, ReadsNeffs) {
  EXPECT_FALSE(glia::neff::Read(glia::neff::Blob::FromString("no NEFF")).ok());
}

TEST(Consumer, UsesTheRuntime) {
  ASSERT_EQ(nrt_init(NRT_FRAMEWORK_TYPE_NO_FW, "", ""), NRT_SUCCESS);
  nrt_close();
}
