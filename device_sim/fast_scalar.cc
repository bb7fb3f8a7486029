// Instructions that are rare, sequential or irregular, element by element over the scalar reference of
// semantics.h. They read a partition's sources before they write its results.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "device_sim/fast_rows.h"
#include "serialization/isa/table.h"

namespace glia::device::fast {
namespace {

using isa::AluOp;
using isa::DType;

// NaN above everything, zeros equal.
bool FloatLess(float a, float b) { return std::isnan(b) ? !std::isnan(a) : a < b; }

// Values of one partition in the domain of the operation.
struct Values {
  bool integer = false;
  std::vector<float> f;
  std::vector<int64_t> i;
  size_t size() const { return integer ? i.size() : f.size(); }
};

class ScalarStep : public Step {
 public:
  ScalarStep(const DecodeContext& context, isa::Engine engine, const isa::Instruction& i)
      : i_(i), kernels_(context.kernels), pool_(engine == isa::Engine::kPool) {
    for (int k = 0; k < 5; ++k) {
      Operand& o = operand_[k];
      o.view = context.ViewOf(isa::GetOperand(i, k));
      if (!o.view.present()) continue;
      View one = o.view;
      one.partitions = 1;
      const Walk walk = WalkOf(one);
      Cursor cursor(walk, nullptr);
      cursor.Take(one.free(), [&](uint8_t* p, ptrdiff_t stride, int64_t n, int64_t) {
        for (int64_t e = 0; e < n; ++e) o.offsets.push_back(reinterpret_cast<intptr_t>(p) + e * stride);
      });
      o.regular = walk.dims == 1;
      o.stride = walk.d[0].stride;
    }
  }

  bool Run(RunContext& context) override {
    for (int64_t p = 0; p < Partitions(); ++p) {
      if (!Partition(p, context)) return false;
    }
    return true;
  }

 protected:
  virtual int64_t Partitions() const { return operand_[0].view.partitions; }
  virtual bool Partition(int64_t p, RunContext& context) = 0;

  // Operands by number: 0 dst, 1 to 4 src0 to src3.
  bool Present(int k) const { return operand_[k].view.present(); }
  int64_t Free(int k) const { return static_cast<int64_t>(operand_[k].offsets.size()); }
  DType TypeOf(int k) const { return operand_[k].view.dtype; }
  DType type() const { return TypeOf(1); }
  uint8_t* At(int k, int64_t p, int64_t e) const {
    return operand_[k].view.base + p * operand_[k].view.pitch + operand_[k].offsets[e];
  }

  bool IntegerDomain(std::initializer_list<int> inputs) const {
    return pool_ && std::all_of(inputs.begin(), inputs.end(),
                                [this](int k) { return !Present(k) || !IsFloatType(TypeOf(k)); });
  }
  static bool UsesIntegers(AluOp op, bool domain) { return domain || IsRawOp(op); }

  void Load(int k, int64_t p, bool integer, Values* v) const {
    const Operand& o = operand_[k];
    const size_t n = o.offsets.size();
    v->integer = integer;
    if (!integer) {
      v->f.resize(n);
      if (o.regular) {
        kernels_.load_f32[static_cast<int>(TypeOf(k))](At(k, p, 0), o.stride, v->f.data(), n);
      } else {
        for (size_t e = 0; e < n; ++e) v->f[e] = LoadFloat(TypeOf(k), At(k, p, e));
      }
      return;
    }
    v->i.resize(n);
    for (size_t e = 0; e < n; ++e) {
      v->i[e] = IsFloatType(TypeOf(k)) ? FloatToInt(LoadFloat(TypeOf(k), At(k, p, e)), DType::kI64)
                                       : LoadInt(TypeOf(k), At(k, p, e));
    }
  }

  void LoadScalar(int k, int64_t p, bool integer, float immediate, Values* v) const {
    if (Present(k)) return Load(k, p, integer, v);
    v->integer = integer;
    integer ? v->i.assign(1, FloatToInt(immediate, DType::kI64)) : v->f.assign(1, immediate);
  }

