// Random programs give the same results before and after the passes.
#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "compiler/passes/pass_pipeline.h"
#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"
#include "serialization/hlo/builder.h"
#include "serialization/hlo/text.h"
#include "serialization/testing/seed.h"

namespace glia::compiler {
namespace {

using hlo::Op;
using hlo::Opcode;
using Dims = std::vector<int64_t>;

class RandomProgram {
 public:
  explicit RandomProgram(uint32_t seed) : random_(seed), b_("random") {}

  std::unique_ptr<hlo::Module> Make() {
    for (int i = 0; i < 3; ++i) {
      const hlo::PrimitiveType type = i == 2 ? hlo::kS32 : hlo::kF32;
      values_.push_back(hlo::Parameter(&b_, i, hlo::Shape(type, RandomDims())));
    }
    const int steps = Int(3, 25);
    for (int i = 0; i < steps; ++i) {
      Op next = Step();
      if (next.valid() && next.shape().elements() <= 4000) values_.push_back(next);
    }
    std::vector<Op> results;
    const int count = Int(1, 3);
    for (int i = 0; i < count; ++i)
      results.push_back(values_[values_.size() - 1 - static_cast<size_t>(i)]);
    auto module = b_.Build(absl::MakeSpan(results));
    EXPECT_TRUE(module.ok()) << module.status();
    return module.ok() ? *std::move(module) : nullptr;
  }

 private:
  int Int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool Coin() { return Int(0, 1) == 1; }
  Op Pick() { return values_[static_cast<size_t>(Int(0, static_cast<int>(values_.size()) - 1))]; }
  Op PickFloat() {
    Op x = Pick();
    return x.shape().type == hlo::kF32 ? x : hlo::Convert(x, hlo::kF32);
  }

  Dims RandomDims() {
    Dims dims(static_cast<size_t>(Int(0, 4)));
    for (int64_t& d : dims) d = Int(0, 12) == 0 ? 0 : Int(1, 5);
    return dims;
  }

  Dims RandomPermutation(int64_t rank) {
    Dims permutation(static_cast<size_t>(rank));
    for (size_t i = 0; i < permutation.size(); ++i) permutation[i] = static_cast<int64_t>(i);
    std::shuffle(permutation.begin(), permutation.end(), random_);
    return permutation;
  }

  Op RandomConstant(const hlo::Shape& shape) {
    hlo::Literal literal = hlo::Literal::Zero(shape);
    // Few values, so that neutral elements and repeated values occur.
    const bool splat = Coin();
    const int value = Int(-1, 2);
    for (int64_t i = 0; i < literal.elements(); ++i)
      literal.SetFromDouble(i, splat ? value : Int(-1, 2));
    return hlo::Constant(&b_, literal);
  }

  // Another operand for x: a constant, a broadcast, or anything of its shape.
  Op Partner(Op x) {
    const hlo::Shape shape = x.shape();
    for (int i = 0; i < 4; ++i) {
      Op y = Pick();
      if (y.shape() == shape) return y;
    }
    return Coin() ? RandomConstant(shape) : hlo::Filled(&b_, shape, Int(-1, 2));
  }

