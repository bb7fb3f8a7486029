#include "device_sim/fast_stencil.h"

#include <algorithm>

#include "device_sim/fast_parts.h"
#include "device_sim/semantics.h"

namespace glia::device::fast {
namespace {

constexpr int64_t kLanes = kernels::kGatherLanes;

// Elements from one to the next in the innermost dimension that has any.
int64_t StepsOf(const View& v) {
  for (int d = isa::kFreeDims - 1; d >= 0; --d) {
    if (v.size[d] > 1) return v.stride[d] / v.bytes;
  }
  return 1;
}

}  // namespace

bool StencilPlan::Accepts(const DecodeContext& context, const isa::Instruction& i,
                          StencilTap* tap) {
  if (i.opcode != isa::Opcode::kScalarTensorTensor || i.op0 != isa::AluOp::kMultiply ||
      i.op1 != isa::AluOp::kAdd || (i.flags & (isa::kReverse0 | isa::kReverse1)) != 0) {
    return false;
  }
  tap->dst = context.ViewOf(i.dst);
  tap->source = context.ViewOf(i.src0);
  tap->factor = context.ViewOf(i.src2);
  tap->immediate = i.imm0;
  const View &dst = tap->dst, &source = tap->source;
  if (dst.dtype != isa::DType::kF32 || i.src1.dtype != isa::DType::kF32 ||
      !SamePlace(dst, context.ViewOf(i.src1))) {
    return false;
  }
  if (source.dtype != isa::DType::kF32 && source.dtype != isa::DType::kBf16) return false;
  if (tap->factor.present() && !IsFloatType(tap->factor.dtype)) return false;
  if (source.pitch != dst.pitch || source.partitions != dst.partitions) return false;
  return Parts::Possible(dst, source) && kernels::GetStencil(source.bytes, 1) != nullptr;
}

bool StencilPlan::Alike(const StencilTap& a, const StencilTap& b) {
  return a.dst.partitions == b.dst.partitions && a.source.dtype == b.source.dtype &&
         (a.dst.base - b.dst.base) % 4 == 0;
}

StencilPlan::StencilPlan(const std::vector<StencilTap>& taps) : rows_(taps[0].dst.partitions) {
  const auto base = [](const StencilTap& a, const StencilTap& b) {
    return a.dst.base < b.dst.base;
  };
  out_ = std::min_element(taps.begin(), taps.end(), base)->dst.base;
  source_ = taps[0].source.base;
  source_pitch_ = taps[0].source.pitch;
  out_pitch_ = taps[0].dst.pitch;
  for (const StencilTap& t : taps) {
    elements_ = std::max<int64_t>(elements_, (t.dst.base - out_ + ReachOf(t.dst)) / 4);
  }
  std::vector<Parts> parts;
  int64_t steps = StepsOf(taps[0].source);
  for (const StencilTap& t : taps) {
    parts.emplace_back(t.dst, (t.dst.base - out_) / 4, t.source, elements_);
    factors_.push_back({t.factor.present() ? t.factor.base : nullptr, t.factor.pitch,
                        t.factor.dtype, t.immediate});
  }
  for (int64_t v = 0; v < (elements_ + kLanes - 1) / kLanes; ++v) {
    first_.push_back(static_cast<int32_t>(terms_.size()));
    for (size_t t = 0; t < taps.size(); ++t) {
      for (int32_t k = 0; k < parts[t].count(v); ++k) {
        kernels::StencilTerm term;
        term.part = parts[t].begin(v)[k];
        if (term.part.last == term.part.first + 1) {
          // One element has any stride.
          const int64_t stride = steps * taps[t].source.bytes;
          term.part.offset += term.part.first * (term.part.stride - stride);
          term.part.stride = static_cast<int32_t>(stride);
        }
        if (term.part.stride != steps * taps[t].source.bytes) steps = 0;
        term.part.offset += taps[t].source.base - source_;
        term.tap = static_cast<int32_t>(t);
        terms_.push_back(term);
      }
    }
  }
  first_.push_back(static_cast<int32_t>(terms_.size()));
  fn_ = kernels::GetStencil(taps[0].source.bytes,
                            steps == 1 || steps == 2 ? static_cast<int>(steps) : 0);
}

class StencilStep final : public Step {
 public:
  StencilStep(std::shared_ptr<const StencilPlan> plan, int64_t first, int64_t count)
      : plan_(std::move(plan)),
        first_(first),
        count_(count),
        factors_(plan_->factors_.size() * count) {}

  bool Run(RunContext&) override {
    float* to = factors_.data();
    for (const StencilPlan::Factor& f : plan_->factors_) {
      for (int64_t row = first_; row < first_ + count_; ++row) {
        *to++ = f.base != nullptr ? LoadFloat(f.dtype, f.base + row * f.pitch) : f.immediate;
      }
    }
    kernels::Stencil s;
    s.source = plan_->source_ + first_ * plan_->source_pitch_;
    s.out = reinterpret_cast<float*>(plan_->out_ + first_ * plan_->out_pitch_);
    s.factors = factors_.data();
    s.terms = plan_->terms_.data();
    s.first = plan_->first_.data();
    s.source_pitch = plan_->source_pitch_;
    s.out_pitch = plan_->out_pitch_ / 4;
    s.elements = plan_->elements_;
    s.rows = static_cast<int32_t>(count_);
    plan_->fn_(s);
    return true;
  }

 private:
  const std::shared_ptr<const StencilPlan> plan_;
  const int64_t first_, count_;
  std::vector<float> factors_;
};

std::unique_ptr<Step> MakeStencilStep(std::shared_ptr<const StencilPlan> plan, int64_t first,
                                      int64_t count) {
  return std::make_unique<StencilStep>(std::move(plan), first, count);
}

}  // namespace glia::device::fast
