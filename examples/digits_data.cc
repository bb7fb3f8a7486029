#include "examples/digits_data.h"

#include <ATen/Functions.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace digits {
namespace {

constexpr int kPixels = 64;

Digits Select(const Digits& all, bool held_out) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < all.labels.size(0); ++i) {
    if ((i % 3 == 0) == held_out) rows.push_back(i);
  }
  const at::Tensor index = at::tensor(rows, at::kLong);
  return {all.images.index_select(0, index), all.labels.index_select(0, index)};
}

}  // namespace

Digits Load(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot open " + path);
  std::vector<float> pixels;
  std::vector<int64_t> labels;
  std::string line;
  while (std::getline(file, line)) {
    const std::string where = path + ":" + std::to_string(labels.size() + 1) + ": ";
    std::istringstream fields(line);
    std::string field;
    for (int i = 0; i <= kPixels; ++i) {
      if (!std::getline(fields, field, ',')) {
        throw std::runtime_error(where + "expected 64 pixels and a digit");
      }
      size_t end = 0;
      int value = -1;
      try {
        value = std::stoi(field, &end);
      } catch (const std::exception&) {
      }
      if (value < 0 || value > (i < kPixels ? 16 : 9) || end != field.size()) {
        throw std::runtime_error(where + "'" + field + "' is no " +
                                 (i < kPixels ? "pixel" : "digit"));
      }
      if (i < kPixels) {
        pixels.push_back(static_cast<float>(value) / 16);
      } else {
        labels.push_back(value);
      }
    }
  }
  const auto n = static_cast<int64_t>(labels.size());
  if (n < 3) throw std::runtime_error(path + " holds no digits");
  return {at::tensor(pixels, at::kFloat).view({n, 1, 8, 8}), at::tensor(labels, at::kLong)};
}

Digits HeldOut(const Digits& all) { return Select(all, true); }
Digits Training(const Digits& all) { return Select(all, false); }

std::string DataPath(const std::string& argument) {
  return argument.empty() ? "examples/data/digits.csv" : argument;
}

std::string Percent(int64_t part, int64_t whole) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.2f %% (%lld of %lld)",
                100.0 * static_cast<double>(part) / static_cast<double>(whole),
                static_cast<long long>(part), static_cast<long long>(whole));
  return text;
}

int64_t CountCorrect(const at::Tensor& scores, const Digits& digits) {
  return scores.argmax(1).eq(digits.labels).sum().item<int64_t>();
}

}  // namespace digits
