// The recorded program: what capture hands to a backend. A graph is pure data flow: every Value is
// an immutable dense tensor, in-place updates and views of the user's program have become kUpdate
// and kView nodes between them.
//
//   Node       operands        output
//   kInput     -               a device buffer, a parameter of a trace, or host data
//   kConstant  -               a scalar whose value is part of the program
//   kZeros     -               zeros (also what reading uninitialised memory gives)
//   kOp        what it reads   what the *functional* ATen operator returns
//   kView      base            `region` of base's memory, read into a dense tensor
//   kUpdate    base, contents  base with `region` of its memory replaced
//
// Shapes are in elements; strides are torch's (elements), and only say in which order the elements
// of a value lie in the storage it fills. On the device a value is a row-major array of its
// `sizes`; strides never reorder device data.
//
// Nodes are immutable once recorded; everything here may be read from several threads.
#ifndef GLIA_FRONTEND_CAPTURE_GRAPH_H_
#define GLIA_FRONTEND_CAPTURE_GRAPH_H_

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <c10/core/Scalar.h>
#include <c10/core/ScalarType.h>
#include <c10/util/SmallVector.h>
#include <c10/util/intrusive_ptr.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "frontend/capture/block_pool.h"
#include "frontend/capture/hash.h"

namespace glia::capture {

class DeviceData;
struct Node;
using NodePtr = c10::intrusive_ptr<Node>;

struct TensorMeta {
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
  int64_t storage_offset = 0;
  at::ScalarType dtype = at::ScalarType::Float;
  // A number of the user's program (`x + 2`), which takes part in type promotion with the lowest
  // priority: f32[3] + f64[] is f32 either way, but i32[] + i64[] is i32 when the latter is
  // wrapped.
  bool wrapped_number = false;

  int64_t numel() const;
  int64_t nbytes() const;
};

// Row-major strides as torch computes them (a dimension of size 0 counts as 1).
std::vector<int64_t> ContiguousStrides(absl::Span<const int64_t> sizes);

// Output `index` of `node`. A null node stands for an absent optional tensor.
struct Value {
  NodePtr node;
  int32_t index = 0;

  const TensorMeta& meta() const;
  explicit operator bool() const { return node.defined(); }
  friend bool operator==(const Value& a, const Value& b) {
    return a.node == b.node && a.index == b.index;
  }
  friend bool operator!=(const Value& a, const Value& b) { return !(a == b); }
};

enum class NodeKind : uint8_t { kInput, kConstant, kZeros, kOp, kView, kUpdate };

// What each argument of an operator's schema is, computed once per operator.
enum class ArgKind : uint8_t { kAttribute, kTensor, kTensorList };

struct OpInfo {
  c10::OperatorHandle handle;
  std::string name;  // "aten::add.Tensor"; no dot when the overload name is empty
  std::vector<ArgKind> args;
  Hash128 hash;  // of `name`
  // Draws random numbers, unless argument `training` (-1: there is none) is false.
  bool random = false;
  int generator = -1;  // the argument that may name another generator than torch's default
  int training = -1;

  bool Draws(c10::ArrayRef<c10::IValue> arguments) const {
    if (!random) return false;
    return training < 0 || !arguments[training].isBool() || arguments[training].toBool();
  }
};

// The OpInfo of an operator; the pointer is valid for ever. Thread-safe.
const OpInfo* GetOpInfo(const c10::OperatorHandle& handle);
// By qualified name, "aten::add.Tensor"; null when libtorch has no such operator.
const OpInfo* FindOpInfo(const std::string& name);

// What a node is apart from its operands. Equal nodes share one: recording an operator for the
// second time allocates a Node and nothing else.
struct NodeInfo {
  // Of operator, attributes, shapes and types of operands and outputs, region. Never of data.
  Hash128 hash;
  std::vector<TensorMeta> outputs;

  // kOp. `args` follow the schema of `op`; see the accessors of Node.
  const OpInfo* op = nullptr;
  std::vector<c10::IValue> args;
  // kOp: how the operator's returns map to outputs: one entry per return of the schema. count is -1
  // for a Tensor (`first` is -1 when it is undefined, as a gradient nobody asked for), else the
  // length of a Tensor[].
  struct Return {
    int32_t first = 0;
    int32_t count = -1;
  };
  std::vector<Return> returns;

  // kView, kUpdate.
  TensorMeta base;
  TensorMeta region;

