// Programs in a few lines, for the tests of the executors, the timing and the race check.
//
//   ProgramBuilder b;
//   const isa::Operand x = b.Input({{1, 2}, {3, 4}});      // HBM input, loaded into SBUF
//   const isa::Operand y = b.Output(2, 2);                 // SBUF, stored to an HBM output at the end
//   isa::Instruction i = Make(isa::Opcode::kTensorTensor, y, x, x);
//   i.op0 = isa::AluOp::kAdd;
//   b.Do(isa::Engine::kDve, i);
//   const isa::Program program = b.Build();
//
// Everything that is added through Do and Transfer runs in the order of addition: each waits for the one
// before. AddUnordered leaves the semaphores to the caller.
#ifndef GLIA_DEVICE_SIM_TESTING_PROGRAM_BUILDER_H_
#define GLIA_DEVICE_SIM_TESTING_PROGRAM_BUILDER_H_

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "device_sim/executor.h"
#include "serialization/isa/program.h"
#include "serialization/neff/neff.h"

namespace glia::device {

template <typename T> struct DTypeOf;
template <> struct DTypeOf<bool> { static constexpr isa::DType value = isa::DType::kPred; };
template <> struct DTypeOf<uint8_t> { static constexpr isa::DType value = isa::DType::kU8; };
template <> struct DTypeOf<int8_t> { static constexpr isa::DType value = isa::DType::kI8; };
template <> struct DTypeOf<uint16_t> { static constexpr isa::DType value = isa::DType::kU16; };
template <> struct DTypeOf<int16_t> { static constexpr isa::DType value = isa::DType::kI16; };
template <> struct DTypeOf<uint32_t> { static constexpr isa::DType value = isa::DType::kU32; };
template <> struct DTypeOf<int32_t> { static constexpr isa::DType value = isa::DType::kI32; };
template <> struct DTypeOf<uint64_t> { static constexpr isa::DType value = isa::DType::kU64; };
template <> struct DTypeOf<int64_t> { static constexpr isa::DType value = isa::DType::kI64; };
template <> struct DTypeOf<float> { static constexpr isa::DType value = isa::DType::kF32; };

// An instruction with the given operands, all other fields 0.
isa::Instruction Make(isa::Opcode opcode, const isa::Operand& dst = {}, const isa::Operand& src0 = {},
                      const isa::Operand& src1 = {}, const isa::Operand& src2 = {},
                      const isa::Operand& src3 = {});

// The operand with another pattern: sizes and strides outer to inner (at most four), moved by
// `offset_elements`.
isa::Operand Pattern(isa::Operand o, std::vector<int> sizes, std::vector<int> strides, int offset_elements = 0);
// Partitions [first, first + count) of the operand's.
isa::Operand Partitions(isa::Operand o, int first, int count);

class ProgramBuilder {
 public:
  ProgramBuilder();

  // ---- Variables; the result is the index ----
  uint32_t Hbm(isa::VariableKind kind, const std::string& name, isa::DType dtype, std::vector<int64_t> shape);
  uint32_t Constant(const std::string& name, isa::DType dtype, std::vector<int64_t> shape, std::string bytes);
  uint32_t Scratch(const std::string& name, int64_t bytes);
  // After the ones before it, unless `address` says where.
  uint32_t Sbuf(int partitions, int64_t partition_bytes, int first_partition = 0, int64_t address = -1);
  uint32_t Psum(int partitions, int64_t partition_bytes, int first_partition = 0, int64_t address = -1);
  isa::Variable& variable(uint32_t index) { return program_.variables[index]; }

  // All of an SBUF or PSUM variable as [partitions, free] of the dtype.
  isa::Operand Tile(uint32_t var, isa::DType dtype = isa::DType::kF32) const;

  // ---- Tiles with their data ----
  // [rows.size(), rows[0].size()] at partition `first_partition`; rows become the data of an input.
  template <typename T>
  isa::Operand Input(const std::vector<std::vector<T>>& rows, int first_partition = 0) {
    std::string bytes;
    for (const auto& row : rows) {
      for (const T v : row) bytes.append(reinterpret_cast<const char*>(&v), sizeof(T));
    }
    return InputBytes(DTypeOf<T>::value, static_cast<int>(rows.size()), static_cast<int>(rows[0].size()),
                      bytes, first_partition);
  }
  isa::Operand Input(const std::vector<std::vector<float>>& rows, int first_partition = 0) {
    return Input<float>(rows, first_partition);
  }
  isa::Operand InputBytes(isa::DType dtype, int partitions, int free, const std::string& bytes,
                          int first_partition = 0);
  // An SBUF tile that Build() stores to an output.
  isa::Operand Output(int partitions, int free, isa::DType dtype = isa::DType::kF32, int first_partition = 0);
  isa::Operand SbufTile(int partitions, int free, isa::DType dtype = isa::DType::kF32, int first_partition = 0);
  isa::Operand PsumTile(int partitions, int free, isa::DType dtype = isa::DType::kF32);

  // ---- Instructions ----
  void Do(isa::Engine engine, isa::Instruction instruction);
  void Transfer(const isa::DmaDescriptor& dma, isa::Engine issuer = isa::Engine::kSp);
  // A contiguous copy of all of src.
  void Copy(uint32_t dst_var, uint32_t src_var);
  isa::Instruction& AddUnordered(isa::Engine engine, const isa::Instruction& instruction);
  // Registers the descriptor and returns the trigger.
  isa::Instruction Trigger(isa::DmaDescriptor dma, uint16_t queue);
  // Ends the segment and starts another. What is ordered within one is ordered across both.
  void EndSegment(const isa::Terminator& terminator);

  // The program, with the stores of the outputs. Data of the inputs in the order of variables.
  isa::Program Build();
  std::shared_ptr<const neff::Neff> BuildNeff();
  const std::vector<std::string>& input_data() const { return input_data_; }
  const std::map<std::string, std::string>& constants() const { return constants_; }

 private:
  int StreamOf(const isa::Instruction& instruction, isa::Engine engine) const;
  isa::Program program_;
  std::vector<std::string> input_data_;
  std::map<std::string, std::string> constants_;
  struct Store {
    uint32_t output;
    uint32_t tile;
  };
  std::vector<Store> stores_;
  int64_t sbuf_next_ = 0;
  int64_t psum_next_ = 0;
  int last_stream_ = -1;            // of the last ordered instruction of the segment
  std::vector<uint32_t> counts_;    // increments per stream in the segment
};

// Runs on fresh memory: inputs in the order of variables, the result likewise.
absl::StatusOr<std::vector<std::string>> RunOnce(const isa::Program& program, Executor* executor,
                                                 const std::vector<std::string>& inputs,
                                                 const std::map<std::string, std::string>& constants = {});

// The bytes as values of T.
template <typename T>
std::vector<T> As(const std::string& bytes) {
  std::vector<T> v(bytes.size() / sizeof(T));
  std::memcpy(v.data(), bytes.data(), v.size() * sizeof(T));
  return v;
}

}  // namespace glia::device

#endif  // GLIA_DEVICE_SIM_TESTING_PROGRAM_BUILDER_H_
