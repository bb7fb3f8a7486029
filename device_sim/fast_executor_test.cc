// The fast executor against the interpreter: random instructions of every kind, drawn from the
// instruction table, with random types, patterns and engines; random transfers; whole memories compared.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "device_sim/executor.h"
#include "device_sim/semantics.h"
#include "gtest/gtest.h"
#include "serialization/isa/disassemble.h"
#include "serialization/isa/program.h"
#include "serialization/isa/table.h"
#include "serialization/isa/validate.h"
#include "serialization/testing/seed.h"

namespace glia::device {
namespace {

using isa::DType;
using isa::Engine;
using isa::Instruction;
using isa::Opcode;
using isa::Operand;
using isa::Program;

constexpr int64_t kSlot = 4096;          // bytes of a partition for each operand in SBUF
constexpr int64_t kSbufRow = 5 * kSlot;
constexpr int64_t kPsumRow = 5 * isa::kPsumBankBytes;
enum : uint32_t { kInSbuf, kInPsum, kOutSbuf, kOutPsum, kSbuf, kPsum, kVariables };

isa::DmaDescriptor Whole(uint32_t dst, uint32_t src, int64_t row) {
  isa::DmaDescriptor d;
  d.dst_var = dst;
  d.src_var = src;
  d.element_bytes = 4;
  d.size[3] = isa::kPartitions;
  d.size[4] = static_cast<uint32_t>(row / 4);
  d.dst_stride[3] = d.src_stride[3] = row;
  d.dst_stride[4] = d.src_stride[4] = 4;
  return d;
}

isa::Variable MakeVariable(isa::VariableKind kind, const char* name, int64_t row) {
  isa::Variable v;
  v.name = name;
  v.kind = kind;
  v.dtype = DType::kU8;
  v.bytes = isa::kPartitions * row;
  v.shape = {v.bytes};
  if (!isa::IsHbm(kind)) {
    v.partitions = isa::kPartitions;
    v.partition_bytes = row;
  }
  return v;
}

// Three segments: memories in, what is tested, memories out.
Program EmptyProgram() {
  Program p;
  p.name = "test";
  p.variables = {MakeVariable(isa::VariableKind::kInput, "in_sbuf", kSbufRow),
                 MakeVariable(isa::VariableKind::kInput, "in_psum", kPsumRow),
                 MakeVariable(isa::VariableKind::kOutput, "out_sbuf", kSbufRow),
                 MakeVariable(isa::VariableKind::kOutput, "out_psum", kPsumRow),
                 MakeVariable(isa::VariableKind::kStateBuffer, "sbuf", kSbufRow),
                 MakeVariable(isa::VariableKind::kPsum, "psum", kPsumRow)};
  isa::DmaQueue queue;
  queue.name = "q";
  queue.issuer = Engine::kSp;
  p.queues = {queue};
  p.dmas = {Whole(kSbuf, kInSbuf, kSbufRow), Whole(kPsum, kInPsum, kPsumRow),
            Whole(kOutSbuf, kSbuf, kSbufRow), Whole(kOutPsum, kPsum, kPsumRow)};
  p.segments.resize(3);
  for (uint32_t s = 0; s < 3; ++s) {
    p.segments[s].terminator.kind = s < 2 ? isa::TerminatorKind::kJump : isa::TerminatorKind::kHalt;
    p.segments[s].terminator.target = s < 2 ? s + 1 : 0;
    for (uint32_t d = 0; d < 2 && s != 1; ++d) {
      Instruction i;
      i.opcode = Opcode::kDma;
      i.dma = s + d;
      p.segments[s].streams[static_cast<int>(Engine::kSp)].push_back(i);
    }
  }
  return p;
}

struct Memory {
  std::vector<uint8_t> sbuf = std::vector<uint8_t>(isa::kPartitions * kSbufRow);
  std::vector<uint8_t> psum = std::vector<uint8_t>(isa::kPartitions * kPsumRow);
  absl::Status status;
};

Memory RunOn(const Program& program, const Memory& in, bool fast) {
  Memory out;
  ProgramTiming timing;
  timing.segments.resize(program.segments.size());
  timing.segments[1].duration_ps = 7;
  const std::vector<const uint8_t*> constants(program.variables.size());
  auto executor = fast ? MakeFastExecutor(program, timing, constants) : MakeInterpreter(program, timing);
  if (!executor.ok()) {
    out.status = executor.status();
    return out;
  }
  std::vector<uint8_t*> hbm(program.variables.size());
  hbm[kInSbuf] = const_cast<uint8_t*>(in.sbuf.data());
  hbm[kInPsum] = const_cast<uint8_t*>(in.psum.data());
  hbm[kOutSbuf] = out.sbuf.data();
  hbm[kOutPsum] = out.psum.data();
  for (int repeat = 0; repeat < (fast ? 2 : 1); ++repeat) {  // state must not leak into a second run
    auto statistics = (*executor)->Run(hbm);
    out.status = statistics.status();
    if (statistics.ok()) {
      EXPECT_EQ(statistics->simulated_ps, 7);
      EXPECT_EQ(statistics->segments_run, 3);
    }
  }
  return out;
}

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}
  int64_t Int(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }
  bool Chance(int percent) { return Int(1, 100) <= percent; }
  double Real(double low, double high) { return std::uniform_real_distribution<double>(low, high)(random_); }

