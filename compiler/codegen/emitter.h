// Writes the instructions of one program, in one serial order; allocate.h gives the tiles their
// addresses and sync.h splits the order over the engines afterwards. What an op's emitter works
// with.
//
// How to emit an HLO operation:
//   absl::Status EmitFoo(Emitter& e, const hlo::Instruction& hlo) {
//     Nd x = *e.View(hlo.operand(0));            // strided, in HBM; Home() for a dense one
//     Nd out = e.NewResult(hlo);                 // dense; the program's output itself where it can
//     be Tile t = e.NewTile(x.dtype, 128, 512);     // as many as wanted: spilled when SBUF is full
//     e.Dma(e.At(t, {128, 512}), x);             // dims of both sides must agree
//     e.Activate(t.all(), t.all(), isa::ActFn::kExp);
//     e.Dma(out, e.At(t, {128, 512}));
//     return e.status();
//   }
// and enter it in emitters.h and emit_table.cc. Rules: a tile is at most kMaxTileBytes in a
// partition, a PSUM tile one bank; at most 8 PSUM tiles may be between their first and last use at
// once. Instructions take effect in the order of the calls: never think about semaphores. The
// engine is chosen from types and operation unless named. Tiles do not survive the end of a
// segment; values in HBM do. Errors stick in status(); nothing is emitted after one. Not
// thread-safe.
#ifndef GLIA_COMPILER_CODEGEN_EMITTER_H_
#define GLIA_COMPILER_CODEGEN_EMITTER_H_

#include <array>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "compiler/codegen/nd.h"
#include "compiler/codegen/options.h"
#include "compiler/codegen/serial.h"
#include "serialization/hlo/ir.h"
#include "serialization/hlo/literal.h"
#include "serialization/isa/isa.h"
#include "serialization/isa/program.h"
#include "serialization/neff/neff.h"

namespace glia::compiler {

using isa::ActFn;
using isa::AluOp;
using isa::DType;
using isa::Engine;
using isa::Operand;

// Bytes a partition: five operands of one instruction always fit in SBUF.
inline constexpr int64_t kMaxTileBytes = 32 * 1024;
// Let the emitter choose.
inline constexpr Engine kAnyEngine = static_cast<Engine>(0xff);

// [partitions, free] elements in SBUF or PSUM, dense, from partition 0.
struct Tile {
  uint32_t var = UINT32_MAX;
  DType dtype = DType::kF32;
  int partitions = 0;
  int64_t free = 0;

  bool valid() const { return var != UINT32_MAX; }
  Operand all() const;
  // Partitions [0, p), elements [start, start + count).
  Operand part(int p, int64_t start, int64_t count) const;
  // Partitions [0, p) and a pattern of up to 4 dims (outermost first) from element `start`; strides
  // in elements.
  Operand pattern(int p, int64_t start, absl::Span<const int64_t> sizes,
                  absl::Span<const int64_t> strides) const;
};

// The same elements of fewer partitions; `first` must be 0, 32, 64 or 96.
Operand Partitions(Operand operand, int first, int count);
// The same bits as another type of equal size.
Operand Bits(Operand operand, DType dtype);

// A number, or a tile's column [P, 1], for the instructions that take either.
struct Scalar {
  float imm = 0;
  Operand column;
  Scalar(float value) : imm(value) {}                       // NOLINT: meant to convert
  Scalar(double value) : imm(static_cast<float>(value)) {}  // NOLINT
  Scalar(int value) : imm(static_cast<float>(value)) {}     // NOLINT
  Scalar(const Operand& operand) : column(operand) {}       // NOLINT
};

struct Unit;

class Emitter {
 public:
  Emitter(const hlo::Module& module, const CodegenOptions& options);
  Emitter(const Emitter&) = delete;
  Emitter& operator=(const Emitter&) = delete;

