// Every model of the zoo, lazily and traced, with fp32 and with the default bf16 matrix products,
// against eager PyTorch on the CPU; on the fast executor, and on the interpreter that checks every access.
//
//   models_test [--full]   the full sizes instead of the small ones
//
// Bounds. fp32: 1e-4 of the output's largest value. bf16: rounding an operand to 8 bits of significand
// moves it by up to 2^-9 of itself, so what the model's own sensitivity makes of such a change is measured:
// eager is run with both operands of every matrix product and convolution rounded to bf16, products and
// sums in fp32. That reference and the device round the same numbers, up to fp32 noise that tips a
// rounding the other way; the device must be within the distance D between it and eager, and within 2 D
// of eager itself. D itself must be small (5 % of the output), or the check would mean nothing.
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "frontend/lazy.h"
#include "frontend/trace.h"
#include "runtime/torch/neuron_model.h"
#include "tests/models/rounding.h"
#include "tests/models/zoo.h"
