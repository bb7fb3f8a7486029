#include "frontend/capture/record.h"

#include <ATen/ops/scalar_tensor.h>
#include <c10/core/DefaultDtype.h>
#include <c10/core/UndefinedTensorImpl.h>

#include <atomic>
#include <sstream>

#include "frontend/capture/backend.h"
#include "frontend/capture/infer.h"
#include "frontend/capture/info_cache.h"
#include "frontend/capture/metrics.h"
#include "frontend/capture/nodes.h"
#include "frontend/capture/random.h"
#include "frontend/capture/storage.h"
#include "frontend/capture/sync.h"
#include "frontend/capture/trace_session.h"
#include "frontend/capture/varying.h"

namespace glia::capture {
namespace {

thread_local bool numbers_are_inputs = false;

struct OpMemo : NodeInfo {
  // Backend generation << 2 | 1 (supported) or 2 (not).
  mutable std::atomic<uint64_t> support{0};
  mutable VaryingNumbers numbers;
};

// The tensors among the arguments; null for one that is absent.
using Operands = c10::SmallVector<const at::Tensor*, 6>;

bool IsNumber(const at::Tensor& t) {
  return t.device().type() == at::kCPU && t.dim() == 0 &&
         t.unsafeGetTensorImpl()->is_wrapped_number();
}

// False for a type that cannot be part of a graph.
bool AddAttribute(Hasher& hasher, const c10::IValue& v) {
  if (v.isNone()) {
    hasher.Add(1);
  } else if (v.isInt()) {
    hasher.Add(2);
    hasher.Add(static_cast<uint64_t>(v.toInt()));
  } else if (v.isDouble()) {
    const double d = v.toDouble();
    uint64_t bits;
    std::memcpy(&bits, &d, sizeof(bits));
    hasher.Add(3);
    hasher.Add(bits);
  } else if (v.isBool()) {
    hasher.Add(4 + (v.toBool() ? 1 : 0));
  } else if (v.isList()) {
    const auto elements = v.toListRef();
    hasher.Add(6);
    hasher.Add(elements.size());
    for (const c10::IValue& e : elements) {
      if (!AddAttribute(hasher, e)) return false;
    }
  } else if (v.isString()) {
    hasher.Add(7);
    hasher.AddBytes(v.toStringRef().data(), v.toStringRef().size());
  } else if (v.isComplexDouble()) {
    const c10::complex<double> c = v.toComplexDouble();
    const double parts[2] = {c.real(), c.imag()};
    hasher.Add(8);
    hasher.AddBytes(parts, sizeof(parts));
  } else if (v.isDevice()) {
    hasher.Add(9);
    hasher.Add(static_cast<uint64_t>(v.toDevice().type()));
  } else if (v.isGenerator()) {
    hasher.Add(10);
  } else {
    return false;
  }
  return true;
}

void AddOperand(Hasher& hasher, const at::Tensor& t) {
  const bool wrapped = t.unsafeGetTensorImpl()->is_wrapped_number();
  hasher.Add(wrapped ? 12 : 11);
  AddMeta(hasher, t.sizes(), t.strides(), t.scalar_type());
}

// Hashes the call and collects its tensors. Nothing, and which argument, when that cannot be
// recorded.
c10::optional<Hash128> Key(const OpInfo& op, c10::ArrayRef<c10::IValue> arguments,
                           Operands* operands, size_t* refused) {
  Hasher hasher;
  hasher.Add(100);
  hasher.Add(op.hash);
  hasher.Add(static_cast<uint64_t>(c10::get_default_dtype_as_scalartype()));
  auto add_tensor = [&](const c10::IValue& v) {
    if (!v.isTensor() || v.unsafeToTensorImpl() == c10::UndefinedTensorImpl::singleton()) {
      hasher.Add(13);
      return false;
    }
    operands->push_back(&v.toTensor());
    AddOperand(hasher, *operands->back());
    return true;
  };
  for (size_t i = 0; i < arguments.size(); ++i) {
    const c10::IValue& v = arguments[i];
    if (op.args[i] == ArgKind::kAttribute || v.isNone()) {
      if (!AddAttribute(hasher, v)) {
        *refused = i;
        return c10::nullopt;
      }
    } else if (op.args[i] == ArgKind::kTensor) {
      add_tensor(v);
    } else {
      const auto elements = v.toListRef();
      hasher.Add(14);
      hasher.Add(elements.size());
      for (const c10::IValue& e : elements) {
        if (!add_tensor(e)) operands->push_back(nullptr);
      }
    }
  }
  return hasher.Get();
}

// The arguments as a node keeps them.
std::vector<c10::IValue> NodeArguments(const OpInfo& op, c10::ArrayRef<c10::IValue> arguments) {
  std::vector<c10::IValue> result;
  int64_t next = 0;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const c10::IValue& v = arguments[i];
    if (op.args[i] == ArgKind::kAttribute || v.isNone()) {
      result.push_back(v);
    } else if (op.args[i] == ArgKind::kTensor) {
      if (v.unsafeToTensorImpl() == c10::UndefinedTensorImpl::singleton()) {
        result.emplace_back();
      } else {
        result.emplace_back(next++);
      }
    } else {
      const int64_t count = static_cast<int64_t>(v.toListRef().size());
      result.emplace_back(PackOperandRange(next, count));
      next += count;
    }
  }
  return result;
}

std::shared_ptr<const NodeInfo> Infer(const Hash128& key, const OpInfo& op,
                                      c10::ArrayRef<c10::IValue> arguments) {
  static Metric& misses = Counter("capture.memo_misses");
  misses.Add(1);
  auto memo = std::make_shared<OpMemo>();
  memo->hash = key;
  memo->op = &op;
  memo->args = NodeArguments(op, arguments);
  InferOutputs(op, arguments, memo.get());
  return InsertInfo(key, std::move(memo));
}

uint64_t NumberBits(const at::Tensor& t) {
  uint64_t words[2] = {0, 0};
  std::memcpy(words, t.data_ptr(), t.nbytes());
  Hasher hasher;
  hasher.Add(static_cast<uint64_t>(t.scalar_type()));
  hasher.Add(words[0]);
  hasher.Add(words[1]);
  return hasher.Get().lo;
}

// A number that varies, as an input. There is no float64 on the device, and none is wanted unless
// another operand has it.
Value UploadNumber(const at::Tensor& t, const Operands& operands) {
  at::ScalarType dtype = t.scalar_type();
  auto has = [&](at::ScalarType a, at::ScalarType b) {
    for (const at::Tensor* o : operands) {
      if (o != nullptr && !IsNumber(*o) && (o->scalar_type() == a || o->scalar_type() == b))
        return true;
    }
    return false;
  };
  if (!has(at::kDouble, at::kComplexDouble)) {
    if (dtype == at::kDouble) dtype = at::kFloat;
    if (dtype == at::kComplexDouble) dtype = at::kComplexFloat;
  }
  CpuCallGuard guard;
  Value v = Upload(t.to(dtype));
  TensorMeta meta = v.meta();
  meta.wrapped_number = true;
  return MakeDataInput(v.node->data, std::move(meta));
}

// Without libtorch's dispatcher.
c10::Scalar NumberOf(const at::Tensor& t) {
  switch (t.scalar_type()) {
    case at::kDouble:
      return *t.data_ptr<double>();
    case at::kLong:
      return *t.data_ptr<int64_t>();
    case at::kBool:
      return *t.data_ptr<bool>();
    default:
      return t.item();
  }
}

Value ReadOperand(const at::Tensor* t, bool keep_constants, const Operands& operands) {
  if (t == nullptr) return {};
  if (t->device().type() == at::kXLA) return ReadTensor(*t);
  if (IsNumber(*t)) {
    return keep_constants ? MakeConstant(NumberOf(*t), true) : UploadNumber(*t, operands);
  }
  return Upload(*t);
}

}  // namespace

