#include "frontend/structure.h"

#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glia {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

c10::IValue Nested() {
  c10::Dict<std::string, at::Tensor> dict;
  dict.insert("b", at::full({1}, 1.0));
  dict.insert("a", at::full({1}, 2.0));
  c10::List<at::Tensor> list;
  list.push_back(at::full({1}, 3.0));
  list.push_back(at::full({1}, 4.0));
  return c10::ivalue::Tuple::create({at::full({1}, 0.0), dict, list});
}

TEST(Structure, FlattensInOrderAndBack) {
  std::vector<at::Tensor> leaves;
  const Structure s = Flatten(Nested(), "x", false, &leaves);
  ASSERT_EQ(leaves.size(), 5u);
  for (size_t i = 0; i < leaves.size(); ++i) {
    EXPECT_EQ(leaves[i].item<double>(), static_cast<double>(i));
  }
  size_t next = 0;
  const c10::IValue again = Unflatten(s, leaves, &next);
  EXPECT_EQ(next, 5u);
  EXPECT_EQ(*again.type(), *Nested().type());
  std::vector<at::Tensor> leaves_again;
  Flatten(again, "x", false, &leaves_again);
  for (size_t i = 0; i < leaves.size(); ++i) EXPECT_TRUE(leaves[i].is_same(leaves_again[i]));
}

TEST(Structure, WritesTorchScript) {
  std::vector<at::Tensor> leaves;
  const Structure s = Flatten(Nested(), "x", false, &leaves);
  EXPECT_EQ(TypeOf(s), "Tuple[Tensor, Dict[str, Tensor], List[Tensor]]");
  EXPECT_THAT(LeafNames(s, "x"), ElementsAre("x.0", "x.1[\"b\"]", "x.1[\"a\"]", "x.2.0", "x.2.1"));
  std::vector<std::string> checks;
  EXPECT_THAT(Take(s, "x", &checks),
              ElementsAre("x[0]", "x[1][\"b\"]", "x[1][\"a\"]", "x[2][0]", "x[2][1]"));
  EXPECT_THAT(checks, ::testing::Contains(HasSubstr("len(x[2]) == 2")));
  size_t next = 0;
  EXPECT_EQ(Make(s, [](size_t i) { return "t" + std::to_string(i); }, &next),
            "(t0, {\"b\": t1, \"a\": t2}, [t3, t4])");
}

TEST(Structure, ConstantsOfResults) {
  std::vector<at::Tensor> leaves;
  const Structure s = Flatten(
      c10::ivalue::Tuple::create({c10::IValue(), true, int64_t{-3}, 0.5, 2.0, std::string("a\"b")}),
      "result", true, &leaves);
  EXPECT_TRUE(leaves.empty());
  size_t next = 0;
  EXPECT_EQ(Make(s, [](size_t) { return std::string(); }, &next),
            "(None, True, -3, 0.5, 2.0, \"a\\\"b\")");
  EXPECT_EQ(TypeOf(s), "Tuple[None, bool, int, float, float, str]");
}

TEST(Structure, RefusesWhatIsNoTensor) {
  std::vector<at::Tensor> leaves;
  try {
    Flatten(c10::ivalue::Tuple::create({at::ones({1}), int64_t{3}}), "x", false, &leaves);
    FAIL();
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("x.1 is of type int"));
  }
}

}  // namespace
}  // namespace glia
