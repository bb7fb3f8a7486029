#include "frontend/capture/graph.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

namespace glia::capture {

int64_t TensorMeta::numel() const {
  int64_t n = 1;
  for (int64_t s : sizes) n *= s;
  return n;
}

int64_t TensorMeta::nbytes() const {
  return numel() * static_cast<int64_t>(c10::elementSize(dtype));
}

std::vector<int64_t> ContiguousStrides(absl::Span<const int64_t> sizes) {
  std::vector<int64_t> strides(sizes.size());
  int64_t stride = 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= std::max<int64_t>(sizes[d], 1);
  }
  return strides;
}

const TensorMeta& Value::meta() const { return node->output(index); }

namespace {

ArgKind KindOf(const c10::TypePtr& type) {
  const bool is_optional = type->kind() == c10::TypeKind::OptionalType;
  const c10::TypePtr t = is_optional ? type->containedType(0) : type;
  if (t->kind() == c10::TypeKind::TensorType) return ArgKind::kTensor;
  if (t->kind() != c10::TypeKind::ListType) return ArgKind::kAttribute;
  c10::TypePtr element = t->containedType(0);
  if (element->kind() == c10::TypeKind::OptionalType) element = element->containedType(0);
  return element->kind() == c10::TypeKind::TensorType ? ArgKind::kTensorList : ArgKind::kAttribute;
}

struct OpTable {
  std::mutex mutex;
  std::unordered_map<std::string, std::unique_ptr<OpInfo>> ops;
};

bool IsGenerator(c10::TypePtr type) {
  if (type->kind() == c10::TypeKind::OptionalType) type = type->containedType(0);
  return type->kind() == c10::TypeKind::GeneratorType;
}

}  // namespace

const OpInfo* GetOpInfo(const c10::OperatorHandle& handle) {
  static OpTable* table = new OpTable;
  const c10::OperatorName& n = handle.operator_name();
  std::string name = n.overload_name.empty() ? n.name : n.name + "." + n.overload_name;
  std::lock_guard<std::mutex> lock(table->mutex);
  std::unique_ptr<OpInfo>& slot = table->ops[name];
  if (!slot) {
    Hasher hasher;
    hasher.AddBytes(name.data(), name.size());
    slot = std::make_unique<OpInfo>(OpInfo{handle, name, {}, hasher.Get()});
    slot->random = n.name == "aten::native_dropout";
    for (const c10::Argument& a : handle.schema().arguments()) {
      const int i = static_cast<int>(slot->args.size());
      slot->args.push_back(KindOf(a.type()));
      if (IsGenerator(a.type())) {
        slot->random = true;
        slot->generator = i;
      }
      if (a.name() == "training" || a.name() == "train") slot->training = i;
    }
  }
  return slot.get();
}

const OpInfo* FindOpInfo(const std::string& name) {
  const size_t dot = name.find('.');
  const auto handle = c10::Dispatcher::singleton().findSchema(
      {name.substr(0, dot), dot == std::string::npos ? "" : name.substr(dot + 1)});
  return handle ? GetOpInfo(*handle) : nullptr;
}

// A chain of a million nodes must not be freed by a million nested destructors.
Node::~Node() {
  thread_local std::vector<NodePtr>* queue = nullptr;
  if (queue != nullptr) {
    for (Value& v : operands) {
      if (v.node) queue->push_back(std::move(v.node));
    }
    return;
  }
  bool any = false;
  // Several operands may be the same node.
  for (const Value& v : operands) any = any || (v.node && v.node.use_count() <= operands.size());
  if (!any) return;
  std::vector<NodePtr> local;
  queue = &local;
  for (Value& v : operands) {
    if (v.node) local.push_back(std::move(v.node));
  }
  while (!local.empty()) {
    NodePtr last = std::move(local.back());
    local.pop_back();
    last.reset();
  }
  queue = nullptr;
}

Value Node::Tensor(size_t i) const { return HasTensor(i) ? operands[arg(i).toInt()] : Value{}; }

absl::Span<const Value> Node::TensorList(size_t i) const {
  if (!arg(i).isInt()) return {};
  const int64_t range = arg(i).toInt();
  return {operands.data() + (range >> 32), static_cast<size_t>(range & 0xffffffff)};
}

int Node::ArgIndex(const char* name) const {
  const auto& arguments = schema().arguments();
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].name() == name) return static_cast<int>(i);
  }
  return -1;
}

namespace {

// Node::mark is (epoch << 32 | position + 1) while a graph is built; one graph at a time.
class Sorter {
 public:
  Sorter() : epoch_(++last_epoch) {}

  void Add(const NodePtr& node) {
    if (Seen(*node)) return;
    stack_.push_back({&node, 0});
    node->mark = epoch_ << 32;
    while (!stack_.empty()) {
      auto& [n, next] = stack_.back();
      const auto& operands = (*n)->operands;
      while (next < operands.size() && (!operands[next].node || Seen(*operands[next].node))) ++next;
      if (next < operands.size()) {
        const NodePtr& child = operands[next++].node;
        child->mark = epoch_ << 32;
        stack_.push_back({&child, 0});
      } else {
        nodes.push_back(*n);
        (*n)->mark = epoch_ << 32 | nodes.size();
        stack_.pop_back();
      }
    }
  }
  uint64_t Position(const NodePtr& node) const { return node->mark & 0xffffffff; }

  std::vector<NodePtr> nodes;
  static std::mutex mutex;

 private:
  struct Frame {
    const NodePtr* node;
    size_t next;
  };
  bool Seen(const Node& node) const { return node.mark >> 32 == epoch_; }

  static uint64_t last_epoch;
  const uint64_t epoch_;
  std::vector<Frame> stack_;
};
std::mutex Sorter::mutex;
uint64_t Sorter::last_epoch = 0;

}  // namespace

std::shared_ptr<Graph> BuildGraph(std::vector<Value> outputs, std::vector<NodePtr> parameters) {
  auto graph = std::make_shared<Graph>();
  Hasher hasher;
  std::lock_guard<std::mutex> lock(Sorter::mutex);
  Sorter sorter;
  for (const NodePtr& p : parameters) sorter.Add(p);
  for (const Value& v : outputs) sorter.Add(v.node);
  for (const NodePtr& node : sorter.nodes) {
    hasher.Add(static_cast<uint64_t>(node->kind));
    hasher.Add(node->info->hash);
    if (node->kind == NodeKind::kInput) {
      hasher.Add(static_cast<uint64_t>(node->parameter));
      graph->inputs.push_back(node);
    }
    hasher.Add(node->operands.size());
    for (const Value& v : node->operands) {
      hasher.Add(v.node ? sorter.Position(v.node) << 16 | static_cast<uint64_t>(v.index) : 0);
    }
  }
  hasher.Add(outputs.size());
  for (const Value& v : outputs) {
    hasher.Add(sorter.Position(v.node) << 16 | static_cast<uint64_t>(v.index));
  }
  graph->nodes = std::move(sorter.nodes);
  graph->outputs = std::move(outputs);
  graph->hash = hasher.Get();
  return graph;
}

}  // namespace glia::capture