  DType Pick(isa::DTypeSet set) {
    for (;;) {
      const auto t = static_cast<DType>(Int(0, isa::kDTypes - 1));
      if (set & isa::Bit(t)) return t;
    }
  }

  float Float() {
    switch (Int(0, 9)) {
      case 0: return static_cast<float>(Int(-3, 3));
      case 1: return static_cast<float>(Real(-200, 200));
      case 2: return static_cast<float>(Int(-4, 4)) * 0.5f;
      default: return static_cast<float>(Real(-4, 4));
    }
  }
  float Special() {
    static const float kValues[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-40f, 3e38f, -3e38f, 1e10f, 65520.0f};
    return kValues[Int(0, 9)];
  }

  void Fill(DType t, uint8_t* p, bool specials) {
    if (IsFloatType(t)) {
      StoreFloat(t, p, specials && Chance(3) ? Special() : Float());
    } else if (t == DType::kPred) {
      *p = static_cast<uint8_t>(Int(0, 1));
    } else {
      StoreRaw(t, p, Chance(30) ? Int(INT64_MIN, INT64_MAX) : Int(IsSignedType(t) ? -20 : 0, 40));
    }
  }

  void Noise(std::vector<uint8_t>& bytes) {
    for (size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      const uint64_t word = random_();
      std::memcpy(&bytes[at], &word, 8);
    }
  }

  // Sizes of 1 to 4 dimensions with `n` elements, and strides that fit `bytes`.
  bool Pattern(Operand& o, int64_t n, int64_t space, bool repeats) {
    const int64_t bytes = TypeBytes(o.dtype);
    int64_t rest = n;
    for (int d = 0; d < isa::kFreeDims; ++d) o.size[d] = 1, o.stride[d] = 0;
    for (int d = isa::kFreeDims - 1; d > 0 && Chance(60); --d) {
      std::vector<int64_t> divisors;
      for (int64_t k = 1; k <= rest; ++k) {
        if (rest % k == 0) divisors.push_back(k);
      }
      o.size[d] = static_cast<uint16_t>(divisors[Int(0, static_cast<int64_t>(divisors.size()) - 1)]);
      rest /= o.size[d];
    }
    if (o.size[3] == 1 && Chance(80)) std::swap(o.size[3], o.size[0]), o.size[3] = static_cast<uint16_t>(rest), rest = 1;
    if (rest > 0xffff) return false;
    o.size[0] = static_cast<uint16_t>(o.size[0] * rest);
    int64_t stride = Chance(70) ? 1 : Int(1, 3), low = 0, high = 0;
    int order[isa::kFreeDims] = {3, 2, 1, 0};
    if (Chance(15)) std::shuffle(order, order + isa::kFreeDims, random_);
    for (const int d : order) {
      if (o.size[d] == 1) continue;
      int64_t s = repeats && Chance(10) ? 0 : Chance(8) ? -stride : stride;
      o.stride[d] = static_cast<int16_t>(s);
      (s < 0 ? low : high) += s * (o.size[d] - 1);
      stride = stride * o.size[d] + (Chance(60) ? 0 : Int(0, 3));
      if (std::abs(stride) > 0x7fff) return false;
    }
    const int64_t reach = (high - low + 1) * bytes;
    if (reach > space) return false;
    o.offset = static_cast<uint32_t>(-low * bytes + Int(0, (space - reach) / bytes) * bytes);
    return true;
  }

