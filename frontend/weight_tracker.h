// Which inputs of a graph of the lazy mode are worth being constants of its program: a constant is
// laid out, converted and packed once, an input at every run. Decided by what stays the same from
// run to run, and by nothing else, so that equal programs always run the same NEFFs.
#ifndef GLIA_FRONTEND_WEIGHT_TRACKER_H_
#define GLIA_FRONTEND_WEIGHT_TRACKER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace glia {

class WeightTracker {
 public:
  struct Input {
    uint64_t id = 0;         // of its contents: never used again for others
    bool parameter = false;  // of a module, or one of its buffers
  };
  enum class Choice {
    kInputs,  // the program whose inputs are all inputs
    kBind,    // make a program with bound() as constants, and run that
    kBound,   // run the program made last
  };

  // What the next run, with these inputs, is to use. Their number is that of the first call.
  Choice Next(absl::Span<const Input> inputs);
  // The program made last is gone, or could not be made.
  void Lost();
  // After kBind and kBound: whether each input is a constant. Never all are.
  const std::vector<bool>& bound() const { return bound_; }

 private:
  struct State {
    uint64_t id;
    uint64_t stable = 0;    // runs in a row that had it as the run before
    uint64_t patience = 1;  // `stable` from which it is taken for a constant
  };
  bool Choose(absl::Span<const Input> inputs, bool any_new);
  void LosePatience(State* state);

  std::vector<State> states_;
  std::vector<bool> bound_;  // empty: none
  uint64_t uses_ = 0;        // runs of the program made last
};

}  // namespace glia

#endif  // GLIA_FRONTEND_WEIGHT_TRACKER_H_
