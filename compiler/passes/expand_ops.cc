#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;
using hlo::Shape;

// x * a + b per feature: (x - mean) * (scale / sqrt(variance + epsilon)) + offset, whose factors
// fold when they are constants.
Instruction* ExpandBatchNorm(Instruction* instr) {
  Rewriter r(*instr);
  const std::vector<int64_t>& dims = instr->shape.dims;
  auto per_feature = [&](Instruction* x) { return r.Broadcast(x, dims, {instr->feature_index}); };
  Instruction* variance = instr->operand(4);
  Instruction* epsilon =
      r.Fill(r.Scalar(variance->shape.type, instr->epsilon), variance->shape.dims);
  Instruction* deviation = r.Unary(Opcode::kSqrt, r.Binary(Opcode::kAdd, variance, epsilon));
  Instruction* factor = r.Binary(Opcode::kDivide, instr->operand(1), deviation);
  auto as_x = [&](Instruction* x) { return r.Convert(x, instr->shape.type); };
  Instruction* centred =
      r.Binary(Opcode::kSubtract, instr->operand(0), as_x(per_feature(instr->operand(3))));
  Instruction* scaled = r.Binary(Opcode::kMultiply, centred, as_x(per_feature(factor)));
  return r.Binary(Opcode::kAdd, scaled, as_x(per_feature(instr->operand(2))));
}

Instruction* ExpandClamp(Instruction* instr) {
  Rewriter r(*instr);
  const std::vector<int64_t>& dims = instr->shape.dims;
  Instruction* low = r.Fill(instr->operand(0), dims);
  Instruction* high = r.Fill(instr->operand(2), dims);
  return r.Binary(Opcode::kMinimum, r.Binary(Opcode::kMaximum, instr->operand(1), low), high);
}

// Philox4x32-10 in HLO's own integers, block by block as the evaluator has it.
class PhiloxExpansion {
 public:
  // key: u64[]. counter: two u64[] words of 128 bits; `wide` when the carry goes into the second.
  PhiloxExpansion(Rewriter* rewriter, Instruction* key, Instruction* low, Instruction* high,
                  bool wide)
      : r_(*rewriter), key_(key), low_(low), high_(high), wide_(wide) {}

  // u32[4 * blocks], the words in order.
  Instruction* Words(int64_t blocks) {
    dims_ = {blocks};
    Instruction* index = r_.Add(Opcode::kIota, Shape(hlo::kU64, dims_), {});
    index->dimensions = {0};
    Instruction* low = U64(Opcode::kAdd, r_.Fill(low_, dims_), index);
    Instruction* high = r_.Fill(high_, dims_);
    if (wide_) high = U64(Opcode::kAdd, high, Carry(low));
    std::array<Instruction*, 4> c = {LowWord(low), HighWord(low), LowWord(high), HighWord(high)};
    std::array<Instruction*, 2> key = {LowWord(r_.Fill(key_, dims_)),
                                       HighWord(r_.Fill(key_, dims_))};
    for (int round = 0; round < 10; ++round) {
      Instruction* product0 = U64(Opcode::kMultiply, c[0], Filled(0xd2511f53));
      Instruction* product1 = U64(Opcode::kMultiply, c[2], Filled(0xcd9e8d57));
      c = {Xor(HighWord(product1), c[1], key[0]), LowWord(product1),
           Xor(HighWord(product0), c[3], key[1]), LowWord(product0)};
      key[0] = LowWord(U64(Opcode::kAdd, key[0], Filled(0x9e3779b9)));
      key[1] = LowWord(U64(Opcode::kAdd, key[1], Filled(0xbb67ae85)));
    }
    std::vector<Instruction*> columns;
    for (Instruction* word : c)
      columns.push_back(r_.Reshape(r_.Convert(word, hlo::kU32), {blocks, 1}));
    Instruction* table = r_.Add(Opcode::kConcatenate, Shape(hlo::kU32, {blocks, 4}), columns);
    table->dimensions = {1};
    return r_.Reshape(table, {4 * blocks});
  }