  std::mt19937_64 random_;
};

// One instruction of a kind, with the memory it runs on. False if the draw made no sense.
class Case {
 public:
  Case(uint64_t seed, const isa::InstructionInfo& info) : g_(seed), info_(info), program_(EmptyProgram()) {}

  bool Draw() {
    Instruction& i = instruction_;
    i.opcode = info_.opcode;
    do {
      engine_ = static_cast<Engine>(g_.Int(0, isa::kEngines - 1));
    } while (!(info_.engines & isa::Bit(engine_)));
    DrawFields();
    DrawShape();
    for (int k = 0; k < 5; ++k) {
      if (!DrawOperand(k)) return false;
    }
    if (info_.src3 == isa::Src3Rule::kWithSrc2 && i.src2.present() != i.src3.present()) return false;
    FillMemory();
    if (info_.opcode == Opcode::kMatmul && (i.flags & isa::kAccumulate)) {
      Instruction first = i;
      first.flags &= static_cast<uint8_t>(~isa::kAccumulate);
      Stream().push_back(first);
    }
    Stream().push_back(i);
    return isa::Validate(program_).ok();
  }

  void Check() {
    const Memory want = RunOn(program_, memory_, false);
    if (want.status.code() == absl::StatusCode::kInvalidArgument) return;  // overlap
    ASSERT_NE(want.status.code(), absl::StatusCode::kInternal) << want.status;
    const Memory got = RunOn(program_, memory_, true);
    ASSERT_EQ(got.status, want.status);
    checked_ = true;
    if (!want.status.ok()) return;
    // Results of float arithmetic are near, everything else is equal.
    std::vector<uint8_t> want_sbuf = want.sbuf, want_psum = want.psum;
    for (const Operand* o : {&instruction_.dst, &instruction_.src3}) {
      if (o->present()) CompareOperand(*o, want, got, want_sbuf, want_psum);
    }
    EXPECT_TRUE(want_sbuf == got.sbuf) << "bytes outside of the result differ in SBUF";
    EXPECT_TRUE(want_psum == got.psum) << "bytes outside of the result differ in PSUM";
  }

  std::string Describe() const {
    return absl::StrCat(isa::EngineName(engine_), " ", isa::DisassembleInstruction(program_, instruction_));
  }
  bool checked() const { return checked_; }

 private:
  std::vector<Instruction>& Stream() { return program_.segments[1].streams[static_cast<int>(engine_)]; }

  isa::AluOp PickOp(isa::AluOpSet set) {
    for (;;) {
      const auto op = static_cast<isa::AluOp>(g_.Int(0, isa::kAluOps - 1));
      if (set & isa::Bit(op)) return op;
    }
  }

  void DrawFields() {
    Instruction& i = instruction_;
    if (info_.fields & isa::kUsesOp0) i.op0 = PickOp(info_.op0);
    if (info_.fields & isa::kUsesOp1) i.op1 = PickOp(info_.op1);
    if (info_.fields & isa::kUsesFn) i.fn = static_cast<isa::ActFn>(g_.Chance(70) ? g_.Int(0, 20) : g_.Int(64, 81));
    if (info_.fields & isa::kUsesImm0) i.imm0 = g_.Chance(50) ? 1.0f : g_.Float();
    if (info_.fields & isa::kUsesImm1) i.imm1 = g_.Float();
    if (info_.fields & isa::kUsesImmInt) i.imm_int = g_.Int(-9, 9);
    if (info_.fields & isa::kUsesImmInt2) i.imm_int2 = g_.Int(0, 1000);
    if (info_.fields & isa::kUsesDims) i.dims = static_cast<uint8_t>(g_.Int(1, 4));
    i.flags = static_cast<uint8_t>(g_.Int(0, 255)) & info_.flags;
    i.flags &= static_cast<uint8_t>(~isa::kExactOneZero);
  }

