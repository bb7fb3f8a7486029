#include "serialization/isa/cost.h"

#include <algorithm>
#include <cstring>

namespace glia::isa {
namespace {

constexpr int64_t kPsPer7Cycles[kEngines] = {cost::kPePsPer7Cycles, cost::kActPsPer7Cycles,
                                             cost::kPoolPsPer7Cycles, cost::kDvePsPer7Cycles,
                                             cost::kSpPsPer7Cycles};

int64_t WideStrideFactor(const Operand& operand) {
  for (int d = kFreeDims - 1; d >= 0; --d) {
    if (operand.size[d] <= 1) continue;
    const int64_t bytes = std::abs(int64_t{operand.stride[d]}) * DTypeBytes(operand.dtype);
    return bytes > cost::kWideStrideBytes ? cost::kWideStrideFactor : 1;
  }
  return 1;
}

// What streams through ACT, DVE or POOL.
struct Stream {
  int64_t elements = 0;     // of the longest tensor operand, in each partition
  int64_t sbuf_inputs = 0;  // tensors read from SBUF
  int64_t stride_factor = 1;
  bool has_64_bit = false;
};

Stream StreamOf(const Program& program, const InstructionInfo& info,
                const Instruction& instruction) {
  Stream stream;
  for (int i = 0; i < 5; ++i) {
    const Operand& operand = GetOperand(instruction, i);
    if (!info.operands[i].tensor || !operand.present()) continue;
    stream.elements = std::max(stream.elements, operand.free_elements());
    stream.stride_factor = std::max(stream.stride_factor, WideStrideFactor(operand));
    stream.has_64_bit |= DTypeBytes(operand.dtype) == 8;
    if (i != 0 && program.variables[operand.var].kind != VariableKind::kPsum) ++stream.sbuf_inputs;
  }
  return stream;
}

InstructionCost ControlCost(const Program& program, const Instruction& instruction) {
  int64_t ps = cost::kSemaphoreInstructionPs;
  if (instruction.opcode == Opcode::kDma) {
    const DmaDescriptor& dma = program.dmas[instruction.dma];
    if (dma.index_side != IndexSide::kNone) {
      ps += CyclesToPs(Engine::kPool,
                       cost::kPoolFixedCycles + cost::kPoolIndirectCyclesPerRow * dma.size[0]);
    }
  }
  return {ps, ps};
}

int64_t Fp32Factor(const Operand& operand, bool one_zero) {
  if (operand.dtype != DType::kF32) return 1;
  return one_zero ? cost::kPeFp32OneZeroFactor : cost::kPeFp32Factor;
}

// The stationary operand is loaded while the previous matmul's moving one streams, as far as that
// goes; the first load of a segment shows its whole latency.
InstructionCost PeCost(const Operand& stationary, const Operand* moving, int64_t moving_elements,
                       bool one_zero, EngineState* state) {
  const int64_t factor = Fp32Factor(stationary, one_zero);
  int64_t load_ps = 0;
  if (std::memcmp(&state->stationary, &stationary, sizeof(Operand)) != 0) {
    const int64_t cycles = std::max(stationary.free_elements(), cost::kPeMinCycles) * factor *
                           WideStrideFactor(stationary);
    load_ps = CyclesToPs(Engine::kPe, (cycles + cost::kPeLoadSpeedup - 1) / cost::kPeLoadSpeedup);
    load_ps = state->last_moving_ps > 0 ? std::max<int64_t>(0, load_ps - state->last_moving_ps)
                                        : std::max(load_ps, cost::kPeLoadLatencyPs);
    state->stationary = stationary;
  }
  const int64_t stride_factor = moving == nullptr ? 1 : WideStrideFactor(*moving);
  const int64_t interval_ps = CyclesToPs(
      Engine::kPe, std::max(moving_elements * stride_factor, cost::kPeMinCycles) * factor);
  const int64_t stream_ps = CyclesToPs(Engine::kPe, moving_elements * stride_factor * factor);
  state->last_moving_ps = interval_ps;
  const int64_t occupancy = load_ps + interval_ps;
  return {occupancy, std::max(occupancy, load_ps + cost::kPePipelinePs + stream_ps)};
}

InstructionCost ActCost(const Program& program, const InstructionInfo& info,
                        const Instruction& instruction, EngineState* state) {
  const Stream stream = StreamOf(program, info, instruction);
  int64_t switch_ps = 0;
  const ActFnInfo* fn = FindActFn(instruction.fn);
  if (fn->table != ActTable::kEvery && fn->table != state->table) {
    switch_ps = cost::kActTableSwitchPs;
    state->table = fn->table;
  }
  const int64_t read_out = instruction.flags & kAccumulate ? cost::kActReadAccumulatorCycles : 0;
  const int64_t cycles = stream.elements * stream.stride_factor;
  const int64_t occupancy =
      switch_ps + CyclesToPs(Engine::kAct, std::max(cycles, cost::kActMinCycles) + read_out);
  return {occupancy, std::max(occupancy, switch_ps + cost::kActPipelinePs +
                                             CyclesToPs(Engine::kAct, cycles + read_out))};
}

InstructionCost DveCost(const Program& program, const InstructionInfo& info,
                        const Instruction& instruction) {
  const Stream stream = StreamOf(program, info, instruction);
  int64_t cycles =
      stream.elements * stream.stride_factor * std::max<int64_t>(1, stream.sbuf_inputs);
  if (info.cost == CostClass::kReciprocal) cycles *= cost::kDveReciprocalCyclesPerElement;
  const int64_t occupancy = CyclesToPs(Engine::kDve, std::max(cycles, cost::kDveMinCycles));
  return {occupancy, std::max(occupancy, cost::kDvePipelinePs + CyclesToPs(Engine::kDve, cycles))};
}

InstructionCost PoolCost(const Program& program, const InstructionInfo& info,
                         const Instruction& instruction) {
  const Stream stream = StreamOf(program, info, instruction);
  int64_t cycles = stream.elements * stream.stride_factor;
  if (stream.has_64_bit) cycles *= cost::kPool64BitFactor;
  if (info.opcode == Opcode::kActivate && instruction.fn == ActFn::kRsqrt)
    cycles *= cost::kPoolRsqrtFactor;
  if (info.cost == CostClass::kSort) {
    int64_t k = 0;
    while ((int64_t{1} << k) < stream.elements) ++k;
    cycles *= k * (k + 1) / 2;
    if (instruction.src2.present()) cycles *= 2;
  }
  const int64_t ps = CyclesToPs(Engine::kPool, cost::kPoolFixedCycles + cycles);
  return {ps, ps};
}

// One side of a transfer, innermost dimension first.
DmaRows RowsOf(const Program& program, uint32_t var, uint64_t offset, const int64_t* stride,
               const DmaDescriptor& dma, bool indexed) {
  int64_t run = dma.element_bytes, rows = 1;
  bool open = true;
  for (int d = kDmaDims - 1; d >= 0; --d) {
    const int64_t size = dma.size[d];
    if (size == 1 && !(indexed && d == 0)) continue;
    if (open && stride[d] == run && !(indexed && d == 0)) {
      run *= size;
    } else {
      open = false;
      rows *= size;
    }
  }
  const Variable& v = program.variables[var];
  if (!IsHbm(v.kind) && v.partition_bytes > 0) {
    // Exact when the runs start at one place of a partition, as those of a tile do.
    const int64_t start = static_cast<int64_t>(offset) % v.partition_bytes;
    rows *= (start + run + v.partition_bytes - 1) / v.partition_bytes;
    run = std::min(run, v.partition_bytes);
  }
  return {rows, run};
}

}  // namespace

int64_t CyclesToPs(Engine engine, int64_t cycles) {
  return (cycles * kPsPer7Cycles[static_cast<int>(engine)] + 6) / 7;
}

InstructionCost CostOf(const Program& program, Engine engine, const Instruction& instruction,
                       EngineState* state) {
  const InstructionInfo& info = *FindInstruction(instruction.opcode);
  if (info.cost == CostClass::kControl) return ControlCost(program, instruction);
  if (info.cost == CostClass::kMatmul) {
    return PeCost(instruction.src0, &instruction.src1, instruction.src1.free_elements(),
                  (instruction.flags & kExactOneZero) != 0, state);
  }
  if (info.cost == CostClass::kPeTranspose) {
    // src0 is the stationary operand of a product with the identity, which holds only ones and
    // zeros.
    return PeCost(instruction.src0, nullptr, instruction.src0.num_partitions, true, state);
  }
  if (engine == Engine::kAct) return ActCost(program, info, instruction, state);
  if (engine == Engine::kDve) return DveCost(program, info, instruction);
  return PoolCost(program, info, instruction);
}

DmaShape DmaRowStructure(const Program& program, const DmaDescriptor& dma) {
  DmaShape shape;
  shape.bytes = dma.element_bytes;
  for (uint32_t size : dma.size) shape.bytes *= size;
  shape.src = RowsOf(program, dma.src_var, dma.src_offset, dma.src_stride, dma,
                     dma.index_side == IndexSide::kSource);
  shape.dst = RowsOf(program, dma.dst_var, dma.dst_offset, dma.dst_stride, dma,
                     dma.index_side == IndexSide::kDestination);
  return shape;
}

DmaCost DmaCostOf(const Program& program, const DmaDescriptor& dma) {
  const DmaShape shape = DmaRowStructure(program, dma);
  DmaCost result;
  int64_t rows = std::max(shape.src.rows, shape.dst.rows);
  if (rows < cost::kDmaEngines) {
    const int64_t row_bytes = (shape.bytes + rows - 1) / rows;
    const int64_t pieces =
        std::min<int64_t>((cost::kDmaEngines + rows - 1) / rows,
                          std::max<int64_t>(1, row_bytes / cost::kDmaMinPieceBytes));
    rows *= pieces;
  }
  const int64_t row_bytes = (shape.bytes + rows - 1) / rows;
  const int64_t row_ps = std::max(
      (row_bytes * 1000 + cost::kDmaBytesPerNs - 1) / cost::kDmaBytesPerNs, cost::kDmaRowMinPs);
  result.work_ps = rows * row_ps;
  result.duration_ps = (rows + cost::kDmaEngines - 1) / cost::kDmaEngines * row_ps;
  if (IsHbm(program.variables[dma.src_var].kind)) result.hbm_read_bytes += shape.bytes;
  if (IsHbm(program.variables[dma.dst_var].kind)) {
    result.hbm_write_bytes += shape.bytes;
    if (dma.op != DmaOp::kCopy) result.hbm_read_bytes += shape.bytes;
  }
  if (dma.index_side != IndexSide::kNone && IsHbm(program.variables[dma.index_var].kind)) {
    result.hbm_read_bytes += int64_t{dma.size[0]} * 4;
  }
  return result;
}

}  // namespace glia::isa
