#include "frontend/capture/varying.h"

#include <ATen/ops/add.h>
#include <ATen/ops/div.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sub.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "frontend/capture/info_cache.h"
#include "frontend/capture/nodes.h"
#include "frontend/capture/record.h"
#include "frontend/capture/storage.h"
#include "frontend/capture/sync.h"
#include "frontend/capture/trace_session.h"

namespace glia::capture {
namespace {

constexpr size_t kSlots = 64;
constexpr size_t kMaxOthers = 8;

using Arguments = c10::ArrayRef<c10::IValue>;

struct Factor {
  const char* op;
  int argument;
  at::Tensor (*record)(Arguments a, const at::Scalar& factor);
};
constexpr Factor kFactors[] = {
    {"aten::add.Tensor", 2,
     [](Arguments a, const at::Scalar& f) {
       return at::add(a[0].toTensor(), at::mul(a[1].toTensor(), f));
     }},
    {"aten::sub.Tensor", 2,
     [](Arguments a, const at::Scalar& f) {
       return at::sub(a[0].toTensor(), at::mul(a[1].toTensor(), f));
     }},
    {"aten::addcmul", 3,
     [](Arguments a, const at::Scalar& f) {
       return at::add(a[0].toTensor(), at::mul(at::mul(a[1].toTensor(), a[2].toTensor()), f));
     }},
    {"aten::addcdiv", 3,
     [](Arguments a, const at::Scalar& f) {
       return at::add(a[0].toTensor(), at::mul(at::div(a[1].toTensor(), a[2].toTensor()), f));
     }},
};

struct FactorMemo : NodeInfo {
  mutable VaryingNumbers numbers;
};

}  // namespace

bool VaryingNumbers::IsConstant(uint64_t bits) {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t step = StepNumber();
  if (step != step_) {
    step_ = step;
    next_ = 0;
  }
  const size_t slot = next_++;
  if (slot < kSlots) {
    if (slot == slots_.size()) slots_.push_back({bits, false});
    Slot& s = slots_[slot];
    s.varies = s.varies || s.bits != bits;
    return !s.varies;
  }
  if (others_.size() > kMaxOthers) return false;
  if (std::find(others_.begin(), others_.end(), bits) == others_.end()) others_.push_back(bits);
  return others_.size() <= kMaxOthers;
}

int FactorArgument(const std::string& functional_name) {
  for (const Factor& f : kFactors) {
    if (functional_name == f.op) return f.argument;
  }
  return -1;
}

NodePtr RecordVaryingFactor(const OpInfo& op, int factor, Arguments arguments) {
  const c10::IValue& value = arguments[static_cast<size_t>(factor)];
  if (CurrentTrace() != nullptr || !value.isDouble() || value.toDouble() == 1) return {};
  Hasher hasher;
  hasher.Add(101);
  hasher.Add(op.hash);
  for (int i = 0; i < factor; ++i) {
    const at::Tensor& t = arguments[static_cast<size_t>(i)].toTensor();
    if (!IsXla(t) || !c10::isFloatingType(t.scalar_type()) ||
        t.scalar_type() != arguments[0].toTensor().scalar_type()) {
      return {};
    }
    AddMeta(hasher, t.sizes(), t.strides(), t.scalar_type());
  }
  const std::shared_ptr<const NodeInfo>* found = FindInfo(hasher.Get());
  const std::shared_ptr<const NodeInfo> info =
      found != nullptr ? *found : InsertInfo(hasher.Get(), std::make_shared<FactorMemo>());
  uint64_t bits;
  const double number = value.toDouble();
  std::memcpy(&bits, &number, sizeof(bits));
  if (static_cast<const FactorMemo&>(*info).numbers.IsConstant(bits)) return {};

  const CpuCallGuard below;
  const NumbersAreInputs inputs;
  for (const Factor& f : kFactors) {
    if (op.name == f.op) return ReadTensor(f.record(arguments, number)).node;
  }
  return {};
}

}  // namespace glia::capture
