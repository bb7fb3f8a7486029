// Element-wise instructions of the scalar, vector and pool engines, as computations on rows.
#include <memory>
#include <utility>

#include "device_sim/fast_rows.h"
#include "serialization/isa/table.h"

namespace glia::device::fast {
namespace {

// A scalar operand: the row of an input, or an immediate value.
template <class T>
struct ScalarArgument {
  int input = -1;
  T immediate = 0;
  Row<T> Get(const Row<T>* in) const { return input >= 0 ? in[input] : Row<T>{&immediate, true}; }
};

template <class T>
struct TensorTensor {
  RowAlu<T> alu;
  void operator()(const Row<T>* in, T* out, size_t n, T*) const { alu(in[0], in[1], out, n); }
};

template <class T>
struct TensorScalar {
  RowAlu<T> alu0, alu1;
  ScalarArgument<T> s0, s1;
  bool reverse0, reverse1, second;
  kernels::TernaryF32Fn both = nullptr;  // neither is reversed
  void operator()(const Row<T>* in, T* out, size_t n, T*) const {
    const Row<T> scalar = s0.Get(in);
    if constexpr (std::is_same_v<T, float>) {
      if (both != nullptr && scalar.scalar && !in[0].scalar) {
        const Row<T> other = s1.Get(in);
        return both(in[0].p, *scalar.p, other.p, other.scalar, out, n);
      }
    }
    reverse0 ? alu0(scalar, in[0], out, n) : alu0(in[0], scalar, out, n);
    if (!second) return;
    const Row<T> value = {out, false}, next = s1.Get(in);
    reverse1 ? alu1(next, value, out, n) : alu1(value, next, out, n);
  }
};

template <class T>
struct ScalarTensorTensor {
  RowAlu<T> alu0, alu1;
  ScalarArgument<T> s;
  kernels::TernaryF32Fn both = nullptr;
  void operator()(const Row<T>* in, T* out, size_t n, T* spare) const {
    if constexpr (std::is_same_v<T, float>) {
      const Row<T> scalar = s.Get(in);
      if (both != nullptr && scalar.scalar && !in[0].scalar) {
        return both(in[0].p, *scalar.p, in[1].p, in[1].scalar, out, n);
      }
    }
    alu0(in[0], s.Get(in), spare, n);
    alu1(Row<T>{spare, false}, in[1], out, n);
  }
};

struct Activate {
  kernels::UnaryF32Fn fn;
  RowAlu<float> multiply, add;
  isa::ActFn function;
  ScalarArgument<float> scale, bias;
  float parameter;
  void operator()(const Row<float>* in, float* out, size_t n, float* spare) const {
    const Row<float> s = scale.Get(in), b = bias.Get(in);
    if (fn != nullptr && s.scalar && b.scalar && !in[0].scalar) {
      fn(in[0].p, *s.p, *b.p, parameter, out, n);
      return;
    }
    multiply(in[0], s, spare, n);
    add(Row<float>{spare, false}, b, spare, n);
    if (fn != nullptr) {
      fn(spare, 1.0f, -0.0f, parameter, out, n);
    } else {
      for (size_t i = 0; i < n; ++i) out[i] = ActFloat(function, spare[i], parameter);
    }
  }
};

struct ActivateInt {
  isa::ActFn function;
  isa::DType type;
  void operator()(const Row<int64_t>* in, int64_t* out, size_t n, int64_t*) const {
    for (size_t i = 0; i < n; ++i) out[i] = ActInt(function, in[0].p[i], type);
  }
};

template <class T>
struct Identity {
  void operator()(const Row<T>* in, T* out, size_t n, T*) const {
    for (size_t i = 0; i < n; ++i) out[i] = in[0].p[in[0].scalar ? 0 : i];
  }
};

// Decodes one instruction; a result that overlaps an input elsewhere than in place goes by a buffer.
class Decoder {
 public:
  Decoder(const DecodeContext& context, isa::Engine engine, const isa::Instruction& i, Steps& steps)
      : context_(context), engine_(engine), i_(i), steps_(steps), dst_(context.ViewOf(i.dst)) {
    out_ = dst_;
    Tensor(i.src0);
  }