  const CodegenOptions& options() const { return options_; }
  const absl::Status& status() const { return status_; }
  bool ok() const { return status_.ok(); }
  void Fail(
      absl::Status status);  // keeps the first, with the current HLO instruction in the message

  // ---- Values of HLO instructions, in HBM. A tuple has the leaves of its elements, flattened.
  // As it lies: a parameter, a constant, a result, or a view (transpose, slice, broadcast, ...) of
  // one.
  absl::StatusOr<Nd> View(const hlo::Instruction* hlo, int64_t leaf = 0);
  // The same, dense row-major: copies a view once.
  absl::StatusOr<Nd> Home(const hlo::Instruction* hlo, int64_t leaf = 0);
  absl::StatusOr<std::vector<Nd>> Leaves(const hlo::Instruction* hlo);
  // A dense buffer for a leaf of the result, entered as its value. Each leaf once.
  // Of another type than the instruction's only where every reader goes by that of the view.
  Nd NewResult(const hlo::Instruction& hlo, int64_t leaf = 0,
               absl::optional<DType> dtype = absl::nullopt);
  // The same, with the dims in the order that its readers want (home_layout.h) unless it is an
  // output of the program or cannot be reshaped to `dims` then: a view of a dense array.
  Nd NewArranged(const hlo::Instruction& hlo, DType dtype, const Dims& dims);
  // The same as NewResult for images, kept as `dtype` with the channels outermost, unless the
  // result is an output of the program: those are dense and of their own type.
  Nd NewImages(const hlo::Instruction& hlo, int64_t channel_dim, DType dtype);
  // The home of a concatenation if a part of it was made in place already.
  absl::optional<Nd> MadeInPlace(const hlo::Instruction& concatenate) const;
  // Says that the leaves of the result are these bytes (views and tuples).
  void SetLeaves(const hlo::Instruction& hlo, std::vector<Nd> leaves);
  // The value of every element if it is a constant, or a view of one, with equal elements.
  absl::optional<double> Splat(const hlo::Instruction* hlo) const;
  // Follows views and copies of the same elements to a constant; null if it is none.
  static const hlo::Literal* ConstantOf(const hlo::Instruction* hlo);

  // Scratch in HBM, dense; shared with others once its last use has passed.
  Nd NewBuffer(DType dtype, Dims dims, absl::string_view name = "scratch");
  // A constant of the program; shares the literal's bytes.
  absl::StatusOr<Nd> AddConstant(const hlo::Literal& literal);
  // The elements of a view of a constant as a dense constant of `dtype` with the view's dims, laid
  // out while compiling: its own type, or one that the device would round fp32 to. Nothing for a
  // view of anything else, or another type.
  absl::optional<Nd> ArrangeConstant(const Nd& view, DType dtype);
  // A view [P] of a constant of fp32 as a column [P, 1]; nothing for any other. All those of a
  // segment come into SBUF with a few transfers.
  absl::optional<Operand> ConstantColumn(const Nd& view);
  // Constants that were laid out before for the same purpose, under a key that says all about them.
  absl::optional<Nd> FindMade(const std::string& key) const;
  void KeepMade(std::string key, const Nd& constant) { made_[std::move(key)] = constant; }

  // Emits a called computation with these leaves for its parameters (all parameters' leaves in
  // order), and gives the leaves of its root. Views among them are fine.
  absl::StatusOr<std::vector<Nd>> EmitComputation(const hlo::Computation& computation,
                                                  absl::Span<const Nd> parameters);
  // The tile results of an element-wise computation over scalars (a reducer, a comparator), applied
  // to operands of equal pattern: one for each parameter. Results are new tiles (or operands passed
  // through).
  absl::StatusOr<std::vector<Operand>> ApplyScalar(const hlo::Computation& computation,
                                                   absl::Span<const Operand> arguments);

