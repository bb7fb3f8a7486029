// neff_benchmark FILE.neff [RUNS] [check]: loads a NEFF, runs it on random inputs and prints the
// times of loading and of a run; with `check`, the largest difference to the interpreter too.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "device_sim/device.h"
#include "serialization/neff/neff.h"

namespace glia::device {
namespace {

using Clock = std::chrono::steady_clock;

double Milliseconds(Clock::duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

// Floats in [-1, 1), small integers.
std::vector<uint8_t> RandomBytes(const isa::Variable& v, std::mt19937& random) {
  std::vector<uint8_t> bytes(v.bytes);
  if (v.dtype == isa::DType::kF32) {
    for (int64_t i = 0; i + 4 <= v.bytes; i += 4) {
      const float x = static_cast<float>(random() % 2048) / 1024 - 1;
      std::memcpy(&bytes[i], &x, 4);
    }
  } else if (v.dtype == isa::DType::kI64 || v.dtype == isa::DType::kI32) {
    const int64_t size = v.dtype == isa::DType::kI64 ? 8 : 4;
    for (int64_t i = 0; i < v.bytes; i += size) bytes[i] = static_cast<uint8_t>(random() % 100);
  }
  return bytes;
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: neff_benchmark FILE.neff [RUNS] [check]\n");
    return 1;
  }
  const int runs = argc > 2 ? std::atoi(argv[2]) : 10;
  const bool check = argc > 3 && std::string(argv[3]) == "check";
  auto blob = neff::Blob::MapFile(argv[1]);
  if (!blob.ok()) return Fail(blob.status());
  auto neff = neff::Read(*blob);
  if (!neff.ok()) return Fail(neff.status());
  const auto core = Core::Create(0);
  std::vector<std::vector<uint8_t>> inputs, outputs[2];
  std::vector<const isa::Variable*> results;
  std::vector<const uint8_t*> in;
  std::vector<uint8_t*> out[2];
  std::mt19937 random(1);
  for (const isa::Variable& v : (*neff)->program.variables) {
    if (v.kind == isa::VariableKind::kInput) inputs.push_back(RandomBytes(v, random));
    if (v.kind != isa::VariableKind::kOutput) continue;
    results.push_back(&v);
    for (auto& o : outputs) o.emplace_back(v.bytes);
  }
  for (const auto& i : inputs) in.push_back(i.data());
  for (int k = 0; k < 2; ++k) {
    for (auto& o : outputs[k]) out[k].push_back(o.data());
  }
  const auto start = Clock::now();
  auto fast = core->Load(*neff, ExecutorKind::kFast);
  if (!fast.ok()) return Fail(fast.status());
  const double load = Milliseconds(Clock::now() - start);
  std::vector<double> times;
  for (int r = 0; r < runs; ++r) {
    const auto begin = Clock::now();
    if (auto s = (*fast)->Run(in, out[0]); !s.ok()) return Fail(s.status());
    times.push_back(Milliseconds(Clock::now() - begin));
  }
  std::sort(times.begin(), times.end());
  std::printf("load %.1f ms, run: median %.3f ms, best %.3f ms\n", load, times[times.size() / 2],
              times[0]);
  if (!check) return 0;
  auto reference = core->Load(*neff, ExecutorKind::kInterpreter);
  if (!reference.ok()) return Fail(reference.status());
  if (auto s = (*reference)->Run(in, out[1]); !s.ok()) return Fail(s.status());
  for (size_t o = 0; o < results.size(); ++o) {
    if (results[o]->dtype != isa::DType::kF32) continue;
    float largest = 0, difference = 0;
    for (int64_t i = 0; i < results[o]->bytes; i += 4) {
      float a, b;
      std::memcpy(&a, out[0][o] + i, 4);
      std::memcpy(&b, out[1][o] + i, 4);
      largest = std::max(largest, std::abs(b));
      difference =
          std::isnan(a) || std::isnan(b) ? INFINITY : std::max(difference, std::abs(a - b));
    }
    std::printf("%s: largest value %g, largest difference %g\n", results[o]->name.c_str(), largest,
                difference);
  }
  return 0;
}

}  // namespace
}  // namespace glia::device

int main(int argc, char** argv) { return glia::device::Main(argc, argv); }