  void DrawShape() {
    static const int64_t kCounts[] = {1, 2, 3, 7, 8, 17, 31, 32, 48, 64, 100, 128};
    for (int64_t& s : symbol_) s = 0;
    Symbol('P') = Symbol('K') = Symbol('M') = 0;
    for (const char c : {'P', 'K', 'M'}) Symbol(c) = kCounts[g_.Int(0, 11)];
    int64_t n = g_.Chance(30) ? g_.Int(1, 12) : g_.Int(1, 400);
    if (info_.max_n > 0) n = std::min<int64_t>(n, info_.max_n);
    n = std::max<int64_t>(n, info_.min_n);
    n = (n + info_.multiple - 1) / info_.multiple * info_.multiple;
    if (info_.opcode == Opcode::kTranspose32) Symbol('P') = 32 * g_.Int(1, 4), n = 32 * g_.Int(1, 4);
    Symbol('N') = n;
    Symbol('X') = g_.Int(1, 300);
  }

  int64_t& Symbol(char c) { return symbol_[static_cast<int>(c)]; }
  int64_t Value(char c) { return c >= '0' && c <= '9' ? c - '0' : Symbol(c); }

  bool DrawOperand(int k) {
    const isa::OperandRule& rule = info_.operands[k];
    if (!rule.present() || (rule.optional && g_.Chance(40))) {
      if (k == 4 && info_.src3 == isa::Src3Rule::kWithAccumulate && (instruction_.flags & isa::kAccumulate)) {
        return false;
      }
      return true;
    }
    if (k == 4 && info_.src3 == isa::Src3Rule::kWithAccumulate && !(instruction_.flags & isa::kAccumulate)) {
      return true;
    }
    Operand o;
    o.dtype = g_.Chance(55) && (rule.dtypes & isa::Bit(DType::kF32)) ? DType::kF32 : g_.Pick(rule.dtypes);
    const Operand& src0 = instruction_.src0;
    if (k > 1 && g_.Chance(50) && (rule.dtypes & isa::Bit(src0.dtype))) o.dtype = src0.dtype;
    if (info_.equal_types && k == 1) o.dtype = instruction_.dst.dtype;
    if (info_.opcode == Opcode::kSort && k == 4) o.dtype = instruction_.src2.dtype;
    const bool psum = rule.spaces == isa::kPsum || (rule.spaces == isa::kSbufPsum && g_.Chance(20));
    o.var = psum ? kPsum : kSbuf;
    const int64_t space = psum ? isa::kPsumBankBytes : kSlot;
    o.num_partitions = static_cast<uint8_t>(Value(rule.partitions));
    if (rule.free == 'R') {
      // Decided by the source: what its outer dimensions hold.
      if (!ReduceSource(o, space)) return false;
    } else if (k == 1 && instruction_.src0.present()) {
      o = instruction_.src0;
      return true;
    } else if (!g_.Pattern(o, Value(rule.free), space, k != 0 && k != 4)) {
      return false;
    }
    o.offset += static_cast<uint32_t>(k * space);
    if (o.num_partitions <= 32) o.partition = static_cast<uint8_t>(32 * g_.Int(0, 3));
    const bool in_place = k == 1 && g_.Chance(15) && TypeBytes(o.dtype) == TypeBytes(instruction_.dst.dtype) &&
                          instruction_.dst.num_partitions == o.num_partitions &&
                          instruction_.dst.free_elements() == o.free_elements();
    if (in_place) {
      const DType t = o.dtype;
      o = instruction_.dst;
      o.dtype = t;
    }
    Operand* const all[] = {&instruction_.dst, &instruction_.src0, &instruction_.src1, &instruction_.src2,
                            &instruction_.src3};
    *all[k] = o;
    return true;
  }