  // ---- Tiles.
  Tile NewTile(DType dtype, int partitions, int64_t free, absl::string_view name = "sbuf");
  // One bank: at most 2048 bytes a partition.
  Tile NewPsum(int partitions, int64_t free, DType dtype = DType::kF32);
  bool InPsum(const Operand& operand) const;
  int64_t TileBytes(uint32_t var) const { return serial_.program.variables[var].partition_bytes; }
  // The tile seen by DMA: dims are [partitions, free dims ...], dense from (first partition,
  // start).
  Nd At(const Tile& tile, Dims dims, int first_partition = 0, int64_t start = 0) const;
  // An operand seen by DMA: [partitions, up to 4 free dims of the pattern].
  Nd At(const Operand& operand) const;

  // ---- Transfers. Both sides have the same dims and element size; more than 5 dims and large
  // sizes are split. An empty one does nothing.
  void Dma(const Nd& dst, const Nd& src, isa::DmaOp op = isa::DmaOp::kCopy);
  // Indirect: dim 0 of the indexed side moves by index_stride (bytes) per unit of index(i), i32 in
  // `index_var` from byte `index_offset`, instead of by its own stride. At most 5 dims.
  struct Index {
    uint32_t var = UINT32_MAX;
    int64_t offset = 0;
    int64_t stride = 0;
    int64_t bound = 0;  // indices lie in [0, bound), or the run ends with an error
  };
  void Gather(const Nd& dst, const Nd& src, const Index& index);
  void Scatter(const Nd& dst, const Nd& src, const Index& index, isa::DmaOp op = isa::DmaOp::kCopy);
  // A tile of the view's data: its first `partition_dims` dims, row-major, are the partitions, the
  // others the free elements. Comes from a cache of what is in SBUF already; do not write to it.
  Tile LoadShared(const Nd& view, int partition_dims = 1);
  // The cache itself: a tile that holds the view's elements as `dtype` (its own, or a cast), and a
  // promise that a tile does and will not change.
  absl::optional<Tile> FindShared(const Nd& view, int partition_dims, DType dtype);
  void KeepShared(const Nd& view, int partition_dims, const Tile& tile);
  // Where a tile of the cache, as `dtype`, holds the view's elements among others: dim 0 is the
  // partitions; element start + sum index * strides of the tile for the other dims.
  struct Within {
    Tile tile;
    int64_t start = 0;
    Dims strides;
  };
  absl::optional<Within> FindWithin(const Nd& view, DType dtype) const;
  // The elements of `view`, [partitions, free dims], as `dtype`, if they are in SBUF already, as a
  // part of a larger tile perhaps. Do not write to it.
  absl::optional<Operand> FindResident(const Nd& view, int partition_dims, DType dtype);
  // Length of the rows, one a partition, in which a dense array is in SBUF already; 0 if it is not.
  int64_t SharedRow(const Nd& nd) const;
  // Whether nothing after the unit being emitted reads the value that has its home there.
  bool ReadLast(uint32_t home) const;
  // Writes a whole tile to a part of a result that nothing else writes, and remembers it for
  // LoadShared.
  void Store(const Nd& part, int partition_dims, const Tile& tile);