  Op Step() {
    switch (Int(0, 16)) {
      case 0: {
        const Opcode opcodes[] = {Opcode::kAbs,      Opcode::kNegate, Opcode::kSin,
                                  Opcode::kTanh,     Opcode::kFloor,  Opcode::kCeil,
                                  Opcode::kLogistic, Opcode::kSign,   Opcode::kCopy};
        return hlo::Unary(opcodes[Int(0, 8)], PickFloat());
      }
      case 1: {
        const Opcode opcodes[] = {Opcode::kAdd, Opcode::kSubtract, Opcode::kMultiply,
                                  Opcode::kMaximum, Opcode::kMinimum};
        Op x = Pick();
        if (x.shape().type == hlo::kPred) return hlo::Not(x);
        Op y = Partner(x);
        return Coin() ? hlo::Binary(opcodes[Int(0, 4)], x, y)
                      : hlo::Binary(opcodes[Int(0, 4)], y, x);
      }
      case 2: {
        Op x = Pick();
        const auto direction = static_cast<hlo::ComparisonDirection>(Int(0, 5));
        return hlo::Compare(x, Partner(x), direction);
      }
      case 3: {
        Op x = Pick();
        Op pred = Partner(hlo::Convert(x, hlo::kPred));
        return hlo::Select(pred, x, Partner(x));
      }
      case 4: {
        const hlo::PrimitiveType types[] = {hlo::kF32, hlo::kS32, hlo::kPred, hlo::kF64, hlo::kS64};
        Op x = hlo::Convert(Pick(), types[Int(0, 4)]);
        return x.shape().type == hlo::kF64 || x.shape().type == hlo::kS64
                   ? hlo::Convert(x, hlo::kF32)
                   : x;
      }
      case 5: {
        Op x = Pick();
        return hlo::Transpose(x, RandomPermutation(x.shape().rank()));
      }
      case 6: {  // other dims of the same element count
        Op x = Pick();
        Dims dims = x.shape().dims;
        if (Coin() || dims.empty()) {
          dims.insert(dims.begin() + Int(0, static_cast<int>(dims.size())), 1);
        } else {
          dims = {x.shape().elements()};
        }
        return hlo::Reshape(x, dims);
      }
      case 7: {  // new dims anywhere
        Op x = Pick();
        Dims dims = x.shape().dims;
        Dims targets = RandomPermutation(x.shape().rank());
        std::sort(targets.begin(), targets.end());
        if (dims.size() > 3) return x;
        const int at = Int(0, static_cast<int>(dims.size()));
        dims.insert(dims.begin() + at, Int(1, 3));
        for (int64_t& t : targets) t += t >= at ? 1 : 0;
        return hlo::BroadcastInDim(x, dims, targets);
      }
      case 8: {
        Op x = Pick();
        Dims starts, limits, strides;
        for (int64_t d : x.shape().dims) {
          starts.push_back(Int(0, static_cast<int>(d)));
          limits.push_back(Coin() ? d : Int(static_cast<int>(starts.back()), static_cast<int>(d)));
          if (Coin()) starts.back() = 0;
          strides.push_back(Int(1, 2));
        }
        return hlo::Slice(x, starts, limits, strides);
      }
      case 9: {
        Op x = PickFloat();
        std::vector<hlo::PaddingDim> padding;
        for (int64_t d : x.shape().dims) {
          hlo::PaddingDim p;
          p.low = Int(-1, 1);
          p.high = Int(-1, 1);
          p.interior = Int(0, 3) == 0 ? 1 : 0;
          if (d + p.low + p.high + std::max<int64_t>(0, d - 1) * p.interior < 0)
            p = hlo::PaddingDim();
          padding.push_back(p);
        }
        return hlo::Pad(x, hlo::ConstantR0<float>(&b_, static_cast<float>(Int(0, 1))), padding);
      }
      case 10: {
        Op x = Pick();
        if (x.shape().rank() == 0) return x;
        const Op parts[] = {x, Partner(x), x};
        return hlo::Concatenate(absl::MakeSpan(parts, static_cast<size_t>(Int(1, 3))),
                                Int(0, static_cast<int>(x.shape().rank()) - 1));
      }
      case 11: {
        Op x = Pick();
        Dims dims;
        for (int64_t d = 0; d < x.shape().rank(); ++d) {
          if (Coin()) dims.push_back(d);
        }
        return hlo::Rev(x, dims);
      }
      case 12: {
        Op x = PickFloat();
        Dims dims;
        for (int64_t d = 0; d < x.shape().rank(); ++d) {
          if (Coin()) dims.push_back(d);
        }
        const bool sum = Coin();
        return hlo::Reduce(x, hlo::ConstantR0<float>(&b_, sum ? 0.0f : -1.0f),
                           b_.ScalarComputation(sum ? Opcode::kAdd : Opcode::kMaximum, hlo::kF32),
                           dims);
      }
      case 13:
        return RandomDot();
      case 14: {
        const Dims dims = RandomDims();
        if (dims.empty()) return RandomConstant(hlo::Shape(hlo::kF32, dims));
        return hlo::Iota(&b_, hlo::Shape(Coin() ? hlo::kF32 : hlo::kS32, dims),
                         Int(0, static_cast<int>(dims.size()) - 1));
      }
      case 15: {
        Op x = Pick();
        std::vector<Op> starts;
        Dims sizes;
        for (int64_t d : x.shape().dims) {
          starts.push_back(hlo::ConstantR0<int32_t>(&b_, Int(-1, 5)));
          sizes.push_back(Coin() ? d : Int(0, static_cast<int>(d)));
        }
        if (starts.empty()) return x;
        Op part = hlo::DynamicSlice(x, starts, sizes);
        return Coin() ? part : hlo::DynamicUpdateSlice(Partner(x), part, starts);
      }
      default: {
        Op x = PickFloat();
        Op low = hlo::ConstantR0<float>(&b_, -1);
        return hlo::Clamp(low, x, Coin() ? hlo::ConstantR0<float>(&b_, 1) : Partner(x));
      }
    }
  }