  // Draws src0 of a reduction, then a result that fits it.
  bool ReduceSource(Operand& dst, int64_t space) {
    Operand s;
    const isa::OperandRule& rule = info_.operands[1];
    s.dtype = g_.Chance(55) ? DType::kF32 : g_.Pick(rule.dtypes);
    const bool psum = g_.Chance(20);
    s.var = psum ? kPsum : kSbuf;
    const int64_t source_space = psum ? isa::kPsumBankBytes : kSlot;
    s.num_partitions = dst.num_partitions;
    if (!g_.Pattern(s, Symbol('N'), source_space, true)) return false;
    s.offset += static_cast<uint32_t>(source_space);
    if (s.num_partitions <= 32) s.partition = static_cast<uint8_t>(32 * g_.Int(0, 3));
    instruction_.src0 = s;
    int64_t kept = 1;
    for (int d = 0; d < isa::kFreeDims - instruction_.dims; ++d) kept *= s.size[d];
    return g_.Pattern(dst, kept, space, false);
  }

  void FillMemory() {
    g_.Noise(memory_.sbuf);
    g_.Noise(memory_.psum);
    // Reductions of special values are all special: leave them out of sums.
    const bool specials = g_.Chance(50);
    for (int k = 0; k < 5; ++k) {
      const Operand& o = isa::GetOperand(instruction_, k);
      if (!o.present()) continue;
      const bool index = k == 2 && (info_.opcode == Opcode::kGather || info_.opcode == Opcode::kScatterAdd);
      const int64_t bound = g_.Chance(10) ? Symbol('X') + 1 : Symbol('X');
      ForElements(o, [&](int64_t at) {
        uint8_t* const p = (o.var == kPsum ? memory_.psum : memory_.sbuf).data() + at;
        if (instruction_.op0 == isa::AluOp::kMultiply &&
            info_.opcode == Opcode::kTensorReduce) {
          // Products stay finite in any order.
          if (IsFloatType(o.dtype)) {
            StoreFloat(o.dtype, p, static_cast<float>(g_.Real(0.9, 1.1)));
          } else {
            StoreRaw(o.dtype, p, o.dtype != DType::kPred && g_.Chance(1) ? 3 : 1);
          }
        } else if (index) {
          StoreRaw(o.dtype, p, g_.Int(0, bound - 1));
        } else {
          g_.Fill(o.dtype, p, specials);
        }
      });
    }
  }

  template <class F>
  static void ForElements(const Operand& o, F f) {
    const int64_t row = o.var == kPsum ? kPsumRow : kSbufRow, bytes = TypeBytes(o.dtype);
    for (int64_t p = 0; p < o.num_partitions; ++p) {
      for (int64_t e = 0; e < o.free_elements(); ++e) {
        int64_t rest = e, at = (o.partition + p) * row + o.offset;
        for (int d = isa::kFreeDims - 1; d >= 0; --d) {
          at += rest % o.size[d] * o.stride[d] * bytes;
          rest /= o.size[d];
        }
        f(at);
      }
    }
  }

  // Magnitude of what was added up to make a result.
  double Scale() const {
    double largest = 1;
    for (int k = 1; k < 5; ++k) {
      const Operand& o = isa::GetOperand(instruction_, k);
      if (!o.present()) continue;
      ForElements(o, [&](int64_t at) {
        const double v = std::fabs(LoadFloat(o.dtype, (o.var == kPsum ? memory_.psum : memory_.sbuf).data() + at));
        if (std::isfinite(v)) largest = std::max(largest, v);
      });
    }
    return largest;
  }