  // ---- Instructions; see isa.h for what they do.
  void Matmul(const Operand& dst, const Operand& stationary, const Operand& moving, bool accumulate,
              bool exact_one_zero = false);
  void PeTranspose(const Operand& dst, const Operand& src);
  // PSUM to SBUF with conversion, by DVE and ACT in turn.
  void Evacuate(const Operand& dst, const Operand& src);
  // Of the engines the one with least to do, as told by calls of this kind: it gets `elements`
  // more.
  Engine Lightest(std::initializer_list<Engine> engines, int64_t elements);
  Engine Lighter(int64_t elements) { return Lightest({Engine::kAct, Engine::kDve}, elements); }
  void AddLoad(Engine engine, int64_t elements);
  void Activate(const Operand& dst, const Operand& src, ActFn fn, const Scalar& scale = 1,
                absl::optional<Operand> bias = absl::nullopt, float parameter = 0,
                absl::optional<Operand> accumulator = absl::nullopt, Engine engine = kAnyEngine);
  void TensorTensor(const Operand& dst, const Operand& a, const Operand& b, AluOp op,
                    Engine engine = kAnyEngine);
  void TensorScalar(const Operand& dst, const Operand& a, AluOp op0, const Scalar& s0,
                    AluOp op1 = AluOp::kBypass, const Scalar& s1 = 0, uint8_t flags = 0,
                    Engine engine = kAnyEngine);
  void ScalarTensorTensor(const Operand& dst, const Operand& a, AluOp op0, const Scalar& s,
                          AluOp op1, const Operand& b, Engine engine = kAnyEngine);
  // dst = convert(src), exact for every pair of types.
  void Copy(const Operand& dst, const Operand& src, Engine engine = kAnyEngine);
  void Select(const Operand& dst, const Operand& pred, const Operand& on_true,
              const Operand& on_false, Engine engine = kAnyEngine);
  void CopyPredicated(const Operand& dst, const Operand& src, const Operand& pred,
                      Engine engine = kAnyEngine);
  void Memset(const Operand& dst, double value, Engine engine = kAnyEngine);
  void MemsetInt(const Operand& dst, int64_t value, Engine engine = kAnyEngine);
  // dst [P, N] = op over the innermost `dims` dims of src [P, N..., R...].
  void Reduce(const Operand& dst, const Operand& src, AluOp op, int dims,
              Engine engine = kAnyEngine);
  void Scan(const Operand& dst, const Operand& src, AluOp op, const Scalar& initial,
            Engine engine = kAnyEngine);
  void Reciprocal(const Operand& dst, const Operand& src);
  void BnStats(const Operand& dst, const Operand& src);
  void BnAggr(const Operand& dst, const Operand& src);
  void Max8(const Operand& dst, const Operand& src);
  void FindIndex8(const Operand& dst, const Operand& src, const Operand& values);
  void MatchReplace8(const Operand& dst, const Operand& src, const Operand& values,
                     float replacement);
  void Transpose32(const Operand& dst, const Operand& src);
  // dst = base + per_partition * partition + sum steps[i] * index[i] over dst's own free dims
  // (outermost first, as many steps as given, aligned to the innermost).
  void Iota(const Operand& dst, int64_t base, int64_t per_partition,
            absl::Span<const int64_t> steps);
  void AffineSelect(const Operand& dst, const Operand& src, AluOp compare, double otherwise,
                    int64_t base, int64_t per_partition, absl::Span<const int64_t> steps);
  void PartitionReduce(const Operand& dst, const Operand& src, AluOp op);
  void PartitionBroadcast(const Operand& dst, const Operand& src);
  void GatherFree(const Operand& dst, const Operand& src, const Operand& index);
  void ScatterFree(const Operand& dst, const Operand& src, const Operand& index, AluOp op);
  void Sort(const Operand& dst, const Operand& keys, bool descending,
            absl::optional<Operand> payload = absl::nullopt,
            absl::optional<Operand> payload_dst = absl::nullopt);
  void Philox(const Operand& dst, uint64_t key, uint64_t counter);
  // Any instruction: opcode, fields and operands as in isa.h, without semaphores.
  void Raw(isa::Instruction instruction, Engine engine);

  // ---- Segments. Emission starts in segment 0. A segment not given a terminator halts.
  uint32_t NewSegment();  // reserves a number
  uint32_t current_segment() const;
  void StartSegment(uint32_t segment);  // what follows goes there; each segment is started once
  void SetTerminator(uint32_t segment, const isa::Terminator& terminator);
  // Segments started from `first` to the current one, inclusive, run repeatedly: values that enter
  // the loop stay alive until its end. Call it when the last of them is the current one.
  void MarkLoop(uint32_t first);

  // The group that follows the product being emitted, for ProductSink to compute; see epilogue.h.
  const Unit* epilogue() const { return epilogue_; }
  void TakeEpilogue() { epilogue_ = nullptr; }