  // kConstant.
  c10::Scalar scalar;
};

struct Node final : c10::intrusive_ptr_target {
  Node(NodeKind kind, std::shared_ptr<const NodeInfo> info) : kind(kind), info(std::move(info)) {}
  ~Node() override;
  static void* operator new(size_t) { return BlockPool<Node>::Allocate(); }
  static void operator delete(void* memory) { BlockPool<Node>::Free(memory); }

  const NodeKind kind;
  const std::shared_ptr<const NodeInfo> info;
  // kOp that draws random numbers: two more than the schema has, see Seed.
  c10::SmallVector<Value, 4> operands;

  // kInput: exactly one of the three says where the data comes from. `host` is contiguous and not
  // shared with the user's program.
  std::shared_ptr<DeviceData> data;
  at::Tensor host;
  int64_t parameter = -1;  // position among the inputs of a trace, its seed being the last

  // Where in the user's program it was recorded ("model.py:12 in forward"), where TorchScript
  // knows.
  std::shared_ptr<const std::string> source;

  // Sorting a graph; see BuildGraph.
  mutable uint64_t mark = 0;

  const TensorMeta& output(int i = 0) const { return info->outputs[i]; }
  int num_outputs() const { return static_cast<int>(info->outputs.size()); }

  // kView, kUpdate. The operand operands[0] is an array of base().sizes; its elements lie in memory
  // at base().strides, from offset 0 (not necessarily at the strides of its own meta). region() is
  // the part of that memory that is read or replaced, in elements of region().dtype, which need not
  // be the base's (view.dtype, view_as_real). For kUpdate operands[1] is an array of region().sizes
  // and region().dtype. view.h says what to do with them.
  const TensorMeta& base() const { return info->base; }
  const TensorMeta& region() const { return info->region; }
  // kConstant: an output of shape [] and that value.
  const c10::Scalar& scalar() const { return info->scalar; }

  // kOp. Arguments in the order of the schema. Attributes (numbers, strings, lists of numbers) are
  // arg(i); tensor arguments have the accessors below (arg(i) is None for an absent Tensor?).
  const OpInfo* op() const { return info->op; }
  const c10::FunctionSchema& schema() const { return info->op->handle.schema(); }
  size_t num_args() const { return info->args.size(); }
  const c10::IValue& arg(size_t i) const { return info->args[i]; }
  ArgKind arg_kind(size_t i) const { return info->op->args[i]; }
  // Whether the operator draws random numbers. Then Seed(0), i64[], comes from torch's generator:
  // as data in lazy mode, as one parameter of the whole graph in a trace. Seed(1), i64[], is a
  // constant that tells the operators of one seed apart. Equal seeds give equal numbers.
  bool Draws() const { return info->op->Draws(info->args); }
  const Value& Seed(size_t i) const { return operands[operands.size() - 2 + i]; }
  bool HasTensor(size_t i) const { return arg_kind(i) == ArgKind::kTensor && arg(i).isInt(); }
  // Operand for a Tensor or Tensor? argument; a null Value when it is absent.
  Value Tensor(size_t i) const;
  // Operands for a Tensor[] or Tensor?[] argument; absent elements are null Values. The list itself
  // is absent (Tensor?[]?) when arg(i) is None.
  absl::Span<const Value> TensorList(size_t i) const;
  // Position of the named argument, or -1.
  int ArgIndex(const char* name) const;
};

// How tensor lists are encoded in NodeInfo::args: operands [first, first + count). A tensor
// argument is the index of its operand.
inline int64_t PackOperandRange(int64_t first, int64_t count) { return first << 32 | count; }

struct Graph {
  // Operands before users. Every input is here once, those of a trace even when nothing reads them.
  std::vector<NodePtr> nodes;
  // The kInput nodes: parameters of a trace first, in order, then by first use. Position =
  // parameter number of the program.
  std::vector<NodePtr> inputs;
  // Each a whole storage value or the value of a returned tensor; no duplicates from MarkStep (a
  // trace may return one value twice).
  std::vector<Value> outputs;
  // Determines everything that a lowering can see of the graph except the data of inputs with
  // DeviceData. (The bytes of `host` inputs are not hashed either: they are inputs.)
  Hash128 hash;
};

// Sorts the ancestors of `outputs` and computes the hash. `parameters` come first among the inputs.
std::shared_ptr<Graph> BuildGraph(std::vector<Value> outputs, std::vector<NodePtr> parameters = {});

// For people: one line per node, "%3 = f32[2,4]{4,1} aten::add.Tensor(%1, %2, alpha=1)".
std::string ToString(const Graph& graph);
std::string ToString(const TensorMeta& meta);  // "f32[2,4]", with {strides} when not row-major
std::string DescribeNode(const Node& node);    // operator and operand shapes, for error messages

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_GRAPH_H_
