#include "serialization/hlo/shape.h"

#include "gtest/gtest.h"

namespace glia::hlo {
namespace {

TEST(Shape, NamesAndSizesOfTypes) {
  struct {
    PrimitiveType type;
    int number;
    const char* name;
    int size;
  } const cases[] = {{kPred, 1, "pred", 1},
                     {kS8, 2, "s8", 1},
                     {kS32, 4, "s32", 4},
                     {kU64, 9, "u64", 8},
                     {kF16, 10, "f16", 2},
                     {kF32, 11, "f32", 4},
                     {kC64, 15, "c64", 8},
                     {kBF16, 16, "bf16", 2},
                     {kC128, 18, "c128", 16},
                     {kF8E5M2, 19, "f8e5m2", 1},
                     {kF8E4M3FN, 20, "f8e4m3fn", 1},
                     {kS4, 21, "s4", 1}};
  for (const auto& c : cases) {
    EXPECT_EQ(static_cast<int>(c.type), c.number);
    EXPECT_EQ(Name(c.type), c.name);
    EXPECT_EQ(ByteSize(c.type), c.size);
    EXPECT_EQ(*PrimitiveTypeFromName(c.name), c.type);
  }
  EXPECT_EQ(Name(static_cast<PrimitiveType>(99)), "invalid");
  EXPECT_FALSE(PrimitiveTypeFromName("invalid").ok());
}

TEST(Shape, SizesAndStrides) {
  const Shape shape(kF32, {2, 3, 4});
  EXPECT_EQ(shape.elements(), 24);
  EXPECT_EQ(shape.bytes(), 96);
  EXPECT_EQ(RowMajorStrides(shape.dims), (std::vector<int64_t>{12, 4, 1}));
  EXPECT_EQ(Shape(kF32, {}).elements(), 1);
  EXPECT_EQ(Shape(kF32, {3, 0}).elements(), 0);
  EXPECT_EQ(Shape::Tuple({shape, Shape(kBF16, {5})}).bytes(), 106);
}

TEST(Shape, TextRoundTrips) {
  for (const char* text : {"f32[]", "f32[2,3]{1,0}", "bf16[2,3]{0,1}", "()", "token[]",
                           "(f32[2]{0}, (s32[], pred[0,1]{1,0}))"}) {
    absl::StatusOr<Shape> shape = ParseShape(text);
    ASSERT_TRUE(shape.ok()) << text << shape.status();
    EXPECT_EQ(shape->ToString(true), text);
  }
  EXPECT_EQ(ParseShape(" f32[2, 3]{1,0:T(8,128)S(1)} ")->ToString(), "f32[2,3]");
  EXPECT_EQ(ParseShape("(f32[2], /*index=1*/s8[])")->ToString(), "(f32[2], s8[])");
}

TEST(Shape, TextErrors) {
  for (const char* text :
       {"", "f32", "f33[2]", "f32[2", "f32[-1]", "f32[<=5]", "f32[?]", "f32[2]{1}", "f32[2]{0",
        "f32[2]x", "(f32[2]", "f32[2,2]{0,0}", "f32[2]{0,1}", "f32[99999999999999999999]",
        "tuple[]", "f32[4611686018427387904]"}) {
    EXPECT_FALSE(ParseShape(text).ok()) << text;
  }
}

TEST(Shape, EqualityKnowsDefaultLayouts) {
  const Shape plain(kF32, {2, 3});
  Shape row_major = plain;
  row_major.minor_to_major = {1, 0};
  Shape column_major = plain;
  column_major.minor_to_major = {0, 1};
  EXPECT_TRUE(plain == row_major);
  EXPECT_FALSE(plain == column_major);
  EXPECT_TRUE(Compatible(plain, column_major));
  EXPECT_TRUE(column_major.WithoutLayout() == plain);
  EXPECT_FALSE(Compatible(plain, Shape(kS32, {2, 3})));
  EXPECT_TRUE(SameDims(plain, Shape(kS32, {2, 3})));
}

TEST(Shape, Validation) {
  EXPECT_TRUE(ValidateShape(Shape(kF32, {0, 5})).ok());
  EXPECT_FALSE(ValidateShape(Shape(kF32, {-1})).ok());
  EXPECT_FALSE(ValidateShape(Shape()).ok());
  EXPECT_FALSE(ValidateShape(Shape(static_cast<PrimitiveType>(-3), {})).ok());
  EXPECT_FALSE(ValidateShape(Shape(kF32, {int64_t{1} << 31, int64_t{1} << 31})).ok());
  EXPECT_FALSE(ValidateShape(Shape(kF32, {int64_t{1} << 40, int64_t{1} << 40, 0})).ok());
  Shape deep(kF32, {});
  for (int i = 0; i < 70; ++i) deep = Shape::Tuple({deep});
  EXPECT_FALSE(ValidateShape(deep).ok());
}

}  // namespace
}  // namespace glia::hlo
