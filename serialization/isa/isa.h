// The instruction set of the simulated NeuronCore-v2: types, limits and the fixed-size records that a
// NEFF carries. Granularity and names follow the public nki.isa operations; the encoding is ours.
//
// Arithmetic, once and for all (the interpreter is its reference):
//  * PE   multiplies fp32 values of its operands and accumulates in fp32. fp32 pairs with fp32 only;
//         bf16 and fp16 may be mixed.
//  * ACT and DVE convert every input to fp32, compute in fp32 and convert the result to the type of
//         the destination. The bitwise and shift operations of DVE work on the raw integers (<= 32
//         bits, equal input types). A copy between equal types is bit-exact for every type.
//  * POOL computes in two's complement 64-bit integers when all its inputs are integers or booleans
//         (signedness of the first input decides division, remainder, right shift and order), and
//         wraps to the destination; otherwise as DVE.
//  * Conversions: float to integer truncates toward zero, saturates, NaN becomes 0; integer to
//         integer wraps; integer to float and float to narrower float round to nearest even;
//         anything to pred is `!= 0`; comparisons and logical operations give 1 or 0.
//  * Sums along an axis (tensor_reduce, partition_reduce, accumulators, bn_stats) have unspecified order and
//         at least fp32 precision; every other reduction and kScan goes in order, in the domain's type.
//  * In the integer domain and for raw operations an immediate is imm0 (imm1) truncated to an integer;
//         raw operations wrap to the type of the first input, and a shift by its bits or more, or by less
//         than 0, shifts everything out. Between two chained operations of different domains the value
//         converts as if stored in the type of src0.
//  * dst may be one of the sources in instructions that work element by element (and kScan, kSort,
//         kMatchReplace8) if it is the same elements in the same order and of the same size; any other
//         overlap of what is written with what is read is an error. A transfer may not overlap itself.
//  * A trigger (kDma) waits for the results of all instructions before it on its engine; instructions after
//         it do not wait for the transfer. Transfers of one queue run one after the other.
//  * Min and max propagate NaN. Division of an integer by zero gives -1 (all ones), the remainder
//         the dividend, as XLA does.
#ifndef GLIA_SERIALIZATION_ISA_ISA_H_
#define GLIA_SERIALIZATION_ISA_ISA_H_

#include <cstddef>
#include <cstdint>

