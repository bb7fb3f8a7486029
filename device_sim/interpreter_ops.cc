#include "device_sim/interpreter_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "device_sim/semantics.h"
#include "serialization/isa/table.h"

namespace glia::device {

using isa::AluOp;
using isa::DType;
using isa::Opcode;

// Loads, stores and operands; the instructions themselves are in interpreter_instructions.cc.

absl::Status InstructionRunner::Run(isa::Engine engine, const isa::Instruction& instruction) {
  engine_ = engine;
  instruction_ = &instruction;
  for (int k = 0; k < 5; ++k) {
    const isa::Operand& o = isa::GetOperand(instruction, k);
    if (o.present()) {
      machine_.Resolve(o, &view_[k]);
    } else {
      view_[k].operand = nullptr;
    }
  }
  for (const Entry* e = kHandlers; e->handler != nullptr; ++e) {
    if (e->opcode == instruction.opcode) return (this->*e->handler)();
  }
  return absl::InternalError(
      absl::StrCat("opcode ", static_cast<int>(instruction.opcode), " has no interpretation"));
}

bool InstructionRunner::IntegerDomain(std::initializer_list<int> inputs) const {
  if (engine_ != isa::Engine::kPool) return false;
  return std::all_of(inputs.begin(), inputs.end(),
                     [this](int k) { return !Present(k) || !IsFloatType(view_[k].dtype); });
}

absl::Status InstructionRunner::CheckElement(int k, int p, int64_t i) const {
  const View& v = view_[k];
  const uint8_t* shadow = v.shadow_at(p, i);
  for (int b = 0; b < v.bytes; ++b) {
    if (shadow[b] != kUnwritten) continue;
    return absl::InternalError(absl::StrCat(
        isa::kOperandNames[k], " reads what was never written: partition ", p, ", element ", i, " (byte ",
        v.operand->offset + v.offsets[i] + b, " of a partition of '",
        machine_.program().variables[v.operand->var].name, "')"));
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::CheckWritten(int k, int p) const {
  const View& v = view_[k];
  if (v.contiguous && std::memchr(v.shadow + p * v.pitch, kUnwritten, v.n * v.bytes) == nullptr) {
    return absl::OkStatus();
  }
  for (int64_t i = 0; i < v.n; ++i) {
    if (absl::Status s = CheckElement(k, p, i); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Load(int k, int p, bool integer, Row* row) const {
  if (absl::Status s = CheckWritten(k, p); !s.ok()) return s;
  const View& v = view_[k];
  row->integer = integer;
  if (integer) {
    row->i.resize(v.n);
    for (int64_t i = 0; i < v.n; ++i) {
      row->i[i] = IsFloatType(v.dtype) ? FloatToInt(LoadFloat(v.dtype, v.at(p, i)), DType::kI64)
                                       : LoadInt(v.dtype, v.at(p, i));
    }
  } else {
    row->f.resize(v.n);
    if (v.contiguous && v.dtype == DType::kF32) {
      std::memcpy(row->f.data(), v.data + p * v.pitch, v.n * sizeof(float));
    } else {
      for (int64_t i = 0; i < v.n; ++i) row->f[i] = LoadFloat(v.dtype, v.at(p, i));
    }
  }
  return absl::OkStatus();
}

void InstructionRunner::MarkElement(int k, int p, int64_t i, uint8_t state) {
  std::memset(view_[k].shadow_at(p, i), state, view_[k].bytes);
}

void InstructionRunner::Store(int k, int p, const Row& row) {
  const View& v = view_[k];
  const bool is_signed = IsSignedType(type());
  for (int64_t i = 0; i < v.n; ++i) {
    if (row.integer) {
      StoreInt(v.dtype, v.at(p, i), row.i[i], is_signed);
    } else {
      StoreFloat(v.dtype, v.at(p, i), row.f[i]);
    }
    MarkElement(k, p, i, kWritten);
  }
}

void InstructionRunner::StoreElement(int k, int p, int64_t i, DType from, const void* src) {
  ConvertElement(from, src, view_[k].dtype, view_[k].at(p, i), engine_ == isa::Engine::kPool);
  MarkElement(k, p, i, kWritten);
}

absl::Status InstructionRunner::LoadScalar(int k, int p, bool integer, float immediate, Row* row) const {
  if (Present(k)) return Load(k, p, integer, row);
  row->integer = integer;
  if (integer) {
    row->i.assign(1, FloatToInt(immediate, DType::kI64));
  } else {
    row->f.assign(1, immediate);
  }
  return absl::OkStatus();
}

void InstructionRunner::Convert(bool integer, Row* row) const {
  if (row->integer == integer) return;
  row->integer = integer;
  if (integer) {
    row->i.resize(row->f.size());
    for (size_t j = 0; j < row->f.size(); ++j) row->i[j] = FloatToInt(row->f[j], type());
  } else {
    row->f.resize(row->i.size());
    for (size_t j = 0; j < row->i.size(); ++j) row->f[j] = IntToFloat(row->i[j], IsSignedType(type()));
  }
}

bool InstructionRunner::UsesIntegers(AluOp op, bool integer_domain) const {
  return integer_domain || IsRawOp(op);
}

void InstructionRunner::Combine(AluOp op, bool reverse, const Row& b, Row* a) const {
  Convert(b.integer, a);
  if (a->integer) {
    const size_t step = b.i.size() == 1 ? 0 : 1;
    for (size_t j = 0; j < a->i.size(); ++j) {
      const int64_t x = a->i[j], y = b.i[j * step];
      a->i[j] = reverse ? AluInt(op, y, x, type()) : AluInt(op, x, y, type());
    }
  } else {
    const size_t step = b.f.size() == 1 ? 0 : 1;
    for (size_t j = 0; j < a->f.size(); ++j) {
      const float x = a->f[j], y = b.f[j * step];
      a->f[j] = reverse ? AluFloat(op, y, x) : AluFloat(op, x, y);
    }
  }
}

void InstructionRunner::Reduce(AluOp op, const Row& values, int64_t first, int64_t count, Row* result) const {
  if (values.integer) {
    int64_t v = values.i[first];
    for (int64_t j = 1; j < count; ++j) v = AluInt(op, v, values.i[first + j], type());
    result->i.push_back(v);
  } else if (op == AluOp::kAdd) {
    result->f.push_back(static_cast<float>(
        std::accumulate(values.f.begin() + first, values.f.begin() + first + count, 0.0)));
  } else {
    float v = values.f[first];
    for (int64_t j = 1; j < count; ++j) v = AluFloat(op, v, values.f[first + j]);
    result->f.push_back(v);
  }
}

int64_t InstructionRunner::AffineValue(int p, int64_t i, const isa::Operand& over) const {
  uint64_t value = static_cast<uint64_t>(instruction_->imm_int) +
                   static_cast<uint64_t>(int64_t{instruction_->mult} * p);
  for (int d = isa::kFreeDims - 1; d >= 0; --d) {
    value += static_cast<uint64_t>(int64_t{instruction_->pattern[d]} * (i % over.size[d]));
    i /= over.size[d];
  }
  return static_cast<int64_t>(value);
}

// The position of the first match of each wanted value that no earlier one has taken, or -1. NaN matches
// NaN.
std::vector<int64_t> InstructionRunner::MatchPositions(const Row& values, const Row& wanted) const {
  const auto n = static_cast<int64_t>(values.integer ? values.i.size() : values.f.size());
  const size_t count = wanted.integer ? wanted.i.size() : wanted.f.size();
  std::vector<int64_t> positions;
  for (size_t k = 0; k < count; ++k) {
    int64_t found = -1;
    for (int64_t j = 0; j < n && found < 0; ++j) {
      const bool equal = values.integer ? values.i[j] == wanted.i[k]
                                        : values.f[j] == wanted.f[k] ||
                                              (std::isnan(values.f[j]) && std::isnan(wanted.f[k]));
      if (equal && std::find(positions.begin(), positions.end(), j) == positions.end()) found = j;
    }
    positions.push_back(found);
  }
  return positions;
}

absl::Status InstructionRunner::Index(int p, int64_t i, int64_t bound, int64_t* index) const {
  if (absl::Status s = CheckElement(2, p, i); !s.ok()) return s;
  *index = LoadInt(view_[2].dtype, view_[2].at(p, i));
  if (*index >= 0 && *index < bound) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("index ", *index, " at partition ", p, ", element ", i,
                                            " is not in [0, ", bound, ")"));
}

// ---- Transfers ----

namespace {
std::string Unwritten(const isa::Program& program, uint32_t var, int64_t offset) {
  return absl::StrCat("reads what was never written: byte ", offset, " of '", program.variables[var].name, "'");
}
}  // namespace

absl::Status InstructionRunner::ReadBytes(uint32_t var, int64_t offset, int64_t bytes, uint8_t* out) {
  while (bytes > 0) {
    const Machine::Stretch s = machine_.Linear(var, offset, bytes);
    if (s.shadow != nullptr) {
      const auto* hole = static_cast<const uint8_t*>(std::memchr(s.shadow, kUnwritten, s.bytes));
      if (hole != nullptr) {
        return absl::InternalError(Unwritten(machine_.program(), var, offset + (hole - s.shadow)));
      }
    }
    std::memcpy(out, s.data, s.bytes);
    out += s.bytes;
    offset += s.bytes;
    bytes -= s.bytes;
  }
  return absl::OkStatus();
}

void InstructionRunner::WriteBytes(uint32_t var, int64_t offset, int64_t bytes, const uint8_t* in) {
  while (bytes > 0) {
    const Machine::Stretch s = machine_.Linear(var, offset, bytes);
    std::memcpy(s.data, in, s.bytes);
    if (s.shadow != nullptr) std::memset(s.shadow, kWritten, s.bytes);
    in += s.bytes;
    offset += s.bytes;
    bytes -= s.bytes;
  }
}

absl::Status InstructionRunner::CopyBytes(const isa::DmaDescriptor& dma, int64_t dst, int64_t src,
                                          int64_t bytes) {
  while (bytes > 0) {
    const Machine::Stretch to = machine_.Linear(dma.dst_var, dst, bytes);
    if (absl::Status s = ReadBytes(dma.src_var, src, to.bytes, to.data); !s.ok()) return s;
    if (to.shadow != nullptr) std::memset(to.shadow, kWritten, to.bytes);
    dst += to.bytes;
    src += to.bytes;
    bytes -= to.bytes;
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::ComputeElement(const isa::DmaDescriptor& dma, int64_t dst, int64_t src) {
  static constexpr AluOp kOps[] = {AluOp::kBypass, AluOp::kAdd, AluOp::kMax, AluOp::kMin, AluOp::kMultiply};
  const AluOp op = kOps[static_cast<int>(dma.op)];
  uint8_t a[8], b[8];
  if (absl::Status s = ReadBytes(dma.dst_var, dst, dma.element_bytes, a); !s.ok()) return s;
  if (absl::Status s = ReadBytes(dma.src_var, src, dma.element_bytes, b); !s.ok()) return s;
  if (IsFloatType(dma.dtype)) {
    StoreFloat(dma.dtype, a, AluFloat(op, LoadFloat(dma.dtype, a), LoadFloat(dma.dtype, b)));
  } else {
    StoreRaw(dma.dtype, a, AluInt(op, LoadInt(dma.dtype, a), LoadInt(dma.dtype, b), dma.dtype));
  }
  WriteBytes(dma.dst_var, dst, dma.element_bytes, a);
  return absl::OkStatus();
}

absl::Status InstructionRunner::RunDma(const isa::DmaDescriptor& dma) {
  const bool indexed = dma.index_side != isa::IndexSide::kNone;
  // Innermost dimensions that are adjacent on both sides move at once.
  int outer = isa::kDmaDims;
  int64_t run = dma.element_bytes;
  while (dma.op == isa::DmaOp::kCopy && outer > (indexed ? 1 : 0) &&
         (dma.size[outer - 1] == 1 ||
          (dma.dst_stride[outer - 1] == run && dma.src_stride[outer - 1] == run))) {
    run *= dma.size[--outer];
  }
  std::array<uint32_t, isa::kDmaDims> at = {};
  while (true) {
    int64_t dst = static_cast<int64_t>(dma.dst_offset), src = static_cast<int64_t>(dma.src_offset);
    for (int d = 0; d < outer; ++d) {
      if (d > 0 || dma.index_side != isa::IndexSide::kDestination) dst += at[d] * dma.dst_stride[d];
      if (d > 0 || dma.index_side != isa::IndexSide::kSource) src += at[d] * dma.src_stride[d];
    }
    if (indexed) {
      uint8_t raw[4];
      if (absl::Status s = ReadBytes(dma.index_var, dma.index_offset + int64_t{4} * at[0], 4, raw); !s.ok()) {
        return s;
      }
      const int64_t index = LoadAs<int32_t>(raw);
      if (index < 0 || index >= dma.index_bound) {
        return absl::OutOfRangeError(absl::StrCat("index ", index, " at position ", at[0], " of '",
                                                  machine_.program().variables[dma.index_var].name,
                                                  "' is not in [0, ", dma.index_bound, ")"));
      }
      (dma.index_side == isa::IndexSide::kSource ? src : dst) += index * dma.index_stride;
    }
    const absl::Status s =
        dma.op == isa::DmaOp::kCopy ? CopyBytes(dma, dst, src, run) : ComputeElement(dma, dst, src);
    if (!s.ok()) return s;
    int d = outer - 1;
    while (d >= 0 && ++at[d] == dma.size[d]) at[d--] = 0;
    if (d < 0) return absl::OkStatus();
  }
}

}  // namespace glia::device
