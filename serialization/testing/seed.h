// The seed of random tests: the same in every run, so that a run can be repeated, unless
// GLIA_TEST_SEED says another. A failure prints it.
#ifndef GLIA_SERIALIZATION_TESTING_SEED_H_
#define GLIA_SERIALIZATION_TESTING_SEED_H_

#include <cstdint>
#include <cstdlib>

namespace glia {

inline uint64_t TestSeed() {
  const char* text = std::getenv("GLIA_TEST_SEED");
  return text == nullptr ? 20240501 : std::strtoull(text, nullptr, 10);
}

}  // namespace glia

#endif  // GLIA_SERIALIZATION_TESTING_SEED_H_
