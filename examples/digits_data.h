// The digits of data/digits.csv as tensors.
#ifndef GLIA_EXAMPLES_DIGITS_DATA_H_
#define GLIA_EXAMPLES_DIGITS_DATA_H_

#include <ATen/core/Tensor.h>

#include <string>

namespace digits {

struct Digits {
  at::Tensor images;  // f32 [n, 1, 8, 8], 0 to 1
  at::Tensor labels;  // i64 [n]
};

// Throws std::runtime_error naming the file, the line and what is wrong.
Digits Load(const std::string& path);

// Every third digit is held out; the others are for training.
Digits HeldOut(const Digits& all);
Digits Training(const Digits& all);

// The path of digits.csv: `argument` if not empty, else where `bazel run` puts it.
std::string DataPath(const std::string& argument);

// "97.33 % (583 of 599)"
std::string Percent(int64_t part, int64_t whole);

// How many of the images a classifier's scores [n, 10] get right.
int64_t CountCorrect(const at::Tensor& scores, const Digits& digits);

}  // namespace digits

#endif  // GLIA_EXAMPLES_DIGITS_DATA_H_