  // The two counter words after `blocks` blocks.
  std::array<Instruction*, 2> NextCounter(int64_t blocks) {
    dims_ = {};
    Instruction* low = U64(Opcode::kAdd, low_, Filled(static_cast<double>(blocks)));
    Instruction* high = wide_ ? U64(Opcode::kAdd, high_, Carry(low)) : high_;
    return {low, high};
  }

 private:
  Instruction* U64(Opcode opcode, Instruction* a, Instruction* b) {
    return r_.Binary(opcode, a, b);
  }
  Instruction* Filled(double value) { return r_.Fill(r_.Scalar(hlo::kU64, value), dims_); }
  Instruction* LowWord(Instruction* x) { return U64(Opcode::kAnd, x, Filled(0xffffffff)); }
  Instruction* HighWord(Instruction* x) { return U64(Opcode::kShiftRightLogical, x, Filled(32)); }
  Instruction* Xor(Instruction* a, Instruction* b, Instruction* c) {
    return U64(Opcode::kXor, U64(Opcode::kXor, a, b), c);
  }
  // 1 where adding to the low word has wrapped.
  Instruction* Carry(Instruction* sum) {
    Instruction* wrapped =
        r_.Add(Opcode::kCompare, Shape(hlo::kPred, dims_), {sum, r_.Fill(low_, dims_)});
    wrapped->comparison_direction = hlo::ComparisonDirection::kLt;
    return r_.Convert(wrapped, hlo::kU64);
  }

  Rewriter& r_;
  Instruction* key_;
  Instruction* low_;
  Instruction* high_;
  bool wide_;
  std::vector<int64_t> dims_;
};

Instruction* FirstElements(Rewriter& r, Instruction* x, int64_t count) {
  return r.Slice(x, {0}, {count});
}

Instruction* ExpandRngBitGenerator(Instruction* instr) {
  Instruction* state = instr->operand(0);
  const Shape& bits_shape = instr->shape.tuple[1];
  if (state->shape.type != hlo::kU64 || state->shape.rank() != 1 || state->shape.dim(0) < 2 ||
      state->shape.dim(0) > 3) {
    return nullptr;  // refused by the code generator
  }
  Rewriter r(*instr);
  const bool wide = state->shape.dim(0) == 3;
  auto word = [&](int64_t i) { return r.Reshape(r.Slice(state, {i}, {i + 1}), {}); };
  PhiloxExpansion philox(&r, word(0), word(1), wide ? word(2) : r.Scalar(hlo::kU64, 0), wide);
  const int64_t elements = bits_shape.elements();
  const bool pairs = hlo::ByteSize(bits_shape.type) == 8;
  const int64_t blocks = ((pairs ? 2 : 1) * elements + 3) / 4;
  Instruction* bits = r.Constant(hlo::Literal::Zero(bits_shape.WithoutLayout()));
  if (elements > 0) {
    Instruction* words = philox.Words(blocks);
    if (pairs) {
      Instruction* table = r.Convert(r.Reshape(words, {2 * blocks, 2}), hlo::kU64);
      Instruction* low = r.Reshape(r.Slice(table, {0, 0}, {2 * blocks, 1}), {2 * blocks});
      Instruction* high = r.Reshape(r.Slice(table, {0, 1}, {2 * blocks, 2}), {2 * blocks});
      Instruction* shift = r.Fill(r.Scalar(hlo::kU64, 32), {2 * blocks});
      words = r.Binary(Opcode::kOr, low, r.Binary(Opcode::kShiftLeft, high, shift));
    }
    bits =
        r.Convert(r.Reshape(FirstElements(r, words, elements), bits_shape.dims), bits_shape.type);
  }
  const auto counter = philox.NextCounter(blocks);
  std::vector<Instruction*> parts = {r.Slice(state, {0}, {1}), r.Reshape(counter[0], {1})};
  if (wide) parts.push_back(r.Reshape(counter[1], {1}));
  Instruction* next = r.Add(Opcode::kConcatenate, state->shape, parts);
  next->dimensions = {0};
  return r.Tuple({next, bits});
}

