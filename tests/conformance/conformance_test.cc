// Runs the conformance suite: every case on the CPU, lazily and traced.
//
//   conformance_test [--every=N] [--filter=TEXT] [--products] [--list] [--verbose]
//
// --every=N runs each N-th case, --filter those whose name contains the text, --products the
// operators that are one matrix product or convolution; --verbose prints each before it runs.
// GLIA_DEVICE=interpreter runs them on the interpreter, which checks every access.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "serialization/testing/seed.h"
#include "tests/conformance/case.h"
#include "tests/conformance/modes.h"

namespace {

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

constexpr const char* kProducts[] = {
    "addmm", "addmv", "baddbmm", "bmm", "convolution", "convolution_overrideable",
    "dot",   "mm",    "mv",
};

// Eager rounds no factors in place, nor those of _convolution, which comes after convolution
// (tests/models/rounding.h).
bool IsProduct(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, "aten::") || absl::StrContains(name, "in place")) return false;
  const absl::string_view op = name.substr(0, name.find(' '));
  return std::find(std::begin(kProducts), std::end(kProducts), op) != std::end(kProducts);
}

}  // namespace

int main(int argc, char** argv) {
  int every = 1;
  bool list = false, verbose = false, products = false;
  std::string filter;
  for (int i = 1; i < argc; ++i) {
    absl::string_view flag = argv[i];
    if (absl::ConsumePrefix(&flag, "--every=") && absl::SimpleAtoi(flag, &every) && every > 0) {
      continue;
    }
    if (absl::ConsumePrefix(&flag, "--filter=")) {
      filter = std::string(flag);
    } else if (flag == "--products") {
      products = true;
    } else if (flag == "--verbose") {
      verbose = true;
    } else if (flag == "--list") {
      list = true;
    } else {
      std::cerr << "unknown flag " << argv[i] << "\n";
      return 2;
    }
  }
  // Products in f32, so that one tolerance serves; no cache that outlives the run.
  setenv("NEURON_CC_FLAGS", "--auto-cast none", 0);
  const char* scratch = std::getenv("TEST_TMPDIR");
  setenv("NEURON_COMPILE_CACHE_URL", scratch == nullptr ? "/tmp/glia_conformance" : scratch, 0);
  const int shards = FromEnvironment("TEST_TOTAL_SHARDS", 1);
  const int shard = FromEnvironment("TEST_SHARD_INDEX", 0);
  if (const char* status = std::getenv("TEST_SHARD_STATUS_FILE")) std::ofstream touch(status);

  std::cout << "seed " << glia::TestSeed() << " (GLIA_TEST_SEED)\n";
  int number = 0, ran = 0, failed = 0;
  const auto visit = [&](const glia::conformance::Case& c) {
    const int n = number++;
    if (c.name.find(filter) == std::string::npos || (products && !IsProduct(c.name))) return;
    if (n % every != 0 || n / every % shards != shard) return;
    ++ran;
    if (list) {
      std::cout << c.name << "\n";
      return;
    }
    if (verbose) std::cout << c.name << std::endl;
    const absl::Status status = glia::conformance::Run(c);
    if (status.ok()) return;
    ++failed;
    std::cout << "FAILED " << c.name << ": " << status.message() << std::endl;
  };
  glia::conformance::VisitOperators(visit);
  glia::conformance::VisitPrograms(visit);
  glia::conformance::VisitRandomPrograms(visit);
  std::cout << ran << " cases, " << failed << " failed";
  if (ran != number) std::cout << " (of " << number << " in the table)";
  std::cout << std::endl;
  if (ran == 0) {
    std::cout << "no case ran\n";
    return 1;
  }
  return failed == 0 ? 0 : 1;
}
