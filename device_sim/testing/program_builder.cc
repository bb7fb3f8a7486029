#include "device_sim/testing/program_builder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "serialization/isa/table.h"

namespace glia::device {

using isa::DType;
using isa::Engine;
using isa::Instruction;
using isa::Operand;
using isa::VariableKind;

Instruction Make(isa::Opcode opcode, const Operand& dst, const Operand& src0, const Operand& src1,
                 const Operand& src2, const Operand& src3) {
  Instruction i;
  i.opcode = opcode;
  i.dst = dst;
  i.src0 = src0;
  i.src1 = src1;
  i.src2 = src2;
  i.src3 = src3;
  return i;
}

Operand Pattern(Operand o, std::vector<int> sizes, std::vector<int> strides, int offset_elements) {
  for (int d = 0; d < isa::kFreeDims; ++d) {
    o.size[d] = 1;
    o.stride[d] = 0;
  }
  const int unused = isa::kFreeDims - static_cast<int>(sizes.size());
  for (size_t d = 0; d < sizes.size(); ++d) {
    o.size[unused + d] = static_cast<uint16_t>(sizes[d]);
    o.stride[unused + d] = static_cast<int16_t>(strides[d]);
  }
  o.offset += static_cast<uint32_t>(offset_elements * isa::DTypeBytes(o.dtype));
  return o;
}

Operand Partitions(Operand o, int first, int count) {
  o.partition = static_cast<uint8_t>(o.partition + first);
  o.num_partitions = static_cast<uint8_t>(count);
  return o;
}

ProgramBuilder::ProgramBuilder() {
  program_.name = "test";
  program_.segments.resize(1);
  // One queue per engine; stream s increments semaphore s.
  for (int e = 0; e < isa::kEngines; ++e) {
    isa::DmaQueue q;
    q.name = absl::StrCat("q", e);
    q.issuer = e == 0 ? Engine::kSp : static_cast<Engine>(e);
    program_.queues.push_back(q);
  }
  counts_.assign(isa::kEngines + program_.queues.size(), 0);
}

uint32_t ProgramBuilder::Hbm(VariableKind kind, const std::string& name, DType dtype,
                             std::vector<int64_t> shape) {
  isa::Variable v;
  v.name = name;
  v.kind = kind;
  v.dtype = dtype;
  v.bytes = isa::DTypeBytes(dtype);
  for (const int64_t d : shape) v.bytes *= d;
  v.shape = std::move(shape);
  program_.variables.push_back(v);
  return static_cast<uint32_t>(program_.variables.size() - 1);
}

uint32_t ProgramBuilder::Constant(const std::string& name, DType dtype, std::vector<int64_t> shape,
                                  std::string bytes) {
  const uint32_t var = Hbm(VariableKind::kFile, name, dtype, std::move(shape));
  variable(var).file = name;
  constants_[name] = std::move(bytes);
  return var;
}

uint32_t ProgramBuilder::Scratch(const std::string& name, int64_t bytes) {
  const uint32_t var = Hbm(VariableKind::kTmpBuf, name, DType::kU8, {bytes});
  variable(var).hbm_offset = program_.scratch_bytes;
  program_.scratch_bytes += (bytes + 63) / 64 * 64;
  return var;
}

uint32_t ProgramBuilder::Sbuf(int partitions, int64_t partition_bytes, int first_partition, int64_t address) {
  isa::Variable v;
  v.name = absl::StrCat("s", program_.variables.size());
  v.kind = VariableKind::kStateBuffer;
  v.partition = first_partition;
  v.partitions = partitions;
  v.partition_bytes = partition_bytes;
  v.bytes = partitions * partition_bytes;
  v.address = address;
  if (address < 0) {
    v.address = sbuf_next_;
    sbuf_next_ += (partition_bytes + 63) / 64 * 64;
  }
  program_.variables.push_back(v);
  return static_cast<uint32_t>(program_.variables.size() - 1);
}

uint32_t ProgramBuilder::Psum(int partitions, int64_t partition_bytes, int first_partition, int64_t address) {
  if (address < 0) {
    address = psum_next_;
    psum_next_ += (partition_bytes + isa::kPsumBankBytes - 1) / isa::kPsumBankBytes * isa::kPsumBankBytes;
  }
  const uint32_t var = Sbuf(partitions, partition_bytes, first_partition, address);
  variable(var).kind = VariableKind::kPsum;
  variable(var).name = absl::StrCat("p", var);
  return var;
}

Operand ProgramBuilder::Tile(uint32_t var, DType dtype) const {
  const isa::Variable& v = program_.variables[var];
  Operand o;
  o.var = var;
  o.num_partitions = static_cast<uint8_t>(v.partitions);
  o.dtype = dtype;
  const int64_t free = v.partition_bytes / isa::DTypeBytes(dtype);
  return Pattern(o, {static_cast<int>(free)}, {1});
}

Operand ProgramBuilder::SbufTile(int partitions, int free, DType dtype, int first_partition) {
  return Tile(Sbuf(partitions, int64_t{free} * isa::DTypeBytes(dtype), first_partition), dtype);
}

Operand ProgramBuilder::PsumTile(int partitions, int free, DType dtype) {
  return Tile(Psum(partitions, int64_t{free} * isa::DTypeBytes(dtype)), dtype);
}

Operand ProgramBuilder::InputBytes(DType dtype, int partitions, int free, const std::string& bytes,
                                   int first_partition) {
  const uint32_t in = Hbm(VariableKind::kInput, absl::StrCat("x", input_data_.size()), dtype, {partitions, free});
  input_data_.push_back(bytes);
  const Operand tile = SbufTile(partitions, free, dtype, first_partition);
  Copy(tile.var, in);
  return tile;
}

Operand ProgramBuilder::Output(int partitions, int free, DType dtype, int first_partition) {
  const uint32_t out = Hbm(VariableKind::kOutput, absl::StrCat("y", stores_.size()), dtype, {partitions, free});
  const Operand tile = SbufTile(partitions, free, dtype, first_partition);
  stores_.push_back({out, tile.var});
  return tile;
}

int ProgramBuilder::StreamOf(const Instruction& i, Engine engine) const {
  return i.opcode == isa::Opcode::kDma ? isa::kEngines + program_.dmas[i.dma].queue : static_cast<int>(engine);
}

void ProgramBuilder::Do(Engine engine, Instruction i) {
  const int stream = StreamOf(i, engine);
  if (last_stream_ >= 0) {
    i.wait_semaphore = static_cast<uint16_t>(last_stream_);
    i.wait_value = counts_[last_stream_];
  }
  i.inc_semaphore = static_cast<uint16_t>(stream);
  i.inc_value = 1;
  ++counts_[stream];
  last_stream_ = stream;
  AddUnordered(engine, i);
}

Instruction& ProgramBuilder::AddUnordered(Engine engine, const Instruction& instruction) {
  auto& stream = program_.segments.back().streams[static_cast<int>(engine)];
  stream.push_back(instruction);
  return stream.back();
}

Instruction ProgramBuilder::Trigger(isa::DmaDescriptor dma, uint16_t queue) {
  dma.queue = queue;
  program_.dmas.push_back(dma);
  Instruction i = Make(isa::Opcode::kDma);
  i.dma = static_cast<uint32_t>(program_.dmas.size() - 1);
  return i;
}

void ProgramBuilder::Transfer(const isa::DmaDescriptor& dma, Engine issuer) {
  Do(issuer, Trigger(dma, static_cast<uint16_t>(issuer)));
}

void ProgramBuilder::Copy(uint32_t dst_var, uint32_t src_var) {
  isa::DmaDescriptor dma;
  dma.dst_var = dst_var;
  dma.src_var = src_var;
  dma.size[4] = static_cast<uint32_t>(variable(src_var).bytes);
  dma.dst_stride[4] = dma.src_stride[4] = 1;
  if (variable(src_var).bytes > 0) Transfer(dma);
}

void ProgramBuilder::EndSegment(const isa::Terminator& terminator) {
  program_.segments.back().terminator = terminator;
  program_.segments.emplace_back();
  counts_.assign(counts_.size(), 0);
  last_stream_ = -1;
}

isa::Program ProgramBuilder::Build() {
  for (const Store& s : std::exchange(stores_, {})) Copy(s.output, s.tile);
  return program_;
}

std::shared_ptr<const neff::Neff> ProgramBuilder::BuildNeff() {
  auto neff = std::make_shared<neff::Neff>();
  neff->program = Build();
  for (const auto& [name, bytes] : constants_) neff->files[name] = neff::Blob::FromString(bytes);
  return neff;
}

absl::StatusOr<std::vector<std::string>> RunOnce(const isa::Program& program, Executor* executor,
                                                 const std::vector<std::string>& inputs,
                                                 const std::map<std::string, std::string>& constants) {
  std::vector<std::string> memory(program.variables.size());
  std::string scratch(static_cast<size_t>(program.scratch_bytes) + 1, '\x5a');
  std::vector<uint8_t*> bindings(program.variables.size(), nullptr);
  size_t input = 0;
  for (size_t i = 0; i < program.variables.size(); ++i) {
    const isa::Variable& v = program.variables[i];
    if (!isa::IsHbm(v.kind)) continue;
    if (v.kind == VariableKind::kInput) memory[i] = inputs.at(input++);
    if (v.kind == VariableKind::kFile) memory[i] = constants.at(v.file);
    if (v.kind == VariableKind::kOutput) memory[i].assign(static_cast<size_t>(v.bytes), '\x5a');
    bindings[i] = reinterpret_cast<uint8_t*>(memory[i].data());
    if (v.kind == VariableKind::kTmpBuf) {
      bindings[i] = reinterpret_cast<uint8_t*>(scratch.data()) + v.hbm_offset;
    }
  }
  for (size_t i = 0; i < program.variables.size(); ++i) {
    const int32_t alias = program.variables[i].alias;
    if (alias >= 0) bindings[i] = bindings[alias];
  }
  auto statistics = executor->Run(bindings);
  if (!statistics.ok()) return statistics.status();
  std::vector<std::string> outputs;
  for (size_t i = 0; i < program.variables.size(); ++i) {
    const isa::Variable& v = program.variables[i];
    if (v.kind == VariableKind::kOutput) outputs.push_back(v.alias >= 0 ? memory[v.alias] : memory[i]);
  }
  return outputs;
}

}  // namespace glia::device