  int Tensor(const isa::Operand& o) { return Input(o, false); }
  int PerPartition(const isa::Operand& o) { return o.present() ? Input(o, true) : -1; }

  // No input so far is a float.
  bool NoFloats() const {
    for (const RowOperand& o : inputs_) {
      if (IsFloatType(o.view.dtype)) return false;
    }
    return true;
  }
  // The instruction computes in integers, given its inputs.
  bool Integers() const { return engine_ == isa::Engine::kPool && NoFloats(); }

  // Emits `in_integers` or `in_floats` if all operations are of one domain and the rows of it can be
  // loaded, else leaves the instruction to the scalar reference.
  template <class InIntegers, class InFloats>
  void ByDomain(InIntegers in_integers, InFloats in_floats) {
    const bool two = i_.opcode != isa::Opcode::kTensorTensor && i_.op1 != isa::AluOp::kBypass;
    const bool first = Integers() || IsRawOp(i_.op0), second = two ? Integers() || IsRawOp(i_.op1) : first;
    if (first && second && NoFloats()) {
      in_integers();
    } else if (!first && !second) {
      in_floats();
    } else {
      DecodeScalar(context_, engine_, i_, steps_);
    }
  }

  template <class T, class Compute>
  void Emit(Compute compute, const View& sums = View()) {
    bool buffered = false;
    for (const RowOperand& o : inputs_) {
      buffered = buffered || (Overlap(dst_, o.view) && !SamePlace(dst_, o.view));
    }
    if (buffered) {
      EmitAside<T>(compute, sums);
      steps_.push_back(MakeCopy(out_, dst_));
    } else {
      steps_.push_back(Make<T>(compute, sums));
    }
  }

  // Leaves the result in a private buffer.
  template <class T, class Compute>
  void EmitAside(Compute compute, const View& sums) {
    auto step = std::make_unique<Buffered>();
    step->bytes.resize(dst_.elements() * dst_.bytes);
    out_ = DenseView(step->bytes.data(), dst_.dtype, dst_.partitions, dst_.free());
    step->step = Make<T>(compute, sums);
    steps_.push_back(std::move(step));
  }

  const isa::Instruction& instruction() const { return i_; }
  const kernels::ElementwiseKernels& kernels() const { return context_.kernels; }
  isa::DType type() const { return i_.src0.dtype; }

  template <class T>
  RowAlu<T> Alu(isa::AluOp op) const {
    return RowAlu<T>(kernels(), op, type());
  }
  // The kernel that does both operations, or null.
  template <class T>
  kernels::TernaryF32Fn Both() const {
    if (!std::is_same_v<T, float>) return nullptr;
    return kernels().ternary_f32[static_cast<int>(i_.op0)][static_cast<int>(i_.op1)];
  }

 private:
  struct Buffered final : Step {
    std::vector<uint8_t> bytes;
    std::unique_ptr<Step> step;
    bool Run(RunContext& context) override { return step->Run(context); }
  };

  int Input(const isa::Operand& o, bool per_partition) {
    inputs_.push_back({context_.ViewOf(o), per_partition});
    return static_cast<int>(inputs_.size()) - 1;
  }

  template <class T, class Compute>
  std::unique_ptr<Step> Make(const Compute& compute, const View& sums) const {
    return std::make_unique<RowStep<T, Compute>>(kernels(), out_, inputs_, IsSignedType(type()), sums,
                                                 compute);
  }

