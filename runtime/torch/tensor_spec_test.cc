#include "runtime/torch/tensor_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glia::neuron {
namespace {

TEST(TensorSpec, RoundTrips) {
  for (const char* text : {"f32[1,784]", "x:i64[2,6]", "x[\"a:b\"]:bf16[]", "bool[0,3]", "f64[7]",
                           "f16[1]", "i8[1]", "u8[1]", "i16[1]", "i32[1]"}) {
    auto spec = ParseTensorSpec(text);
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(ToString(*spec), text);
  }
}

TEST(TensorSpec, ReadsOtherSpellings) {
  EXPECT_EQ(ToString(*ParseTensorSpec(" Float32[ 1 , 2 ] ")), "f32[1,2]");
  EXPECT_EQ(ToString(*ParseTensorSpec("s64[3]")), "i64[3]");
  EXPECT_EQ(ToString(*ParseTensorSpec("pred[]")), "bool[]");
}

TEST(TensorSpec, RefusesTheRestWithTheTextAndTheReason) {
  for (const char* text : {"", "f32", "f32[1", "f33[1]", "f32[-1]", "f32[1,]", "f32[x]", "[1]",
                           "f32[99999999,99999999,99999999]", "f32[9223372036854775807,3]"}) {
    auto spec = ParseTensorSpec(text);
    ASSERT_FALSE(spec.ok()) << text;
    EXPECT_THAT(std::string(spec.status().message()), ::testing::HasSubstr("such as f32[1,784]"));
  }
}

}  // namespace
}  // namespace glia::neuron
