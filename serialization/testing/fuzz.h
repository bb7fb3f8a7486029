// Fuzz targets: a function of bytes that must end, whatever they are, without a crash, a
// sanitizer's report or a failed CHECK; and the valid inputs from which mutation starts.
// fuzz_main.cc is the program around them; libFuzzer's would do as well, since the entry point is
// its own.
#ifndef GLIA_SERIALIZATION_TESTING_FUZZ_H_
#define GLIA_SERIALIZATION_TESTING_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// Always 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace glia {

std::vector<std::string> FuzzSeeds();

}  // namespace glia

// Ends the process with the place: for what a fuzz target finds wrong itself.
#define GLIA_FUZZ_CHECK(condition)                                             \
  do {                                                                         \
    if (!(condition)) {                                                        \
      __builtin_printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      __builtin_abort();                                                       \
    }                                                                          \
  } while (false)

#endif  // GLIA_SERIALIZATION_TESTING_FUZZ_H_