  void Store(int k, int64_t p, const Values& v) const {
    const bool is_signed = IsSignedType(type());
    for (int64_t e = 0; e < Free(k); ++e) {
      if (v.integer) {
        StoreInt(TypeOf(k), At(k, p, e), v.i[e], is_signed);
      } else {
        StoreFloat(TypeOf(k), At(k, p, e), v.f[e]);
      }
    }
  }

  void StoreElement(int k, int64_t p, int64_t e, DType from, const void* src) const {
    ConvertElement(from, src, TypeOf(k), At(k, p, e), pool_);
  }

  void ConvertTo(bool integer, Values* v) const {
    if (v->integer == integer) return;
    v->integer = integer;
    if (integer) {
      v->i.resize(v->f.size());
      for (size_t e = 0; e < v->f.size(); ++e) v->i[e] = FloatToInt(v->f[e], type());
    } else {
      v->f.resize(v->i.size());
      for (size_t e = 0; e < v->i.size(); ++e) v->f[e] = IntToFloat(v->i[e], IsSignedType(type()));
    }
  }

  // a = a op b; a b of one value is for all.
  void Combine(AluOp op, bool reverse, const Values& b, Values* a) const {
    ConvertTo(b.integer, a);
    const size_t step = b.size() == 1 ? 0 : 1;
    for (size_t e = 0; e < a->size(); ++e) {
      if (a->integer) {
        const int64_t x = a->i[e], y = b.i[e * step];
        a->i[e] = reverse ? AluInt(op, y, x, type()) : AluInt(op, x, y, type());
      } else {
        const float x = a->f[e], y = b.f[e * step];
        a->f[e] = reverse ? AluFloat(op, y, x) : AluFloat(op, x, y);
      }
    }
  }

  // Positions of the first match of each wanted value not taken by an earlier one, or -1.
  static std::vector<int64_t> Match(const Values& values, const Values& wanted) {
    std::vector<int64_t> positions;
    for (size_t k = 0; k < wanted.size(); ++k) {
      int64_t found = -1;
      for (size_t e = 0; e < values.size() && found < 0; ++e) {
        const bool equal = values.integer ? values.i[e] == wanted.i[k]
                                          : values.f[e] == wanted.f[k] ||
                                                (std::isnan(values.f[e]) && std::isnan(wanted.f[k]));
        const auto at = static_cast<int64_t>(e);
        if (equal && std::find(positions.begin(), positions.end(), at) == positions.end()) found = at;
      }
      positions.push_back(found);
    }
    return positions;
  }

  int64_t Affine(int64_t p, int64_t e) const {
    uint64_t value = static_cast<uint64_t>(i_.imm_int) + static_cast<uint64_t>(i_.mult * p);
    for (int d = isa::kFreeDims - 1; d >= 0; --d) {
      value += static_cast<uint64_t>(i_.pattern[d] * (e % i_.dst.size[d]));
      e /= i_.dst.size[d];
    }
    return static_cast<int64_t>(value);
  }

  bool Index(int64_t p, int64_t e, int64_t bound, int64_t* index, RunContext& context) const {
    *index = LoadInt(TypeOf(2), At(2, p, e));
    if (*index >= 0 && *index < bound) return true;
    context.error = absl::OutOfRangeError(absl::StrCat("index ", *index, " at partition ", p, ", element ", e,
                                                       " is not in [0, ", bound, ")"));
    return false;
  }

  // The elements of a partition as they are, so that results may overwrite them.
  void Keep(int k, int64_t p, std::vector<uint8_t>* out) const {
    const size_t bytes = operand_[k].view.bytes;
    out->resize(operand_[k].offsets.size() * bytes);
    for (int64_t e = 0; e < Free(k); ++e) std::memcpy(&(*out)[e * bytes], At(k, p, e), bytes);
  }

  struct Operand {
    View view;
    std::vector<ptrdiff_t> offsets;  // of the elements of a partition
    bool regular = false;            // at a single stride
    ptrdiff_t stride = 0;
  };

