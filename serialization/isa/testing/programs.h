// Small valid programs for tests.
#ifndef GLIA_SERIALIZATION_ISA_TESTING_PROGRAMS_H_
#define GLIA_SERIALIZATION_ISA_TESTING_PROGRAMS_H_

#include <string>
#include <utility>
#include <vector>

#include "serialization/isa/isa.h"
#include "serialization/isa/program.h"
#include "serialization/isa/table.h"

namespace glia::isa::testing {

inline Variable Hbm(VariableKind kind, std::string name, std::vector<int64_t> shape) {
  Variable v;
  v.name = std::move(name);
  v.kind = kind;
  v.shape = std::move(shape);
  v.bytes = 4;
  for (int64_t s : v.shape) v.bytes *= s;
  return v;
}

// `partitions` x `partition_bytes` at partition 0.
inline Variable OnChip(VariableKind kind, std::string name, int partitions, int64_t address,
                       int64_t partition_bytes) {
  Variable v;
  v.name = std::move(name);
  v.kind = kind;
  v.partitions = partitions;
  v.address = address;
  v.partition_bytes = partition_bytes;
  v.bytes = partitions * partition_bytes;
  return v;
}

// The first `n` elements of `partitions` partitions.
inline Operand Tile(uint32_t var, int partitions, int n, DType dtype = DType::kF32) {
  Operand o;
  o.var = var;
  o.num_partitions = static_cast<uint8_t>(partitions);
  o.dtype = dtype;
  o.size[3] = static_cast<uint16_t>(n);
  o.stride[3] = 1;
  return o;
}

inline DmaDescriptor Copy(uint32_t dst, uint32_t src, uint32_t bytes) {
  DmaDescriptor d;
  d.dst_var = dst;
  d.src_var = src;
  d.element_bytes = 4;
  d.size[4] = bytes / 4;
  d.dst_stride[4] = d.src_stride[4] = 4;
  return d;
}

inline std::vector<Instruction>& Stream(Program& p, Engine e) {
  return p.segments[0].streams[static_cast<int>(e)];
}

// Variables of MatmulProgram().
enum : uint32_t { kX, kW, kY, kXTile, kWTile, kYTile, kAcc, kScratch };

// y[32,64] = relu(x[16,32]^T . w[16,64]), through every engine.
inline Program MatmulProgram() {
  Program p;
  p.name = "matmul";
  p.variables = {Hbm(VariableKind::kInput, "x", {16, 32}),
                 Hbm(VariableKind::kFile, "w", {16, 64}),
                 Hbm(VariableKind::kOutput, "y", {32, 64}),
                 OnChip(VariableKind::kStateBuffer, "x_tile", 16, 0, 128),
                 OnChip(VariableKind::kStateBuffer, "w_tile", 16, 128, 256),
                 OnChip(VariableKind::kStateBuffer, "y_tile", 32, 384, 256),
                 OnChip(VariableKind::kPsum, "acc", 32, 0, 256),
                 OnChip(VariableKind::kStateBuffer, "scratch", 128, 1024, 1024)};
  p.variables[kW].file = "w.bin";
  p.queues = {{"in", Engine::kSp, 0}, {"out", Engine::kAct, 1}};
  p.dmas = {Copy(kXTile, kX, 2048), Copy(kWTile, kW, 4096), Copy(kY, kYTile, 8192)};
  p.dmas[2].queue = 1;
  p.debug = {{"dot.1", "aten::mm", "model.py:7"}};
  p.segments.resize(1);

  for (uint32_t d = 0; d < 2; ++d) {
    Instruction load;
    load.opcode = Opcode::kDma;
    load.dma = d;
    load.inc_semaphore = 0;
    load.inc_value = 16;
    Stream(p, Engine::kSp).push_back(load);
  }
  Instruction mm;
  mm.opcode = Opcode::kMatmul;
  mm.dst = Tile(kAcc, 32, 64);
  mm.src0 = Tile(kXTile, 16, 32);
  mm.src1 = Tile(kWTile, 16, 64);
  mm.wait_semaphore = 0;
  mm.wait_value = 32;
  mm.inc_semaphore = 2;
  mm.inc_value = 1;
  mm.debug = 0;
  Stream(p, Engine::kPe).push_back(mm);
  Instruction relu;
  relu.opcode = Opcode::kActivate;
  relu.fn = ActFn::kRelu;
  relu.imm0 = 1;
  relu.dst = Tile(kYTile, 32, 64);
  relu.src0 = Tile(kAcc, 32, 64);
  relu.wait_semaphore = 2;
  relu.wait_value = 1;
  Stream(p, Engine::kAct).push_back(relu);
  Instruction store;
  store.opcode = Opcode::kDma;
  store.dma = 2;
  Stream(p, Engine::kAct).push_back(store);
  return p;
}

}  // namespace glia::isa::testing

#endif  // GLIA_SERIALIZATION_ISA_TESTING_PROGRAMS_H_
