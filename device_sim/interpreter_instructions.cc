// What each instruction does. isa.h is the specification; one function each, in its order.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "device_sim/interpreter_ops.h"
#include "device_sim/semantics.h"
#include "serialization/isa/table.h"

namespace glia::device {

using isa::AluOp;
using isa::DType;
using isa::Opcode;

#define GLIA_RETURN_IF_ERROR(expr) \
  if (absl::Status status_ = (expr); !status_.ok()) return status_

const InstructionRunner::Entry InstructionRunner::kHandlers[] = {
    {Opcode::kNop, &InstructionRunner::Nop},
    {Opcode::kMatmul, &InstructionRunner::Matmul},
    {Opcode::kPeTranspose, &InstructionRunner::Transpose},
    {Opcode::kActivate, &InstructionRunner::Activate},
    {Opcode::kTensorTensor, &InstructionRunner::TensorTensor},
    {Opcode::kTensorScalar, &InstructionRunner::TensorScalar},
    {Opcode::kScalarTensorTensor, &InstructionRunner::ScalarTensorTensor},
    {Opcode::kTensorCopy, &InstructionRunner::TensorCopy},
    {Opcode::kSelect, &InstructionRunner::Select},
    {Opcode::kCopyPredicated, &InstructionRunner::CopyPredicated},
    {Opcode::kMemset, &InstructionRunner::Memset},
    {Opcode::kTensorReduce, &InstructionRunner::TensorReduce},
    {Opcode::kScan, &InstructionRunner::Scan},
    {Opcode::kReciprocal, &InstructionRunner::Reciprocal},
    {Opcode::kBnStats, &InstructionRunner::BnStats},
    {Opcode::kBnAggr, &InstructionRunner::BnAggr},
    {Opcode::kMax8, &InstructionRunner::Max8},
    {Opcode::kFindIndex8, &InstructionRunner::FindIndex8},
    {Opcode::kMatchReplace8, &InstructionRunner::MatchReplace8},
    {Opcode::kTranspose32, &InstructionRunner::Transpose32},
    {Opcode::kIota, &InstructionRunner::Iota},
    {Opcode::kAffineSelect, &InstructionRunner::AffineSelect},
    {Opcode::kPartitionReduce, &InstructionRunner::PartitionReduce},
    {Opcode::kPartitionBroadcast, &InstructionRunner::PartitionBroadcast},
    {Opcode::kGather, &InstructionRunner::Gather},
    {Opcode::kScatterAdd, &InstructionRunner::ScatterAdd},
    {Opcode::kSort, &InstructionRunner::Sort},
    {Opcode::kPhilox, &InstructionRunner::Philox},
    {Opcode::kNop, nullptr},
};

absl::Status InstructionRunner::Nop() { return absl::OkStatus(); }

absl::Status InstructionRunner::Matmul() {
  const int contraction = view_[1].partitions;
  const int64_t m = view_[1].n, n = view_[2].n;
  std::vector<Row> a(contraction), b(contraction);
  for (int k = 0; k < contraction; ++k) {
    GLIA_RETURN_IF_ERROR(Load(1, k, false, &a[k]));
    GLIA_RETURN_IF_ERROR(Load(2, k, false, &b[k]));
  }
  Row c;
  for (int i = 0; i < m; ++i) {
    if ((instruction_->flags & isa::kAccumulate) != 0) {
      GLIA_RETURN_IF_ERROR(Load(0, i, false, &c));
      for (int64_t j = 0; j < n; ++j) {
        if (*view_[0].shadow_at(i, j) == kWrittenByPe) continue;
        return absl::InternalError(absl::StrCat("accumulates onto what no matmul wrote: partition ", i,
                                                ", element ", j, " of dst"));
      }
    } else {
      c.f.assign(n, 0.0f);
      c.integer = false;
    }
    for (int k = 0; k < contraction; ++k) {
      const float x = a[k].f[i];
      const float* y = b[k].f.data();
      float* z = c.f.data();
      for (int64_t j = 0; j < n; ++j) z[j] += x * y[j];
    }
    Store(0, i, c);
    for (int64_t j = 0; j < n; ++j) MarkElement(0, i, j, kWrittenByPe);
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Transpose() {
  for (int p = 0; p < view_[1].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(CheckWritten(1, p));
    for (int64_t i = 0; i < view_[1].n; ++i) {
      StoreElement(0, static_cast<int>(i), p, view_[1].dtype, view_[1].at(p, i));
      MarkElement(0, static_cast<int>(i), p, kWrittenByPe);
    }
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Activate() {
  const isa::ActFn fn = instruction_->fn;
  const bool plain = !Present(2) && !Present(3) && instruction_->imm0 == 1.0f;
  const bool integer = IntegerDomain({1}) && (isa::FindActFn(fn)->integers_only ||
                                              (plain && HasIntegerMeaning(fn)));
  Row row, scale, bias, accumulator;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(1, p, integer, &row));
    if (integer) {
      for (int64_t& v : row.i) v = ActInt(fn, v, type());
    } else {
      GLIA_RETURN_IF_ERROR(LoadScalar(2, p, false, instruction_->imm0, &scale));
      GLIA_RETURN_IF_ERROR(LoadScalar(3, p, false, 0.0f, &bias));
      for (float& v : row.f) {
        v *= scale.f[0];
        if (Present(3)) v += bias.f[0];  // adding 0 would lose the sign of -0
        v = ActFloat(fn, v, instruction_->imm1);
      }
    }
    if ((instruction_->flags & isa::kAccumulate) != 0) {
      GLIA_RETURN_IF_ERROR(Load(4, p, false, &accumulator));
      const double sum = integer ? std::accumulate(row.i.begin(), row.i.end(), 0.0)
                                 : std::accumulate(row.f.begin(), row.f.end(), 0.0);
      accumulator.f[0] = static_cast<float>(accumulator.f[0] + sum);
      Store(4, p, accumulator);
    }
    if (view_[0].dtype == view_[1].dtype && fn == isa::ActFn::kCopy && plain) {
      for (int64_t i = 0; i < view_[0].n; ++i) StoreElement(0, p, i, view_[1].dtype, view_[1].at(p, i));
    } else {
      Store(0, p, row);
    }
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::TensorTensor() {
  const bool integer = UsesIntegers(instruction_->op0, IntegerDomain({1, 2}));
  Row a, b;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(1, p, integer, &a));
    GLIA_RETURN_IF_ERROR(Load(2, p, integer, &b));
    Combine(instruction_->op0, false, b, &a);
    Store(0, p, a);
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::TensorScalar() {
  const isa::Instruction& in = *instruction_;
  const bool domain = IntegerDomain({1, 2, 3});
  Row a, s;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(LoadScalar(2, p, UsesIntegers(in.op0, domain), in.imm0, &s));
    GLIA_RETURN_IF_ERROR(Load(1, p, s.integer, &a));
    Combine(in.op0, (in.flags & isa::kReverse0) != 0, s, &a);
    if (in.op1 != AluOp::kBypass) {
      GLIA_RETURN_IF_ERROR(LoadScalar(3, p, UsesIntegers(in.op1, domain), in.imm1, &s));
      Combine(in.op1, (in.flags & isa::kReverse1) != 0, s, &a);
    }
    Store(0, p, a);
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::ScalarTensorTensor() {
  const isa::Instruction& in = *instruction_;
  const bool domain = IntegerDomain({1, 2, 3});
  Row a, b;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(LoadScalar(3, p, UsesIntegers(in.op0, domain), in.imm0, &b));
    GLIA_RETURN_IF_ERROR(Load(1, p, b.integer, &a));
    Combine(in.op0, false, b, &a);
    GLIA_RETURN_IF_ERROR(Load(2, p, UsesIntegers(in.op1, domain), &b));
    // A single element would count as one for all; the sizes agree, so that is the same.
    Combine(in.op1, false, b, &a);
    Store(0, p, a);
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::TensorCopy() {
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(CheckWritten(1, p));
    for (int64_t i = 0; i < view_[0].n; ++i) StoreElement(0, p, i, view_[1].dtype, view_[1].at(p, i));
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Select() {
  Row mask;
  for (int p = 0; p < view_[0].partitions; ++p) {
    for (int k = 2; k <= 3; ++k) GLIA_RETURN_IF_ERROR(CheckWritten(k, p));
    GLIA_RETURN_IF_ERROR(Load(1, p, !IsFloatType(view_[1].dtype), &mask));
    for (int64_t i = 0; i < view_[0].n; ++i) {
      const int k = (mask.integer ? mask.i[i] != 0 : mask.f[i] != 0) ? 2 : 3;
      StoreElement(0, p, i, view_[k].dtype, view_[k].at(p, i));
    }
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::CopyPredicated() {
  Row mask;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(2, p, !IsFloatType(view_[2].dtype), &mask));
    for (int64_t i = 0; i < view_[0].n; ++i) {
      if (!(mask.integer ? mask.i[i] != 0 : mask.f[i] != 0)) continue;
      GLIA_RETURN_IF_ERROR(CheckElement(1, p, i));
      StoreElement(0, p, i, view_[1].dtype, view_[1].at(p, i));
    }
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Memset() {
  const View& dst = view_[0];
  for (int p = 0; p < dst.partitions; ++p) {
    for (int64_t i = 0; i < dst.n; ++i) {
      if (IsFloatType(dst.dtype)) {
        StoreFloat(dst.dtype, dst.at(p, i), instruction_->imm0);
      } else {
        StoreInt(dst.dtype, dst.at(p, i), instruction_->imm_int, true);
      }
      MarkElement(0, p, i, kWritten);
    }
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::TensorReduce() {
  const bool integer = UsesIntegers(instruction_->op0, IntegerDomain({1}));
  const int64_t kept = view_[0].n, count = view_[1].n / kept;
  Row row, result;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(1, p, integer, &row));
    result.integer = integer;
    result.f.clear();
    result.i.clear();
    for (int64_t i = 0; i < kept; ++i) Reduce(instruction_->op0, row, i * count, count, &result);
    Store(0, p, result);
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Scan() {
  const AluOp op = instruction_->op0;
  const bool integer = UsesIntegers(op, IntegerDomain({1, 2}));
  const int64_t inner = instruction_->src0.size[isa::kFreeDims - 1];
  Row row, start;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(LoadScalar(2, p, integer, instruction_->imm0, &start));
    if (integer && !Present(2)) start.i[0] = instruction_->imm_int;
    GLIA_RETURN_IF_ERROR(Load(1, p, integer, &row));
    for (int64_t i = 0; i < view_[1].n; ++i) {
      const bool first = i % inner == 0;
      if (integer) {
        row.i[i] = AluInt(op, first ? start.i[0] : row.i[i - 1], row.i[i], type());
      } else {
        row.f[i] = AluFloat(op, first ? start.f[0] : row.f[i - 1], row.f[i]);
      }
    }
    Store(0, p, row);
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Reciprocal() {
  Row row;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(1, p, false, &row));
    for (float& v : row.f) v = 1.0f / v;
    Store(0, p, row);
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::BnStats() {
  Row row, result;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(1, p, false, &row));
    result.f.clear();
    for (size_t parity = 0; parity < 2; ++parity) {
      double count = 0, sum = 0, m2 = 0;
      for (size_t i = parity; i < row.f.size(); i += 2, ++count) sum += row.f[i];
      const double mean = count > 0 ? sum / count : 0;
      for (size_t i = parity; i < row.f.size(); i += 2) m2 += (row.f[i] - mean) * (row.f[i] - mean);
      for (const double v : {count, mean, m2}) result.f.push_back(static_cast<float>(v));
    }
    Store(0, p, result);
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::BnAggr() {
  Row row, result;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(1, p, false, &row));
    double count = 0, sum = 0, m2 = 0;
    for (size_t i = 0; i + 2 < row.f.size(); i += 3) {
      count += row.f[i];
      sum += double{row.f[i]} * row.f[i + 1];
    }
    const double mean = count > 0 ? sum / count : 0;
    for (size_t i = 0; i + 2 < row.f.size(); i += 3) {
      const double d = row.f[i + 1] - mean;
      m2 += row.f[i + 2] + row.f[i] * d * d;
    }
    result.f = {static_cast<float>(mean), static_cast<float>(count > 0 ? m2 / count : 0)};
    Store(0, p, result);
  }
  return absl::OkStatus();
}

namespace {
// A total order of floats: NaN above everything, zeros equal.
bool FloatLess(float a, float b) { return std::isnan(b) ? !std::isnan(a) : a < b; }
}  // namespace

absl::Status InstructionRunner::Max8() {
  const bool integer = IntegerDomain({1});
  const bool is_signed = IsSignedType(type());
  Row row;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(1, p, integer, &row));
    if (integer) {
      std::partial_sort(row.i.begin(), row.i.begin() + 8, row.i.end(), [is_signed](int64_t a, int64_t b) {
        return is_signed ? a > b : static_cast<uint64_t>(a) > static_cast<uint64_t>(b);
      });
    } else {
      std::partial_sort(row.f.begin(), row.f.begin() + 8, row.f.end(),
                        [](float a, float b) { return FloatLess(b, a); });
    }
    Store(0, p, row);
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::FindIndex8() {
  const bool integer = IntegerDomain({1, 2});
  Row row, wanted, result;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(1, p, integer, &row));
    GLIA_RETURN_IF_ERROR(Load(2, p, integer, &wanted));
    result.integer = true;
    result.i = MatchPositions(row, wanted);  // -1 wraps to 2^32 - 1
    Store(0, p, result);
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::MatchReplace8() {
  const bool integer = IntegerDomain({1, 2});
  Row row, wanted;
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(1, p, integer, &row));
    GLIA_RETURN_IF_ERROR(Load(2, p, integer, &wanted));
    for (const int64_t at : MatchPositions(row, wanted)) {
      if (at < 0) continue;
      if (integer) {
        row.i[at] = FloatToInt(instruction_->imm0, DType::kI64);
      } else {
        row.f[at] = instruction_->imm0;
      }
    }
    Store(0, p, row);
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Transpose32() {
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(CheckWritten(1, p));
    for (int64_t i = 0; i < view_[0].n; ++i) {
      const auto to_partition = static_cast<int>(p / 32 * 32 + i % 32);
      StoreElement(0, to_partition, i / 32 * 32 + p % 32, view_[1].dtype, view_[1].at(p, i));
    }
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Iota() {
  const View& dst = view_[0];
  for (int p = 0; p < dst.partitions; ++p) {
    for (int64_t i = 0; i < dst.n; ++i) {
      StoreInt(dst.dtype, dst.at(p, i), AffineValue(p, i, instruction_->dst), true);
      MarkElement(0, p, i, kWritten);
    }
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::AffineSelect() {
  const View& dst = view_[0];
  for (int p = 0; p < dst.partitions; ++p) {
    for (int64_t i = 0; i < dst.n; ++i) {
      if (AluInt(instruction_->op0, AffineValue(p, i, instruction_->dst), 0, DType::kI64) != 0) {
        GLIA_RETURN_IF_ERROR(CheckElement(1, p, i));
        StoreElement(0, p, i, view_[1].dtype, view_[1].at(p, i));
        continue;
      }
      if (IsFloatType(dst.dtype)) {
        StoreFloat(dst.dtype, dst.at(p, i), instruction_->imm0);
      } else {
        StoreInt(dst.dtype, dst.at(p, i), instruction_->imm_int2, true);
      }
      MarkElement(0, p, i, kWritten);
    }
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::PartitionReduce() {
  const AluOp op = instruction_->op0;
  const bool integer = UsesIntegers(op, IntegerDomain({1}));
  const bool sum = !integer && op == AluOp::kAdd;
  Row result, row;
  std::vector<double> sums(view_[1].n, 0.0);
  for (int p = 0; p < view_[1].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(1, p, integer, &row));
    if (sum) {
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += row.f[i];
    }
    if (p == 0) {
      result = row;
    } else if (!sum) {
      Combine(op, false, row, &result);
    }
  }
  if (sum) std::transform(sums.begin(), sums.end(), result.f.begin(), [](double v) { return static_cast<float>(v); });
  Store(0, 0, result);
  return absl::OkStatus();
}

absl::Status InstructionRunner::PartitionBroadcast() {
  GLIA_RETURN_IF_ERROR(CheckWritten(1, 0));
  for (int p = 0; p < view_[0].partitions; ++p) {
    for (int64_t i = 0; i < view_[0].n; ++i) StoreElement(0, p, i, view_[1].dtype, view_[1].at(0, i));
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Gather() {
  for (int p = 0; p < view_[0].partitions; ++p) {
    for (int64_t i = 0; i < view_[0].n; ++i) {
      int64_t index;
      GLIA_RETURN_IF_ERROR(Index(p, i, view_[1].n, &index));
      GLIA_RETURN_IF_ERROR(CheckElement(1, p, index));
      StoreElement(0, p, i, view_[1].dtype, view_[1].at(p, index));
    }
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::ScatterAdd() {
  const AluOp op = instruction_->op0;
  const View& dst = view_[0];
  const View& src = view_[1];
  const bool integer = UsesIntegers(op, IntegerDomain({0, 1}));
  for (int p = 0; p < src.partitions; ++p) {
    GLIA_RETURN_IF_ERROR(CheckWritten(1, p));
    for (int64_t i = 0; i < src.n; ++i) {
      int64_t index;
      GLIA_RETURN_IF_ERROR(Index(p, i, dst.n, &index));
      if (op == AluOp::kBypass) {
        StoreElement(0, p, index, src.dtype, src.at(p, i));
        continue;
      }
      GLIA_RETURN_IF_ERROR(CheckElement(0, p, index));
      uint8_t* to = dst.at(p, index);
      if (integer) {
        StoreInt(dst.dtype, to, AluInt(op, LoadInt(dst.dtype, to), LoadInt(src.dtype, src.at(p, i)), dst.dtype),
                 IsSignedType(dst.dtype));
      } else {
        StoreFloat(dst.dtype, to,
                   AluFloat(op, LoadFloat(dst.dtype, to), LoadFloat(src.dtype, src.at(p, i))));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Sort() {
  const bool integer = !IsFloatType(type());
  const bool is_signed = IsSignedType(type());
  const bool descending = (instruction_->flags & isa::kDescending) != 0;
  const int64_t n = view_[1].n;
  std::vector<int64_t> order(n);
  Row keys;
  // The keys and payloads of a partition before they are overwritten: sorting in place is allowed.
  std::vector<uint8_t> copy(2 * n * 8);
  for (int p = 0; p < view_[0].partitions; ++p) {
    GLIA_RETURN_IF_ERROR(Load(1, p, integer, &keys));
    if (Present(3)) GLIA_RETURN_IF_ERROR(CheckWritten(3, p));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      if (descending) std::swap(a, b);
      if (!integer) return FloatLess(keys.f[a], keys.f[b]);
      return is_signed ? keys.i[a] < keys.i[b]
                       : static_cast<uint64_t>(keys.i[a]) < static_cast<uint64_t>(keys.i[b]);
    });
    for (int64_t i = 0; i < n; ++i) {
      std::memcpy(&copy[i * 8], view_[1].at(p, i), view_[1].bytes);
      if (Present(3)) std::memcpy(&copy[(n + i) * 8], view_[3].at(p, i), view_[3].bytes);
    }
    for (int64_t i = 0; i < n; ++i) {
      StoreElement(0, p, i, view_[1].dtype, &copy[order[i] * 8]);
      if (Present(3)) StoreElement(4, p, i, view_[3].dtype, &copy[(n + order[i]) * 8]);
    }
  }
  return absl::OkStatus();
}

absl::Status InstructionRunner::Philox() {
  const View& dst = view_[0];
  for (int p = 0; p < dst.partitions; ++p) {
    for (int64_t i = 0; i < dst.n; ++i) {
      StoreAs(dst.at(p, i), PhiloxElement(instruction_->imm_int, instruction_->imm_int2, p * dst.n + i));
      MarkElement(0, p, i, kWritten);
    }
  }
  return absl::OkStatus();
}

}  // namespace glia::device
