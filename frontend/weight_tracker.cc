#include "frontend/weight_tracker.h"

#include <algorithm>

namespace glia {
namespace {

// Runs that are worth a compilation: parameters that change more often are waited for longer.
constexpr uint64_t kWorthIt = 16;
constexpr uint64_t kMaxPatience = uint64_t{1} << 40;

}  // namespace

void WeightTracker::LosePatience(State* state) {
  state->patience = std::min(state->patience * 4, kMaxPatience);
}

// A parameter is a constant as soon as it stays. Other inputs are when one beside them changes: of
// inputs that all stay the same, nobody knows which will change next.
bool WeightTracker::Choose(absl::Span<const Input> inputs, bool any_new) {
  std::vector<bool> chosen(inputs.size());
  size_t count = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    chosen[i] = states_[i].stable >= states_[i].patience && (inputs[i].parameter || any_new);
    count += chosen[i];
  }
  if (count == 0 || count == inputs.size()) return false;
  bound_ = std::move(chosen);
  uses_ = 1;
  return true;
}

WeightTracker::Choice WeightTracker::Next(absl::Span<const Input> inputs) {
  if (states_.empty()) {
    for (const Input& input : inputs) states_.push_back({input.id});
    return Choice::kInputs;
  }
  bool any_new = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    State& s = states_[i];
    const bool same = s.id == inputs[i].id;
    s.stable = same ? s.stable + 1 : 0;
    s.id = inputs[i].id;
    any_new = any_new || !same;
  }
  if (!bound_.empty()) {
    bool valid = true, more = false, soon = false;
    for (size_t i = 0; i < inputs.size(); ++i) {
      State& s = states_[i];
      if (bound_[i] && s.stable == 0) {
        valid = false;
        if (!inputs[i].parameter || uses_ < kWorthIt) LosePatience(&s);
        soon = soon || s.patience == 1;
      }
      more = more || (!bound_[i] && inputs[i].parameter && s.stable >= s.patience);
    }
    if (valid && !more) {
      ++uses_;
      return Choice::kBound;
    }
    bound_.clear();
    // Perhaps it stays from now on: not one program without it and then one with it.
    if (soon) return Choice::kInputs;
  }
  return Choose(inputs, any_new) ? Choice::kBind : Choice::kInputs;
}

void WeightTracker::Lost() {
  for (size_t i = 0; i < bound_.size(); ++i) {
    if (!bound_[i]) continue;
    LosePatience(&states_[i]);
    states_[i].stable = 0;
  }
  bound_.clear();
}

}  // namespace glia