  // ---- For the driver of code generation.
  // Everything emitted from now on is attributed to it; restored by the caller.
  const hlo::Instruction* SetCurrent(const hlo::Instruction* hlo);
  absl::Status EmitEntry();
  // Once all is emitted: transfers and files of constant columns get their final sizes.
  void FinishColumns();
  SerialProgram& serial() { return serial_; }
  std::map<std::string, neff::Blob>& files() { return files_; }

 private:
  // What a tile in SBUF holds: dims merged among partitions and among free elements.
  struct CacheEntry {
    Nd view;
    int partition_dims;
    Tile tile;
  };

  // Columns that come in together, and the transfer of all of them.
  struct ColumnPool {
    Tile tile;
    uint32_t file = 0;  // variable
    uint32_t dma = 0;
    std::vector<float> values;  // [kPartitions, kPooledColumns]
    int64_t used = 0;
  };

  Engine Choose(const isa::Instruction& instruction, Engine wanted) const;
  Engine ForTwoTensors(const isa::Instruction& instruction, Engine wanted) const;
  bool AllInteger(const isa::Instruction& instruction) const;
  void Append(isa::Instruction instruction, Engine engine);
  Operand Resident(const Operand& psum);  // a copy in SBUF
  void AppendDma(const isa::DmaDescriptor& dma);
  void Transfer(const Nd& dst, const Nd& src, isa::DmaOp op, const Index* index,
                isa::IndexSide side);
  uint32_t DebugEntry();
  uint32_t AddVariable(isa::Variable variable);
  Nd AddFile(DType dtype, const Dims& dims, neff::Blob bytes);
  void SetScalar(const Scalar& scalar, float* imm, Operand* operand);
  void ForgetVar(uint32_t var);
  void Uncache(uint32_t tile);
  void Remember(CacheEntry entry);
  bool HasRows(uint32_t tile) const;
  absl::optional<Operand> PartOf(const CacheEntry& entry, const Nd& view, int partition_dims) const;
  absl::Status EmitInstruction(const hlo::Instruction& hlo);

  const hlo::Module& module_;
  const CodegenOptions& options_;
  absl::Status status_;
  SerialProgram serial_;
  std::map<std::string, neff::Blob> files_;
  const hlo::Instruction* current_ = nullptr;
  absl::flat_hash_map<const hlo::Instruction*, uint32_t> debug_;
  absl::flat_hash_map<const hlo::Instruction*, std::vector<Nd>> values_;
  absl::flat_hash_map<const hlo::Instruction*, std::vector<int64_t>> output_of_;  // entry roots
  absl::flat_hash_map<const void*, Nd> constants_;  // by the literal's bytes
  // By variable: views of a constant, and the constants they were made into.
  absl::flat_hash_map<uint32_t, std::vector<std::pair<Nd, Nd>>> arranged_;
  std::vector<ColumnPool> pools_;
  absl::flat_hash_map<std::array<int64_t, 4>, Operand> columns_;  // of the last pool, and before
  absl::flat_hash_map<std::string, Nd> made_;
  std::vector<uint32_t> outputs_;
  std::vector<bool> output_taken_;
  absl::flat_hash_map<uint32_t, std::vector<CacheEntry>> cache_;  // by HBM variable
  absl::flat_hash_map<uint32_t, uint32_t> cached_tile_;           // tile variable -> HBM variable
  std::deque<uint32_t> cached_order_;                             // tiles, oldest first
  const Unit* epilogue_ = nullptr;
  // Of the computation being emitted: the last unit that reads each home; the one at hand.
  absl::flat_hash_map<uint32_t, size_t> home_read_;
  size_t unit_ = 0;
  int64_t evacuations_ = 0;
  std::array<int64_t, isa::kEngines> load_ = {};  // ps
  int64_t cached_bytes_ = 0;                      // a partition, of those in cached_order_
};

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_EMITTER_H_
