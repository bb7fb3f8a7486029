#include "tools/arguments.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>

namespace glia::tools {
namespace {

using Words = std::vector<std::string>;

const std::vector<OptionSpec>& Options() {
  static const auto* const options = new std::vector<OptionSpec>{
      {"--input", "FILE", "an input"},
      {"--count", "N", "how many"},
      {"--fast", nullptr, "hurry"},
  };
  return *options;
}

Arguments Parse(const Words& words) { return Arguments(Options(), words); }

std::string Error(const Words& words) {
  try {
    Parse(words);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ArgumentsTest, Empty) {
  const Arguments a = Parse({});
  EXPECT_TRUE(a.positional().empty());
  EXPECT_TRUE(a.rest().empty());
  EXPECT_FALSE(a.Has("--input"));
  EXPECT_TRUE(a.All("--input").empty());
  EXPECT_EQ(a.Get("--input"), "");
  EXPECT_EQ(a.Get("--input", "none"), "none");
  EXPECT_EQ(a.GetInt("--count", 7), 7);
}

TEST(ArgumentsTest, BothFormsOfAValue) {
  const Arguments a = Parse({"model", "--input", "a", "--fast", "--input=b=c", "--input=", "other"});
  EXPECT_EQ(a.positional(), (Words{"model", "other"}));
  EXPECT_EQ(a.All("--input"), (Words{"a", "b=c", ""}));
  EXPECT_EQ(a.Get("--input", "otherwise"), "");
  EXPECT_TRUE(a.Has("--fast"));
}

TEST(ArgumentsTest, AValueMayLookLikeAnOption) {
  EXPECT_EQ(Parse({"--input", "--fast"}).All("--input"), Words{"--fast"});
  EXPECT_FALSE(Parse({"--input", "--fast"}).Has("--fast"));
  EXPECT_EQ(Parse({"--input", "--"}).All("--input"), Words{"--"});
}

TEST(ArgumentsTest, RestAfterTwoDashes) {
  const Arguments a = Parse({"model", "--", "--unknown", "--", "-x"});
  EXPECT_EQ(a.positional(), Words{"model"});
  EXPECT_EQ(a.rest(), (Words{"--unknown", "--", "-x"}));
  EXPECT_TRUE(Parse({"--"}).rest().empty());
}

TEST(ArgumentsTest, OneDashIsAWord) {
  EXPECT_EQ(Parse({"-", ""}).positional(), (Words{"-", ""}));
}

TEST(ArgumentsTest, UnknownOptionsAreNamedBesideTheKnown) {
  for (const char* word : {"--inputs", "--inputs=3", "--inpu", "-i", "--Fast"}) {
    const std::string error = Error({"model", word});
    const std::string name = std::string(word).substr(0, std::string(word).find('='));
    EXPECT_EQ(error.rfind("unknown option " + name + "\n", 0), 0u) << error;
    EXPECT_NE(error.find("--count N"), std::string::npos) << error;
  }
}

TEST(ArgumentsTest, MissingAndSuperfluousValues) {
  EXPECT_EQ(Error({"--input"}), "--input needs a value: FILE");
  EXPECT_EQ(Error({"--fast=1"}), "--fast takes no value");
  EXPECT_EQ(Error({"--fast="}), "--fast takes no value");
}

TEST(ArgumentsTest, Integers) {
  EXPECT_EQ(Parse({"--count", "12"}).GetInt("--count", 0), 12);
  EXPECT_EQ(Parse({"--count=-3"}).GetInt("--count", 0), -3);
  EXPECT_EQ(Parse({"--count=1", "--count=2"}).GetInt("--count", 0), 2);
  for (const char* text : {"", "x", "1.5", "2x", "9223372036854775808"}) {
    const Arguments a = Parse({"--count", text});
    try {
      a.GetInt("--count", 0);
      ADD_FAILURE() << text;
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(error.what(), "--count: '" + std::string(text) + "' is no number");
    }
  }
}

TEST(DescribeOptionsTest, OneLineForEach) {
  const std::string text = DescribeOptions(Options());
  EXPECT_EQ(text,
            "  --input FILE                 an input\n"
            "  --count N                    how many\n"
            "  --fast                       hurry\n");
}

TEST(UserPathTest, RelativeToTheUsersDirectory) {
  unsetenv("BUILD_WORKING_DIRECTORY");
  EXPECT_EQ(UserPath("a/b"), "a/b");
  setenv("BUILD_WORKING_DIRECTORY", "/home/user", 1);
  EXPECT_EQ(UserPath("a/b"), "/home/user/a/b");
  EXPECT_EQ(UserPath("/a/b"), "/a/b");
  EXPECT_EQ(UserPath(""), "");
  unsetenv("BUILD_WORKING_DIRECTORY");
}

}  // namespace
}  // namespace glia::tools
