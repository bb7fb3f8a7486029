// Runs a fuzz target on mutated inputs, the same ones in every run:
//
//   fuzz_test            as many as GLIA_FUZZ_RUNS says (1000), or for GLIA_FUZZ_SECONDS
//   fuzz_test FILE…      on these inputs: what an earlier run left of a crash
//
// GLIA_TEST_SEED draws other mutations. Where the code is compiled with
// -fsanitize-coverage=trace-pc
// (--config=fuzz), an input that reaches new code is mutated further. Of a crash, the input is left
// in the test's undeclared outputs, else in /tmp.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "serialization/testing/fuzz.h"
#include "serialization/testing/seed.h"

namespace {

constexpr size_t kMaxCorpus = 4096;
constexpr unsigned kSecondsForOne = 20;  // an input that takes longer is a failure

// One byte for each (hash of a) place in the code that any input reached.
constexpr uintptr_t kPlaces = 1 << 18;
uint8_t g_reached[kPlaces];
size_t g_new_places = 0;

std::string g_input;
std::string g_crash_path;

void WriteCrash(int signal_number) {
  std::FILE* file = std::fopen(g_crash_path.c_str(), "wb");
  if (file != nullptr) {
    std::fwrite(g_input.data(), 1, g_input.size(), file);
    std::fclose(file);
    std::fprintf(stderr, "%s; the input is in %s\n",
                 signal_number == SIGALRM ? "one input takes too long" : "crash",
                 g_crash_path.c_str());
  }
  if (signal_number != 0) {
    signal(signal_number, SIG_DFL);
    raise(signal_number);
  }
}

void WriteSanitizerCrash() { WriteCrash(0); }

void RunOne() {
  alarm(kSecondsForOne);
  // A copy of just this size, so that AddressSanitizer sees reads past it.
  const std::vector<uint8_t> bytes(g_input.begin(), g_input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  alarm(0);
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  size_t Below(size_t end) { return end == 0 ? 0 : random_() % end; }

  std::string Mutate(std::string bytes, const std::string& other) {
    for (size_t n = 1 + Below(4); n > 0; --n) Once(&bytes, other);
    return bytes;
  }

 private:
  void Once(std::string* bytes, const std::string& other) {
    const size_t at = Below(bytes->size());
    if (bytes->empty()) {
      *bytes = other;
      return;
    }
    switch (Below(9)) {
      case 0:
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << Below(8)));
        break;
      case 1:
        (*bytes)[at] = static_cast<char>(random_());
        break;
      case 2: {  // a number at the edge of its range
        static constexpr uint64_t kEdges[] = {
            0,           1,      0x7f,       0x80,       0xff,       0x7fff,
            0x8000,      0xffff, 0x7fffffff, 0x80000000, 0xffffffff, ~uint64_t{0} >> 1,
            ~uint64_t{0}};
        const uint64_t value = kEdges[Below(std::size(kEdges))];
        const size_t width = std::min(size_t{1} << Below(4), bytes->size() - at);
        std::memcpy(&(*bytes)[at], &value, width);
        break;
      }
      case 3:
        bytes->resize(at);
        break;
      case 4:
        bytes->erase(at, 1 + Below(16));
        break;
      case 5:
        bytes->insert(at, bytes->substr(Below(bytes->size()), Below(64)));
        break;
      case 6:
        if (!other.empty()) bytes->insert(at, other.substr(Below(other.size()), Below(64)));
        break;
      case 7:
        Number(bytes, at);
        break;
      default:
        Word(bytes, at);
    }
  }

  // Another decimal number in place of the next one in the text.
  void Number(std::string* bytes, size_t at) {
    static constexpr const char* kNumbers[] = {"0",
                                               "1",
                                               "-1",
                                               "2",
                                               "127",
                                               "129",
                                               "2147483648",
                                               "9223372036854775807",
                                               "99999999999999999999"};
    const size_t begin = bytes->find_first_of("0123456789", at);
    if (begin == std::string::npos) return;
    const size_t end = std::min(bytes->find_first_not_of("0123456789", begin), bytes->size());
    bytes->replace(begin, end - begin, kNumbers[Below(std::size(kNumbers))]);
  }

  // Another word of the text in place of the next one.
  void Word(std::string* bytes, size_t at) {
    static constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz_-";
    const auto next = [&](size_t from) {
      const size_t begin = bytes->find_first_of(kLetters, from);
      if (begin == std::string::npos) return std::make_pair(size_t{0}, size_t{0});
      const size_t end = std::min(bytes->find_first_not_of(kLetters, begin), bytes->size());
      return std::make_pair(begin, end - begin);
    };
    const auto [begin, length] = next(at);
    const auto [from, count] = next(Below(bytes->size()));
    if (length > 0 && count > 0) bytes->replace(begin, length, bytes->substr(from, count));
  }

  std::mt19937_64 random_;
};

double Variable(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtod(text, nullptr);
}

int Fuzz() {
  std::vector<std::string> corpus = glia::FuzzSeeds();
  for (const std::string& seed : corpus) {
    g_input = seed;
    RunOne();
  }
  const uint64_t seed = glia::TestSeed();
  Mutator mutator(seed);
  const double seconds = Variable("GLIA_FUZZ_SECONDS", 0);
  const double most = Variable("GLIA_FUZZ_RUNS", 1000);
  const auto start = std::chrono::steady_clock::now();
  int64_t runs = 0;
  const auto goes_on = [&] {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    return seconds > 0 ? passed.count() < seconds : static_cast<double>(runs) < most;
  };
  for (; goes_on(); ++runs) {
    const std::string& base = corpus[mutator.Below(corpus.size())];
    g_input = mutator.Mutate(base, corpus[mutator.Below(corpus.size())]);
    const size_t before = g_new_places;
    RunOne();
    if (g_new_places > before && corpus.size() < kMaxCorpus) corpus.push_back(g_input);
  }
  std::printf("seed %llu (GLIA_TEST_SEED): %lld inputs, %zu places reached, %zu inputs kept\n",
              static_cast<unsigned long long>(seed), static_cast<long long>(runs), g_new_places,
              corpus.size());
  return 0;
}

}  // namespace

// Called at every branch of code compiled with -fsanitize-coverage=trace-pc.
extern "C" void __sanitizer_cov_trace_pc() {
  const auto pc = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  uint8_t& place = g_reached[(pc ^ pc >> 18) % kPlaces];
  g_new_places += 1 - place;
  place = 1;
}

extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

int main(int argc, char** argv) {
  const char* outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  g_crash_path = std::string(outputs == nullptr ? "/tmp" : outputs) + "/crash-input";
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(WriteSanitizerCrash);
  } else {
    for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) signal(s, WriteCrash);
  }
  for (int s : {SIGABRT, SIGALRM}) signal(s, WriteCrash);
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "cannot read %s\n", argv[i]);
      return 2;
    }
    g_input.assign(std::istreambuf_iterator<char>(file), {});
    RunOne();
  }
  return argc > 1 ? 0 : Fuzz();
}