namespace glia::isa {

// Limits of one core. Source: trainium_inferentia2_arch.rst (aws-neuron-sdk).
inline constexpr int kPartitions = 128;
inline constexpr int64_t kSbufPartitionBytes = 192 * 1024;
inline constexpr int64_t kPsumPartitionBytes = 16 * 1024;
inline constexpr int kPsumBanks = 8;
inline constexpr int64_t kPsumBankBytes = 2048;  // per partition: 512 fp32
inline constexpr int64_t kHbmBytesPerCore = int64_t{16} << 30;
inline constexpr int kMaxMatmulContraction = 128;
inline constexpr int kMaxMatmulStationary = 128;
inline constexpr int kMaxMatmulMoving = 512;
inline constexpr int kFreeDims = 4;
inline constexpr int kDmaDims = 5;
inline constexpr int64_t kMaxFreePsum = 4 * 1024;   // elements of one DVE or ACT access
inline constexpr int64_t kMaxFreeSbuf = 64 * 1024;  // likewise
inline constexpr int kMaxBnStatsFree = 512;
inline constexpr int kSemaphores = 256;
inline constexpr int kDmaQueues = 16;

// The order is the arbitration order of the timing model: the lower number goes first.
enum class Engine : uint8_t { kPe = 0, kAct = 1, kPool = 2, kDve = 3, kSp = 4 };
inline constexpr int kEngines = 5;

enum class DType : uint8_t {
  kPred = 0, kU8 = 1, kI8 = 2, kU16 = 3, kI16 = 4, kU32 = 5, kI32 = 6, kU64 = 7, kI64 = 8,
  kF32 = 9, kBf16 = 10, kF16 = 11,
};

enum class Opcode : uint16_t {
  kNop = 0,        // carries only its semaphores
  // PE. dst is in PSUM, within one bank; sources in SBUF.
  kMatmul = 1,     // dst[M,N] = or += src0[K,M]^T . src1[K,N]; kAccumulate adds to dst
  kPeTranspose = 2,// dst[F,P] = src0[P,F]; P, F <= 128; equal types
  // ACT (and POOL, which is programmable and takes the same functions).
  kActivate = 16,  // dst = fn(src0 * scale + bias); scale: src1 [P,1] fp32 or imm0; bias: src2 [P,1]
                   // fp32 or, without one, 0; fn's parameter: imm1. kAccumulate: acc operand `src3`
                   // [P,1] fp32 += sum over the free axis of the result.
                   // POOL computes in integers if src0 is one and fn works on integers only, or scale is
                   // imm0 == 1 without bias and fn has an integer meaning; else in fp32
  // DVE or POOL.
  kTensorTensor = 32,        // dst = src0 op0 src1
  kTensorScalar = 33,        // dst = (src0 op0 s0) op1 s1; s0: src1 [P,1] or imm0; s1: src2 [P,1] or
                             // imm1; kReverse0/1 swap the operands of op0/op1; op1 may be kBypass
  kScalarTensorTensor = 34,  // dst = (src0 op0 s) op1 src1; s: src2 [P,1] or imm0
  kTensorCopy = 35,          // dst = convert(src0)
  kSelect = 36,              // dst = src0 != 0 ? src1 : src2
  kCopyPredicated = 37,      // where src1 != 0: dst = convert(src0)
  kMemset = 38,              // dst = imm (imm0 for float types, imm_int for the others)
  kTensorReduce = 39,        // dst = op0 over the innermost `dims` free dimensions of src0
  kScan = 40,                // dst[i] = dst[i-1] op0 src0[i] along the innermost free dimension, starting
                             // from src1 [P,1] or imm0/imm_int. One scan per index of the outer ones
  kReciprocal = 41,          // dst = 1 / src0
  kBnStats = 42,             // dst[P,6]: count, mean, M2 of the even then of the odd elements, fp32
  kBnAggr = 43,              // dst[P,2]: mean, variance (of the population) of triples count, mean, M2
  kMax8 = 44,                // dst[P,8] = 8 largest of src0 (8..16384), descending, NaN first
  kFindIndex8 = 45,          // dst[P,8] u32 = first index in src0 of each value of src1[P,8], each position once;
                             // NaN matches NaN; 2^32 - 1 where there is none
  kMatchReplace8 = 46,       // dst = src0 with the first match of each of src1[P,8] replaced by imm0
  kTranspose32 = 47,         // DVE: each 32x32 block transposed; equal types
  // POOL only.
  kIota = 64,                // dst = imm_int + mult * partition + sum pattern[i] * index[i]; partition and
                             // index count from 0 within dst
  kAffineSelect = 65,        // dst = (iota expression, as kIota) op0 0 ? src0 : imm0 (imm_int2 for integers)
  kPartitionReduce = 66,     // dst[1,F] = op0 over the partitions of src0[P,F]
  kPartitionBroadcast = 67,  // dst[P,F] = src0[1,F]
  kGather = 68,              // dst[p,i] = src0[p, src1[p,i]], src1 i32 or i64 in range,
                             // else the run ends with an out-of-bounds error
  kScatterAdd = 69,          // dst[p, src1[p,i]] op0= src0[p,i] in order of i; op0 kBypass stores
  kSort = 70,                // rows of dst sorted, stable, ascending (kDescending: descending) by src0;
                             // src2 if present is a permuted payload written to `src3`. NaN sorts as the
                             // largest, -0 and 0 are equal
  kPhilox = 71,              // dst u32 = Philox4x32-10 of key (imm_int): element i of dst, counted through
                             // the partitions, is word i % 4 of the block of counter imm_int2 + i / 4
  // Any engine but PE issues transfers; they run on a queue and complete on their own.
  kDma = 96,                 // starts DmaDescriptor `dma`
};

// fp32 functions, or 64-bit integer ones on POOL. Two-operand arithmetic.
enum class AluOp : uint8_t {
  kBypass = 0, kAdd, kSubtract, kMultiply, kDivide, kMax, kMin, kPower, kRemainder, kAtan2,
  kAnd, kOr, kXor, kShiftLeft, kShiftRightLogical, kShiftRightArithmetic,  // raw integers
  kLogicalAnd, kLogicalOr, kLogicalXor,
  kEq, kNe, kGt, kGe, kLt, kLe,
  kAbsMax,      // max(|a|, |b|)
  kFloorDivide, // integers: rounds toward minus infinity
};

// Unary functions. The first group is ACT's table (nki.api.shared); those after kFirstPool have no
// table there and run on POOL only.
enum class ActFn : uint8_t {
  kCopy = 0, kRelu, kLeakyRelu /* imm1 = slope */, kSigmoid, kTanh, kExp, kLog, kSqrt, kRsqrt, kSquare,
  kAbs, kSign, kErf, kGelu, kGeluTanh, kSilu, kSoftplus, kMish, kSin /* |x| <= pi */, kArctan, kReciprocal,
  kFirstPool = 64,
  kFloor = 64, kCeil, kRoundEven, kRoundAway, kTrunc, kExpm1, kLog1p, kCbrt, kCos, kSinWide, kTan, kIsFinite,
  kNot /* bitwise; logical for pred */, kNegate, kPopcount, kClz, kAbsInt, kSignInt,
};

// One operand: `num_partitions` partitions of a variable, and in each the elements
// offset/size-of-dtype + sum index[i] * stride[i]. Dimension 0 is the outermost. Sizes of unused
// dimensions are 1. A `stride` of 0 repeats. Strides are in elements.
struct Operand {
  uint32_t var = UINT32_MAX;     // index into Program::variables; UINT32_MAX: no operand
  uint32_t offset = 0;           // bytes from the variable's start, within each partition
  uint8_t partition = 0;         // relative to the variable's first partition
  uint8_t num_partitions = 0;
  DType dtype = DType::kF32;
  uint8_t reserved = 0;
  uint16_t size[kFreeDims] = {1, 1, 1, 1};
  int16_t stride[kFreeDims] = {0, 0, 0, 0};
  uint32_t reserved2 = 0;