  void CompareOperand(const Operand& o, const Memory& want, const Memory& got, std::vector<uint8_t>& want_sbuf,
                      std::vector<uint8_t>& want_psum) {
    const bool psum = o.var == kPsum;
    const std::vector<uint8_t>& w = psum ? want.psum : want.sbuf;
    const std::vector<uint8_t>& g = psum ? got.psum : got.sbuf;
    std::vector<uint8_t>& patch = psum ? want_psum : want_sbuf;
    const bool sums = info_.opcode == Opcode::kMatmul || info_.opcode == Opcode::kTensorReduce ||
                      info_.opcode == Opcode::kPartitionReduce || &o == &instruction_.src3;
    const bool overflows = sums && Scale() > 1e36;  // then the order decides
    double tolerance = sums ? 1e-5 * Scale() * static_cast<double>(std::max<int64_t>(8, Symbol('N'))) : 2e-6;
    if (info_.opcode == Opcode::kMatmul) tolerance *= Scale();
    const double relative = sums ? 1e-4 : 1e-6;
    const double step = o.dtype == DType::kBf16 ? 1.0 / 128 : o.dtype == DType::kF16 ? 1.0 / 1024 : 0;
    int reported = 0;
    ForElements(o, [&](int64_t at) {
      if (std::memcmp(&w[at], &g[at], TypeBytes(o.dtype)) == 0) return;
      std::memcpy(&patch[at], &g[at], TypeBytes(o.dtype));
      const double a = LoadFloat(o.dtype, &w[at]), b = LoadFloat(o.dtype, &g[at]);
      bool near;
      if (IsFloatType(o.dtype)) {
        near = (std::isnan(a) && std::isnan(b)) ||
               std::fabs(a - b) <= tolerance + (relative + step) * std::fabs(a) || (o.dtype == DType::kF16 && sums);
        near = near || overflows || (sums && !std::isfinite(a));
      } else {
        // A function that rounds to just below an integer.
        near = (sums || info_.opcode == Opcode::kActivate) && 
               std::fabs(a - b) <= 1 + 2e-6 * std::fabs(a) + (sums ? tolerance : 0);
      }
      if (!near && ++reported <= 3) {
        ADD_FAILURE() << "at byte " << at << ": want " << a << ", got " << b;
      }
    });
  }

  Generator g_;
  const isa::InstructionInfo& info_;
  Program program_;
  Memory memory_;
  Engine engine_ = Engine::kPe;
  Instruction instruction_;
  int64_t symbol_[128];
  bool checked_ = false;
};

class EveryInstruction : public ::testing::TestWithParam<isa::InstructionInfo> {};

TEST_P(EveryInstruction, AgreesWithTheInterpreter) {
  const uint64_t seed = TestSeed();
  const char* text = std::getenv("GLIA_TEST_CASES");
  const int wanted = text != nullptr ? std::atoi(text) : 15;
  int checked = 0;
  for (int n = 0; n < 100 * wanted && checked < wanted && !HasFailure(); ++n) {
    Case c(seed + static_cast<uint64_t>(n), GetParam());
    if (!c.Draw()) continue;
    SCOPED_TRACE(absl::StrCat("GLIA_TEST_SEED=", seed + static_cast<uint64_t>(n), " GLIA_TEST_CASES=1: ", c.Describe()));
    c.Check();
    checked += c.checked();
  }
  EXPECT_GE(checked, HasFailure() ? 0 : std::min(wanted, 10)) << "seed " << seed;
}