  // Any roles of the dims: the right operand is made to fit.
  Op RandomDot() {
    Op x = PickFloat();
    hlo::DotDims dims;
    Dims right;
    const Dims order = RandomPermutation(x.shape().rank());
    for (int64_t d : order) {
      const int role = Int(0, 2);
      if (role == 0) continue;
      (role == 1 ? dims.lhs_contracting : dims.lhs_batch).push_back(d);
      (role == 1 ? dims.rhs_contracting : dims.rhs_batch)
          .push_back(static_cast<int64_t>(right.size()));
      right.push_back(x.shape().dim(d));
    }
    right.push_back(Int(1, 3));
    // Shuffle the right operand's dims.
    const Dims permutation = RandomPermutation(static_cast<int64_t>(right.size()));
    Dims shuffled(right.size());
    for (size_t i = 0; i < right.size(); ++i)
      shuffled[static_cast<size_t>(permutation[i])] = right[i];
    for (int64_t& d : dims.rhs_contracting) d = permutation[static_cast<size_t>(d)];
    for (int64_t& d : dims.rhs_batch) d = permutation[static_cast<size_t>(d)];
    Op y = Coin() ? RandomConstant(hlo::Shape(hlo::kF32, shuffled))
                  : hlo::Convert(hlo::Iota(&b_, hlo::Shape(hlo::kS32, shuffled), 0), hlo::kF32);
    if (Coin()) {
      const Dims turn = RandomPermutation(static_cast<int64_t>(shuffled.size()));
      Dims back(turn.size());
      for (size_t i = 0; i < turn.size(); ++i)
        back[static_cast<size_t>(turn[i])] = static_cast<int64_t>(i);
      y = hlo::Transpose(hlo::Transpose(y, turn), back);
    }
    return hlo::DotGeneral(x, y, dims);
  }

  std::mt19937 random_;
  hlo::Builder b_;
  std::vector<Op> values_;
};

void Check(uint32_t seed) {
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  auto module = RandomProgram(seed).Make();
  ASSERT_NE(module, nullptr);
  auto original = module->Clone();
  SCOPED_TRACE(hlo::ToString(*original));
  PipelineOptions options;
  options.verify_each_pass = true;
  auto statistics = RunPasses(module.get(), options);
  ASSERT_TRUE(statistics.ok()) << statistics.status();
  ExpectSameResults(*original, *module, 1e-5, seed);
  for (const PassStatistics& row : *statistics)
    EXPECT_LT(row.runs, 40) << row.pass << " does not settle";
}

TEST(PassPipelineRandomTest, KeepsResults) {
  for (uint32_t seed = 1; seed <= 400 && !::testing::Test::HasFailure(); ++seed) Check(seed);
  // Another hundred from a seed of the caller's choice.
  const auto first = static_cast<uint32_t>(TestSeed());
  for (uint32_t i = 0; i < 100 && !::testing::Test::HasFailure(); ++i) Check(first + i);
}

}  // namespace
}  // namespace glia::compiler