  bool present() const { return var != UINT32_MAX; }
  int64_t free_elements() const { return int64_t{size[0]} * size[1] * size[2] * size[3]; }
};
static_assert(sizeof(Operand) == 32);

enum InstructionFlags : uint8_t {
  kAccumulate = 1,
  kReverse0 = 2,
  kReverse1 = 4,
  kDescending = 8,
  kExactOneZero = 16,  // kMatmul in fp32: one operand holds only ones and zeros, half the cycles
};

inline constexpr uint16_t kNoSemaphore = 0xffff;

// One record of an engine's stream. All fields little-endian, no padding; unused fields are 0.
struct Instruction {
  Opcode opcode = Opcode::kNop;
  uint8_t flags = 0;
  AluOp op0 = AluOp::kBypass;
  AluOp op1 = AluOp::kBypass;
  ActFn fn = ActFn::kCopy;
  uint8_t dims = 0;                    // kTensorReduce
  uint8_t reserved = 0;
  uint16_t wait_semaphore = kNoSemaphore;  // starts when semaphore >= wait_value
  uint16_t inc_semaphore = kNoSemaphore;   // on completion (kDma: of the transfer) += inc_value
  uint32_t wait_value = 0;
  uint32_t inc_value = 0;
  uint32_t dma = UINT32_MAX;           // index into Program::dmas
  uint32_t debug = UINT32_MAX;         // index into Program::debug
  float imm0 = 0;
  float imm1 = 0;
  int32_t pattern[kFreeDims] = {0, 0, 0, 0};  // kIota, kAffineSelect: step of each free dimension
  int32_t mult = 0;                           // likewise: step of the partition
  uint32_t reserved2 = 0;
  uint32_t reserved3 = 0;
  int64_t imm_int = 0;
  int64_t imm_int2 = 0;
  Operand dst, src0, src1, src2, src3;
};
static_assert(sizeof(Instruction) == 240);

enum class IndexSide : uint8_t { kNone = 0, kSource = 1, kDestination = 2 };
enum class DmaOp : uint8_t { kCopy = 0, kAdd = 1, kMax = 2, kMin = 3, kMultiply = 4 };

// A transfer of size[0] x ... x size[4] elements of `element_bytes`. A variable in HBM is a row of
// bytes; one in SBUF or PSUM is seen as row-major [partitions, bytes per partition]. Strides are in
// bytes; dimension 0 is the outermost; unused sizes are 1.
// With an index side, the address on that side for index i of dimension 0 is
//   offset + value(i) * index_stride + (the strides of dimensions 1..4),
// where value(i) is the i-th i32 of `index_var` (in SBUF or HBM, contiguous in the linear view) and
// must lie in [0, index_bound): outside of it the run ends with an out-of-bounds error.
// Elements move in the order of the iteration; with kAdd etc. dst = dst op src in dtype.
struct DmaDescriptor {
  uint32_t dst_var = UINT32_MAX;
  uint32_t src_var = UINT32_MAX;
  uint64_t dst_offset = 0;
  uint64_t src_offset = 0;
  uint8_t element_bytes = 1;  // 1, 2, 4 or 8
  DmaOp op = DmaOp::kCopy;
  DType dtype = DType::kU8;   // used by op other than kCopy
  IndexSide index_side = IndexSide::kNone;
  uint16_t queue = 0;
  uint16_t reserved = 0;
  uint32_t size[kDmaDims] = {1, 1, 1, 1, 1};
  uint32_t index_var = UINT32_MAX;
  int64_t dst_stride[kDmaDims] = {0, 0, 0, 0, 0};
  int64_t src_stride[kDmaDims] = {0, 0, 0, 0, 0};
  uint64_t index_offset = 0;
  int64_t index_stride = 0;
  int64_t index_bound = 0;
};
static_assert(sizeof(DmaDescriptor) == 160);

}  // namespace glia::isa

#endif  // GLIA_SERIALIZATION_ISA_ISA_H_