std::vector<isa::InstructionInfo> Instructions() {
  std::vector<isa::InstructionInfo> out;
  for (const isa::InstructionInfo& i : isa::AllInstructions()) {
    if (i.opcode != Opcode::kNop && i.opcode != Opcode::kDma) out.push_back(i);
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(All, EveryInstruction, ::testing::ValuesIn(Instructions()),
                         [](const auto& info) { return std::string(info.param.name); });

// ---- Transfers ----

struct Space {
  uint32_t var;
  int64_t bytes;
  int64_t row;
};

isa::DmaDescriptor DrawDma(Generator& g) {
  static const Space kSources[] = {{kInSbuf, isa::kPartitions * kSbufRow, 0},
                                   {kSbuf, isa::kPartitions * kSbufRow / 2, kSbufRow},
                                   {kPsum, isa::kPartitions * kPsumRow / 2, kPsumRow}};
  static const Space kTargets[] = {{kSbuf, isa::kPartitions * kSbufRow / 2, kSbufRow},
                                   {kPsum, isa::kPartitions * kPsumRow / 2, kPsumRow}};
  isa::DmaDescriptor d;
  const Space src = kSources[g.Int(0, 2)];
  const Space dst = kTargets[g.Int(0, 1)];
  d.src_var = src.var;
  d.dst_var = dst.var;
  static const int kBytes[] = {1, 2, 4, 8};
  d.element_bytes = static_cast<uint8_t>(kBytes[g.Int(0, 3)]);
  if (g.Chance(25)) {
    d.op = static_cast<isa::DmaOp>(g.Int(1, 4));
    do {
      d.dtype = static_cast<DType>(g.Int(1, 11));
    } while (TypeBytes(d.dtype) != d.element_bytes);
  }
  const bool indexed = g.Chance(25);
  int64_t dst_stride = d.element_bytes, src_stride = d.element_bytes;
  if (g.Chance(25)) dst_stride *= g.Int(1, 3), src_stride *= g.Int(1, 3);
  int order[isa::kDmaDims] = {4, 3, 2, 1, 0};
  if (g.Chance(50)) std::shuffle(order, order + isa::kDmaDims, g.random_);
  for (const int i : order) {
    d.size[i] = static_cast<uint32_t>(g.Chance(50) ? 1 : g.Int(1, 20));
    d.dst_stride[i] = dst_stride;
    dst_stride = dst_stride * d.size[i];
    if (g.Chance(40) && dst_stride < dst.row) dst_stride = dst.row;
    if (g.Chance(20)) dst_stride += d.element_bytes * g.Int(0, 3);
  }
  if (g.Chance(40)) std::shuffle(order, order + isa::kDmaDims, g.random_);
  for (const int i : order) {
    d.src_stride[i] = g.Chance(10) ? 0 : src_stride;
    src_stride = src_stride * d.size[i];
    if (g.Chance(40) && src_stride < src.row) src_stride = src.row;
    if (g.Chance(20)) src_stride += d.element_bytes * g.Int(0, 3);
  }
  d.dst_offset = static_cast<uint64_t>(g.Int(0, dst.bytes / 2 / 8) * 8);
  d.src_offset = static_cast<uint64_t>(g.Int(0, src.bytes / 2 / 8) * 8 + (src.row ? src.bytes : 0));
  if (indexed) {
    d.index_side = static_cast<isa::IndexSide>(g.Int(1, 2));
    d.index_var = kInPsum;
    d.index_offset = static_cast<uint64_t>(4 * g.Int(0, 1000));
    d.index_bound = g.Int(1, 12);
    d.index_stride = d.element_bytes * g.Int(1, 300);
    (d.index_side == isa::IndexSide::kSource ? d.src_stride : d.dst_stride)[0] = 0;
  }
  return d;
}

TEST(FastExecutor, TransfersAgreeWithTheInterpreter) {
  const uint64_t seed = TestSeed();
  int checked = 0;
  for (int n = 0; n < 6000 && checked < 100 && !HasFailure(); ++n) {
    Generator g(seed + static_cast<uint64_t>(n));
    Program program = EmptyProgram();
    program.dmas.push_back(DrawDma(g));
    const isa::DmaDescriptor& d = program.dmas.back();
    Instruction i;
    i.opcode = Opcode::kDma;
    i.dma = 4;
    program.segments[1].streams[static_cast<int>(Engine::kSp)].push_back(i);
    if (!isa::Validate(program).ok()) continue;
    Memory memory;
    const bool typed = d.op != isa::DmaOp::kCopy && IsFloatType(d.dtype);
    for (auto* m : {&memory.sbuf, &memory.psum}) {
      g.Noise(*m);
      for (size_t at = 0; typed && at + 8 <= m->size(); at += d.element_bytes) g.Fill(d.dtype, &(*m)[at], true);
    }
    const int64_t bound = g.Chance(10) ? d.index_bound + 1 : d.index_bound;
    for (uint32_t k = 0; k < d.size[0] && d.index_side != isa::IndexSide::kNone; ++k) {
      StoreRaw(DType::kI32, &memory.psum[d.index_offset + 4 * k], g.Int(0, std::max<int64_t>(bound, 1) - 1));
    }
    SCOPED_TRACE(absl::StrCat("GLIA_TEST_SEED=", seed + static_cast<uint64_t>(n), ": ",
                              isa::DisassembleDma(program, d)));
    const Memory want = RunOn(program, memory, false);
    if (want.status.code() == absl::StatusCode::kInvalidArgument) continue;
    ASSERT_NE(want.status.code(), absl::StatusCode::kInternal) << want.status;
    const Memory got = RunOn(program, memory, true);
    ASSERT_EQ(got.status, want.status);
    ++checked;
    if (!want.status.ok()) continue;
    EXPECT_TRUE(got.sbuf == want.sbuf);
    EXPECT_TRUE(got.psum == want.psum);
  }
  EXPECT_GE(checked, HasFailure() ? 0 : 50) << "seed " << seed;
}

}  // namespace
}  // namespace glia::device
