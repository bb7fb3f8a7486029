// One instruction at a time, on the memories of a Machine.
#ifndef GLIA_DEVICE_SIM_INTERPRETER_OPS_H_
#define GLIA_DEVICE_SIM_INTERPRETER_OPS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "device_sim/machine.h"
#include "serialization/isa/isa.h"

namespace glia::device {

// Values of one partition, in the domain of the operation: fp32 or 64-bit integers.
struct Row {
  bool integer = false;
  std::vector<float> f;
  std::vector<int64_t> i;
};

class InstructionRunner {
 public:
  explicit InstructionRunner(Machine* machine) : machine_(*machine) {}

  // Executes a valid instruction other than kDma. Errors, without the position: Internal for what the
  // checks find, OutOfRange for an index.
  absl::Status Run(isa::Engine engine, const isa::Instruction& instruction);

  // Executes a transfer. Errors as above.
  absl::Status RunDma(const isa::DmaDescriptor& dma);

 private:
  using Handler = absl::Status (InstructionRunner::*)();
  struct Entry {
    isa::Opcode opcode;
    Handler handler;
  };
  static const Entry kHandlers[];

  absl::Status Nop();
  absl::Status Matmul();
  absl::Status Transpose();
  absl::Status Activate();
  absl::Status TensorTensor();
  absl::Status TensorScalar();
  absl::Status ScalarTensorTensor();
  absl::Status TensorCopy();
  absl::Status Select();
  absl::Status CopyPredicated();
  absl::Status Memset();
  absl::Status TensorReduce();
  absl::Status Scan();
  absl::Status Reciprocal();
  absl::Status BnStats();
  absl::Status BnAggr();
  absl::Status Max8();
  absl::Status FindIndex8();
  absl::Status MatchReplace8();
  absl::Status Transpose32();
  absl::Status Iota();
  absl::Status AffineSelect();
  absl::Status PartitionReduce();
  absl::Status PartitionBroadcast();
  absl::Status Gather();
  absl::Status ScatterAdd();
  absl::Status Sort();
  absl::Status Philox();

  // Operands by number: 0 dst, 1 to 4 src0 to src3.
  bool Present(int k) const { return view_[k].present(); }
  // Whether the instruction computes in integers, given its inputs: POOL, and none of them a float.
  bool IntegerDomain(std::initializer_list<int> inputs) const;
  isa::DType type() const { return view_[1].dtype; }  // of the first input: it decides the signedness

  // Internal error unless every byte of the operand's partition p has been written.
  absl::Status CheckWritten(int k, int p) const;
  absl::Status CheckElement(int k, int p, int64_t i) const;
  absl::Status Load(int k, int p, bool integer, Row* row) const;  // checks, then converts
  void Store(int k, int p, const Row& row);
  void StoreElement(int k, int p, int64_t i, isa::DType from, const void* src);
  void MarkElement(int k, int p, int64_t i, uint8_t state);
  // The scalar of partition p: operand k if present, else the immediate.
  absl::Status LoadScalar(int k, int p, bool integer, float immediate, Row* row) const;
  void Convert(bool integer, Row* row) const;
  // a = a op b, element by element; a b of one element is for all. In integers if the domain is or the
  // operation works on raw integers.
  void Combine(isa::AluOp op, bool reverse, const Row& b, Row* a) const;
  bool UsesIntegers(isa::AluOp op, bool integer_domain) const;
  // Folds `count` values from `first` on.
  void Reduce(isa::AluOp op, const Row& values, int64_t first, int64_t count, Row* result) const;
  int64_t AffineValue(int p, int64_t i, const isa::Operand& over) const;
  std::vector<int64_t> MatchPositions(const Row& values, const Row& wanted) const;
  absl::Status Index(int p, int64_t i, int64_t bound, int64_t* index) const;

  absl::Status CopyBytes(const isa::DmaDescriptor& dma, int64_t dst, int64_t src, int64_t bytes);
  absl::Status ComputeElement(const isa::DmaDescriptor& dma, int64_t dst, int64_t src);
  absl::Status ReadBytes(uint32_t var, int64_t offset, int64_t bytes, uint8_t* out);
  void WriteBytes(uint32_t var, int64_t offset, int64_t bytes, const uint8_t* in);

  Machine& machine_;
  isa::Engine engine_ = isa::Engine::kPe;
  const isa::Instruction* instruction_ = nullptr;
  std::array<View, 5> view_;
};

}  // namespace glia::device

#endif  // GLIA_DEVICE_SIM_INTERPRETER_OPS_H_