// The evaluator's formulas, in fp32: 24 bits of a word make a number in [0, 1).
Instruction* ExpandRng(Instruction* instr) {
  Rewriter r(*instr);
  const int64_t elements = instr->shape.elements();
  const bool normal = instr->distribution == hlo::RandomDistribution::kNormal;
  const int64_t words_each = normal ? 2 : 1;
  const int64_t blocks = (words_each * elements + 3) / 4;
  Instruction* zero = r.Scalar(hlo::kU64, 0);
  PhiloxExpansion philox(&r, r.Scalar(hlo::kU64, static_cast<double>(instr->id())), zero, zero,
                         true);
  Instruction* words = philox.Words(blocks);
  const std::vector<int64_t> all = {4 * blocks};
  Instruction* top =
      r.Binary(Opcode::kShiftRightLogical, words, r.Fill(r.Scalar(hlo::kU32, 8), all));
  Instruction* uniform = r.Binary(Opcode::kMultiply, r.Convert(top, hlo::kF32),
                                  r.Fill(r.Scalar(hlo::kF32, std::ldexp(1.0, -24)), all));
  const std::vector<int64_t>& dims = instr->shape.dims;
  auto column = [&](int64_t i) {
    Instruction* table = r.Reshape(uniform, {4 * blocks / words_each, words_each});
    Instruction* values = r.Slice(table, {0, i}, {elements, i + 1});
    return r.Reshape(values, dims);
  };
  auto filled = [&](double value) { return r.Fill(r.Scalar(hlo::kF32, value), dims); };
  auto argument = [&](int64_t i) { return r.Fill(r.Convert(instr->operand(i), hlo::kF32), dims); };
  Instruction* a = argument(0);
  Instruction* b = argument(1);
  Instruction* value;
  if (normal) {
    Instruction* log = r.Unary(Opcode::kLog, r.Binary(Opcode::kSubtract, filled(1), column(0)));
    Instruction* radius = r.Unary(Opcode::kSqrt, r.Binary(Opcode::kMultiply, log, filled(-2)));
    Instruction* angle =
        r.Unary(Opcode::kCos, r.Binary(Opcode::kMultiply, column(1), filled(2 * M_PI)));
    Instruction* scaled =
        r.Binary(Opcode::kMultiply, b, r.Binary(Opcode::kMultiply, radius, angle));
    value = r.Binary(Opcode::kAdd, a, scaled);
  } else {
    value = r.Binary(Opcode::kAdd, a,
                     r.Binary(Opcode::kMultiply, column(0), r.Binary(Opcode::kSubtract, b, a)));
    if (!hlo::IsFloating(instr->shape.type)) value = r.Unary(Opcode::kFloor, value);
  }
  return r.Convert(value, instr->shape.type);
}

struct Expansion {
  Opcode opcode;
  Instruction* (*expand)(Instruction* instruction);
};

constexpr Expansion kExpansions[] = {
    {Opcode::kBatchNormInference, ExpandBatchNorm},
    {Opcode::kClamp, ExpandClamp},
    {Opcode::kRng, ExpandRng},
    {Opcode::kRngBitGenerator, ExpandRngBitGenerator},
};

}  // namespace

absl::StatusOr<bool> ExpandOps(hlo::Module* module) {
  return RewriteInstructions(module, [](Instruction* instr) -> Instruction* {
    for (const Expansion& expansion : kExpansions) {
      if (expansion.opcode == instr->opcode()) return expansion.expand(instr);
    }
    return nullptr;
  });
}

}  // namespace glia::compiler