  const isa::Instruction& i_;
  const kernels::ElementwiseKernels& kernels_;
  const bool pool_;
  Operand operand_[5];
  Values a_, b_, c_;
  std::vector<uint8_t> kept_, payload_;
};

// TensorTensor, TensorScalar and ScalarTensorTensor that leave a domain on the way, or mix them.
class MixedAlu final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    const bool tensor = i_.opcode == isa::Opcode::kTensorTensor;
    const bool domain = tensor ? IntegerDomain({1, 2}) : IntegerDomain({1, 2, 3});
    const bool first = UsesIntegers(i_.op0, domain), second = UsesIntegers(i_.op1, domain);
    Load(1, p, first, &a_);
    if (tensor) {
      Load(2, p, first, &b_);
      Combine(i_.op0, false, b_, &a_);
    } else if (i_.opcode == isa::Opcode::kTensorScalar) {
      LoadScalar(2, p, first, i_.imm0, &b_);
      Combine(i_.op0, (i_.flags & isa::kReverse0) != 0, b_, &a_);
      if (i_.op1 != AluOp::kBypass) {
        LoadScalar(3, p, second, i_.imm1, &b_);
        Combine(i_.op1, (i_.flags & isa::kReverse1) != 0, b_, &a_);
      }
    } else {
      LoadScalar(3, p, first, i_.imm0, &b_);
      Combine(i_.op0, false, b_, &a_);
      Load(2, p, second, &b_);
      Combine(i_.op1, false, b_, &a_);
    }
    Store(0, p, a_);
    return true;
  }
};

class Scan final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    const bool integer = UsesIntegers(i_.op0, IntegerDomain({1, 2}));
    const int64_t inner = i_.src0.size[isa::kFreeDims - 1];
    LoadScalar(2, p, integer, i_.imm0, &b_);
    if (integer && !Present(2)) b_.i[0] = i_.imm_int;
    Load(1, p, integer, &a_);
    for (int64_t e = 0; e < Free(1); ++e) {
      const bool first = e % inner == 0;
      if (integer) {
        a_.i[e] = AluInt(i_.op0, first ? b_.i[0] : a_.i[e - 1], a_.i[e], type());
      } else {
        a_.f[e] = AluFloat(i_.op0, first ? b_.f[0] : a_.f[e - 1], a_.f[e]);
      }
    }
    Store(0, p, a_);
    return true;
  }
};

class BnStats final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    Load(1, p, false, &a_);
    c_.f.clear();
    for (size_t parity = 0; parity < 2; ++parity) {
      const size_t n = a_.f.size();
      double count = 0, sum = 0, m2 = 0;
      for (size_t e = parity; e < n; e += 2, ++count) sum += a_.f[e];
      const double mean = count > 0 ? sum / count : 0;
      for (size_t e = parity; e < n; e += 2) m2 += (a_.f[e] - mean) * (a_.f[e] - mean);
      for (const double v : {count, mean, m2}) c_.f.push_back(static_cast<float>(v));
    }
    Store(0, p, c_);
    return true;
  }
};

class BnAggr final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    Load(1, p, false, &a_);
    double count = 0, sum = 0, m2 = 0;
    for (size_t e = 0; e + 2 < a_.f.size(); e += 3) {
      count += a_.f[e];
      sum += double{a_.f[e]} * a_.f[e + 1];
    }
    const double mean = count > 0 ? sum / count : 0;
    for (size_t e = 0; e + 2 < a_.f.size(); e += 3) {
      const double d = a_.f[e + 1] - mean;
      m2 += a_.f[e + 2] + a_.f[e] * d * d;
    }
    c_.f = {static_cast<float>(mean), static_cast<float>(count > 0 ? m2 / count : 0)};
    Store(0, p, c_);
    return true;
  }
};

class Max8 final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    Load(1, p, IntegerDomain({1}), &a_);
    if (a_.integer) {
      const bool is_signed = IsSignedType(type());
      std::partial_sort(a_.i.begin(), a_.i.begin() + 8, a_.i.end(), [is_signed](int64_t x, int64_t y) {
        return is_signed ? x > y : static_cast<uint64_t>(x) > static_cast<uint64_t>(y);
      });
    } else {
      std::partial_sort(a_.f.begin(), a_.f.begin() + 8, a_.f.end(),
                        [](float x, float y) { return FloatLess(y, x); });
    }
    Store(0, p, a_);
    return true;
  }
};