NumbersAreInputs::NumbersAreInputs() : before_(numbers_are_inputs) { numbers_are_inputs = true; }
NumbersAreInputs::~NumbersAreInputs() { numbers_are_inputs = before_; }

std::string SchemaOf(const OpInfo& op) {
  std::ostringstream os;
  os << op.handle.schema();
  return os.str();
}

NodePtr RecordOp(const OpInfo& op, c10::ArrayRef<c10::IValue> arguments) {
  Operands operands;
  size_t refused = 0;
  const c10::optional<Hash128> key = Key(op, arguments, &operands, &refused);
  TraceSession* trace = CurrentTrace();
  if (!key) {
    if (trace != nullptr) {
      RefuseInTrace(SchemaOf(op), "its argument " + op.handle.schema().arguments()[refused].name() +
                                      " is a " + arguments[refused].type()->str() +
                                      ", which cannot be part of a graph");
    }
    return {};
  }
  const std::shared_ptr<const NodeInfo>* found = FindInfo(*key);
  const std::shared_ptr<const NodeInfo> info =
      found != nullptr ? *found : Infer(*key, op, arguments);
  const auto& memo = static_cast<const OpMemo&>(*info);
  const uint64_t generation = static_cast<uint64_t>(BackendGeneration()) << 2;
  if (trace == nullptr && memo.support.load(std::memory_order_relaxed) == (generation | 2))
    return {};

  uint64_t numbers = 0;
  bool any_number = false;
  for (const at::Tensor* t : operands) {
    if (t == nullptr || !IsNumber(*t)) continue;
    any_number = true;
    numbers = numbers * 31 + NumberBits(*t);
  }
  const bool keep_constants =
      trace != nullptr || !any_number || (!numbers_are_inputs && memo.numbers.IsConstant(numbers));
  NodePtr node = c10::make_intrusive<Node>(NodeKind::kOp, info);
  for (const at::Tensor* t : operands)
    node->operands.push_back(ReadOperand(t, keep_constants, operands));
  const bool draws = op.Draws(arguments);
  // Nothing is drawn for what then runs on the CPU.
  if (draws) AppendSeedStandIn(node.get());

  if (trace != nullptr) {
    std::string source = SourceLocation();
    if (!source.empty()) node->source = std::make_shared<const std::string>(std::move(source));
    const absl::Status status = trace->policy.check ? trace->policy.check(*node) : absl::OkStatus();
    if (!status.ok()) {
      ThrowUntraceable(DescribeNode(*node),
                       std::string(status.message()) + " (schema: " + SchemaOf(op) + ")");
    }
    if (TracedCall* call = trace->Current()) call->nodes.push_back(node);
  } else if (memo.support.load(std::memory_order_relaxed) != (generation | 1)) {
    const bool supported = GetBackend()->Supports(*node);
    memo.support.store(generation | (supported ? 1 : 2), std::memory_order_relaxed);
    if (!supported) return {};
  }
  if (draws) DrawSeed(arguments, node.get());
  static Metric& recorded = Counter("capture.ops_recorded");
  recorded.Add(1);
  return node;
}

c10::IValue MakeReturn(const NodePtr& node, size_t i) {
  const NodeInfo::Return& r = node->info->returns[i];
  if (r.count < 0) return r.first < 0 ? at::Tensor() : MakeTensor({node, r.first});
  c10::List<at::Tensor> list;
  for (int32_t k = 0; k < r.count; ++k) list.push_back(MakeTensor({node, r.first + k}));
  return list;
}

}  // namespace glia::capture