  const DecodeContext& context_;
  const isa::Engine engine_;
  const isa::Instruction& i_;
  Steps& steps_;
  const View dst_;
  View out_;
  std::vector<RowOperand> inputs_;
};

template <class T>
T Immediate(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    return FloatToInt(value, isa::DType::kI64);
  }
}

template <class T>
void EmitTensorScalar(Decoder& d, int s0, int s1) {
  const isa::Instruction& i = d.instruction();
  TensorScalar<T> c;
  c.alu0 = d.Alu<T>(i.op0);
  c.alu1 = d.Alu<T>(i.op1);
  c.s0 = {s0, Immediate<T>(i.imm0)};
  c.s1 = {s1, Immediate<T>(i.imm1)};
  c.reverse0 = (i.flags & isa::kReverse0) != 0;
  c.reverse1 = (i.flags & isa::kReverse1) != 0;
  c.second = i.op1 != isa::AluOp::kBypass;
  if (c.second && !c.reverse0 && !c.reverse1) c.both = d.Both<T>();
  d.Emit<T>(c);
}

template <class T>
void EmitScalarTensorTensor(Decoder& d, int s) {
  const isa::Instruction& i = d.instruction();
  d.Emit<T>(ScalarTensorTensor<T>{
      d.Alu<T>(i.op0), d.Alu<T>(i.op1), {s, Immediate<T>(i.imm0)}, d.Both<T>()});
}

void EmitActivate(Decoder& d, const DecodeContext& context, Steps& steps) {
  const isa::Instruction& i = d.instruction();
  const View sums = (i.flags & isa::kAccumulate) != 0 ? context.ViewOf(i.src3) : View();
  const bool plain = !i.src1.present() && !i.src2.present() && i.imm0 == 1.0f;
  if (d.Integers() && (isa::FindActFn(i.fn)->integers_only || (plain && HasIntegerMeaning(i.fn)))) {
    return d.Emit<int64_t>(ActivateInt{i.fn, i.src0.dtype}, sums);
  }
  Activate c;
  c.fn = d.kernels().unary_f32[static_cast<int>(i.fn)];
  c.multiply = d.Alu<float>(isa::AluOp::kMultiply);
  c.add = d.Alu<float>(isa::AluOp::kAdd);
  c.function = i.fn;
  c.scale = {d.PerPartition(i.src1), i.imm0};
  c.bias = {d.PerPartition(i.src2), -0.0f};  // adding -0 changes nothing, not even the sign of 0
  c.parameter = i.imm1;
  const bool exact = i.fn == isa::ActFn::kCopy && plain && i.src0.dtype == i.dst.dtype;
  if (!exact || IsFloatType(i.dst.dtype)) return d.Emit<float>(c, sums);
  // Integers do not survive fp32: the sum is taken from a converted copy, the bits move as they are.
  if (sums.present()) d.EmitAside<float>(c, sums);
  steps.push_back(MakeSafeCopy(context.ViewOf(i.src0), context.ViewOf(i.dst)));
}

}  // namespace

void DecodeElementwise(const DecodeContext& context, isa::Engine engine, const isa::Instruction& i,
                       Steps& steps) {
  Decoder d(context, engine, i, steps);
  switch (i.opcode) {
    case isa::Opcode::kActivate:
      return EmitActivate(d, context, steps);
    case isa::Opcode::kTensorTensor:
      d.Tensor(i.src1);
      return d.ByDomain([&] { d.Emit<int64_t>(TensorTensor<int64_t>{d.Alu<int64_t>(i.op0)}); },
                        [&] { d.Emit<float>(TensorTensor<float>{d.Alu<float>(i.op0)}); });
    case isa::Opcode::kTensorScalar: {
      const int s0 = d.PerPartition(i.src1), s1 = d.PerPartition(i.src2);
      return d.ByDomain([&] { EmitTensorScalar<int64_t>(d, s0, s1); },
                        [&] { EmitTensorScalar<float>(d, s0, s1); });
    }
    case isa::Opcode::kScalarTensorTensor: {
      d.Tensor(i.src1);
      const int s = d.PerPartition(i.src2);
      return d.ByDomain([&] { EmitScalarTensorTensor<int64_t>(d, s); },
                        [&] { EmitScalarTensorTensor<float>(d, s); });
    }
    case isa::Opcode::kReciprocal: {
      Activate c;
      c.fn = context.kernels.unary_f32[static_cast<int>(isa::ActFn::kReciprocal)];
      c.multiply = d.Alu<float>(isa::AluOp::kMultiply);
      c.add = d.Alu<float>(isa::AluOp::kAdd);
      c.function = isa::ActFn::kReciprocal;
      c.scale = {-1, 1.0f};
      c.bias = {-1, -0.0f};  // keeps the sign of zero
      c.parameter = 0;
      return d.Emit<float>(c);
    }
    default:  // kTensorCopy between different types
      if (d.Integers()) return d.Emit<int64_t>(Identity<int64_t>());
      return d.Emit<float>(Identity<float>());
  }
}

}  // namespace glia::device::fast