class FindIndex8 final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    const bool integer = IntegerDomain({1, 2});
    Load(1, p, integer, &a_);
    Load(2, p, integer, &b_);
    c_.integer = true;
    c_.i = Match(a_, b_);
    Store(0, p, c_);
    return true;
  }
};

class MatchReplace8 final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    const bool integer = IntegerDomain({1, 2});
    Load(1, p, integer, &a_);
    Load(2, p, integer, &b_);
    for (const int64_t at : Match(a_, b_)) {
      if (at < 0) continue;
      if (integer) {
        a_.i[at] = FloatToInt(i_.imm0, DType::kI64);
      } else {
        a_.f[at] = i_.imm0;
      }
    }
    Store(0, p, a_);
    return true;
  }
};

class Transpose32 final : public ScalarStep {
  using ScalarStep::ScalarStep;
  int64_t Partitions() const override { return operand_[0].view.partitions / 32; }
  // A row of blocks at a time: they may be transposed in place.
  bool Partition(int64_t block, RunContext&) override {
    const size_t bytes = operand_[1].view.bytes;
    const int64_t n = Free(1);
    kept_.resize(32 * n * bytes);
    for (int64_t r = 0; r < 32; ++r) {
      for (int64_t e = 0; e < n; ++e) std::memcpy(&kept_[(r * n + e) * bytes], At(1, block * 32 + r, e), bytes);
    }
    for (int64_t r = 0; r < 32; ++r) {
      for (int64_t e = 0; e < n; ++e) {
        std::memcpy(At(0, block * 32 + e % 32, e / 32 * 32 + r), &kept_[(r * n + e) * bytes], bytes);
      }
    }
    return true;
  }
};

class Iota final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    for (int64_t e = 0; e < Free(0); ++e) StoreInt(TypeOf(0), At(0, p, e), Affine(p, e), true);
    return true;
  }
};

class AffineSelect final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    Keep(1, p, &kept_);
    for (int64_t e = 0; e < Free(0); ++e) {
      if (AluInt(i_.op0, Affine(p, e), 0, DType::kI64) != 0) {
        StoreElement(0, p, e, type(), &kept_[e * operand_[1].view.bytes]);
      } else if (IsFloatType(TypeOf(0))) {
        StoreFloat(TypeOf(0), At(0, p, e), i_.imm0);
      } else {
        StoreInt(TypeOf(0), At(0, p, e), i_.imm_int2, true);
      }
    }
    return true;
  }
};

class PartitionReduce final : public ScalarStep {
  using ScalarStep::ScalarStep;
  int64_t Partitions() const override { return operand_[1].view.partitions; }
  bool Partition(int64_t p, RunContext&) override {
    Load(1, p, UsesIntegers(i_.op0, IntegerDomain({1})), &b_);
    if (p == 0) {
      a_ = b_;
    } else {
      // One free element would count as a value for all: it is.
      Combine(i_.op0, false, b_, &a_);
    }
    if (p + 1 == Partitions()) Store(0, 0, a_);
    return true;
  }
};

class PartitionBroadcast final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    if (p == 0) Keep(1, 0, &kept_);
    for (int64_t e = 0; e < Free(0); ++e) StoreElement(0, p, e, type(), &kept_[e * operand_[1].view.bytes]);
    return true;
  }
};

class Gather final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext& context) override {
    for (int64_t e = 0; e < Free(0); ++e) {
      int64_t index;
      if (!Index(p, e, Free(1), &index, context)) return false;
      StoreElement(0, p, e, type(), At(1, p, index));
    }
    return true;
  }
};

