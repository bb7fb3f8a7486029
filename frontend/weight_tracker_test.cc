#include "frontend/weight_tracker.h"

#include <gtest/gtest.h>

#include <string>

namespace glia {
namespace {

using Choice = WeightTracker::Choice;

// Runs with these contents, one digit an input; the inputs whose letter is in `parameters` (a is
// the first) are some. "i", "B", "b" for each run's choice: inputs, bind, bound.
class Runs {
 public:
  explicit Runs(std::string parameters = "") : parameters_(std::move(parameters)) {}

  std::string operator()(const std::vector<std::string>& runs) {
    std::string choices;
    for (const std::string& run : runs) {
      std::vector<WeightTracker::Input> inputs;
      for (size_t i = 0; i < run.size(); ++i) {
        const char letter = static_cast<char>('a' + i);
        inputs.push_back({static_cast<uint64_t>(run[i]) << 8 | i,
                          parameters_.find(letter) != std::string::npos});
      }
      const Choice choice = tracker.Next(inputs);
      choices += choice == Choice::kInputs ? 'i' : choice == Choice::kBind ? 'B' : 'b';
    }
    return choices;
  }
  std::string Bound() const {
    std::string letters;
    for (size_t i = 0; i < tracker.bound().size(); ++i) {
      if (tracker.bound()[i]) letters += static_cast<char>('a' + i);
    }
    return letters;
  }

  WeightTracker tracker;

 private:
  const std::string parameters_;
};

TEST(WeightTracker, BindsWhatStaysBesideWhatChanges) {
  Runs runs;
  EXPECT_EQ(runs({"000", "010", "020", "030"}), "iBbb");
  EXPECT_EQ(runs.Bound(), "ac");
}

TEST(WeightTracker, BindsParametersEvenIfAllStays) {
  Runs runs("bc");
  EXPECT_EQ(runs({"000", "000", "000", "100"}), "iBbb");
  EXPECT_EQ(runs.Bound(), "bc");
}

TEST(WeightTracker, OfInputsThatAllStayWaitsForOneToChange) {
  Runs runs;
  EXPECT_EQ(runs({"00", "00", "00", "01", "02"}), "iiiBb");
  EXPECT_EQ(runs.Bound(), "a");
}

TEST(WeightTracker, NeverBindsAllInputs) {
  Runs runs("ab");
  EXPECT_EQ(runs({"00", "00", "00", "00"}), "iiii");
}

TEST(WeightTracker, WeightsThatChangeAtEveryRunAreNone) {
  Runs runs("a");
  EXPECT_EQ(runs({"00", "11", "22", "33", "44", "55"}), "iiiiii");
}

TEST(WeightTracker, GoesOnWithoutAnInputThatChangedAfterAll) {
  Runs runs("a");
  EXPECT_EQ(runs({"000", "001", "002", "013", "014"}), "iBbBb");
  EXPECT_EQ(runs.Bound(), "a");
}

TEST(WeightTracker, TakesInAParameterThatCameToRest) {
  Runs runs("ab");
  EXPECT_EQ(runs({"000", "011", "022", "023", "024"}), "iBbBb");
  EXPECT_EQ(runs.Bound(), "ab");
}

// Gradients accumulated over four runs, then a step: every change of the weights makes waiting
// longer.
TEST(WeightTracker, WeightsThatChangeOftenAreWaitedForLonger) {
  Runs runs("a");
  EXPECT_EQ(runs({"00", "01", "02", "03"}), "iBbb");
  EXPECT_EQ(runs({"10", "11", "12", "13"}), "iiii");
  EXPECT_EQ(runs({"20", "21", "22", "23"}), "iiii");
  EXPECT_EQ(runs({"24", "25"}), "Bb");
}

TEST(WeightTracker, WeightsThatChangeAfterManyRunsAreNot) {
  Runs runs("a");
  EXPECT_EQ(runs({"00", "01"}), "iB");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(runs({i % 2 == 0 ? "02" : "03"}), "b");
  EXPECT_EQ(runs({"10", "11"}), "iB");
}

TEST(WeightTracker, OneOfManyParametersThatChangesIsAwaited) {
  Runs runs("ab");
  EXPECT_EQ(runs({"000", "001"}), "iB");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(runs({i % 2 == 0 ? "002" : "003"}), "b");
  EXPECT_EQ(runs({"011", "012", "013"}), "iBb");
  EXPECT_EQ(runs.Bound(), "ab");
}

TEST(WeightTracker, AProgramThatIsGoneIsNotMadeAgainAtOnce) {
  Runs runs("a");
  EXPECT_EQ(runs({"00", "01"}), "iB");
  runs.tracker.Lost();
  EXPECT_EQ(runs({"02", "03", "04", "05"}), "iiiB");
}

}  // namespace
}  // namespace glia