class ScatterAdd final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext& context) override {
    const bool integer = UsesIntegers(i_.op0, IntegerDomain({0, 1}));
    const DType to = TypeOf(0);
    for (int64_t e = 0; e < Free(1); ++e) {
      int64_t index;
      if (!Index(p, e, Free(0), &index, context)) return false;
      uint8_t* const dst = At(0, p, index);
      const uint8_t* const src = At(1, p, e);
      if (i_.op0 == AluOp::kBypass) {
        StoreElement(0, p, index, type(), src);
      } else if (integer) {
        StoreInt(to, dst, AluInt(i_.op0, LoadInt(to, dst), LoadInt(type(), src), to), IsSignedType(to));
      } else {
        StoreFloat(to, dst, AluFloat(i_.op0, LoadFloat(to, dst), LoadFloat(type(), src)));
      }
    }
    return true;
  }
};

class Sort final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    const bool is_signed = IsSignedType(type()), descending = (i_.flags & isa::kDescending) != 0;
    Load(1, p, !IsFloatType(type()), &a_);
    order_.resize(a_.size());
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(), [&](int64_t x, int64_t y) {
      if (descending) std::swap(x, y);
      if (!a_.integer) return FloatLess(a_.f[x], a_.f[y]);
      return is_signed ? a_.i[x] < a_.i[y] : static_cast<uint64_t>(a_.i[x]) < static_cast<uint64_t>(a_.i[y]);
    });
    Keep(1, p, &kept_);
    if (Present(3)) Keep(3, p, &payload_);
    for (size_t e = 0; e < order_.size(); ++e) {
      StoreElement(0, p, static_cast<int64_t>(e), type(), &kept_[order_[e] * operand_[1].view.bytes]);
      if (Present(3)) {
        StoreElement(4, p, static_cast<int64_t>(e), TypeOf(3), &payload_[order_[e] * operand_[3].view.bytes]);
      }
    }
    return true;
  }
  std::vector<int64_t> order_;
};

class Philox final : public ScalarStep {
  using ScalarStep::ScalarStep;
  bool Partition(int64_t p, RunContext&) override {
    for (int64_t e = 0; e < Free(0); ++e) {
      StoreAs(At(0, p, e), PhiloxElement(i_.imm_int, i_.imm_int2, p * Free(0) + e));
    }
    return true;
  }
};

using Maker = std::unique_ptr<Step> (*)(const DecodeContext&, isa::Engine, const isa::Instruction&);
template <class S>
std::unique_ptr<Step> Make(const DecodeContext& context, isa::Engine engine, const isa::Instruction& i) {
  return std::make_unique<S>(context, engine, i);
}

struct Entry {
  isa::Opcode opcode;
  Maker make;
};
constexpr Entry kEntries[] = {
    {isa::Opcode::kTensorTensor, &Make<MixedAlu>},
    {isa::Opcode::kTensorScalar, &Make<MixedAlu>},
    {isa::Opcode::kScalarTensorTensor, &Make<MixedAlu>},
    {isa::Opcode::kScan, &Make<Scan>},
    {isa::Opcode::kBnStats, &Make<BnStats>},
    {isa::Opcode::kBnAggr, &Make<BnAggr>},
    {isa::Opcode::kMax8, &Make<Max8>},
    {isa::Opcode::kFindIndex8, &Make<FindIndex8>},
    {isa::Opcode::kMatchReplace8, &Make<MatchReplace8>},
    {isa::Opcode::kTranspose32, &Make<Transpose32>},
    {isa::Opcode::kIota, &Make<Iota>},
    {isa::Opcode::kAffineSelect, &Make<AffineSelect>},
    {isa::Opcode::kPartitionReduce, &Make<PartitionReduce>},
    {isa::Opcode::kPartitionBroadcast, &Make<PartitionBroadcast>},
    {isa::Opcode::kGather, &Make<Gather>},
    {isa::Opcode::kScatterAdd, &Make<ScatterAdd>},
    {isa::Opcode::kSort, &Make<Sort>},
    {isa::Opcode::kPhilox, &Make<Philox>},
};

}  // namespace

void DecodeScalar(const DecodeContext& context, isa::Engine engine, const isa::Instruction& i,
                  Steps& steps) {
  for (const Entry& e : kEntries) {
    if (e.opcode == i.opcode) return steps.push_back(e.make(context, engine, i));
  }
}

}  // namespace glia::device::fast
