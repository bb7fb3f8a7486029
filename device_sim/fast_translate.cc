#include "device_sim/fast_translate.h"

#include <algorithm>
#include <cstring>

#include "device_sim/kernels_narrow.h"
#include "serialization/isa/table.h"

namespace glia::device::fast {
namespace {

using isa::Opcode;

constexpr size_t kMaxOpenGroups = 8;
// Transfers of fewer bytes stay on one thread.
constexpr int64_t kSplitBytes = 64 << 10;
// Chains with fewer elements stay on one thread.
constexpr int64_t kParallelElements = 16 << 10;
// A chain ends when it has used so many places: each new node is compared with all of them.
constexpr size_t kMaxTouches = 512;
// Bytes of a partition that taps add to together.
constexpr int64_t kMaxTapBytes = 64 << 10;
// What a scaled term of 16 elements takes, in elements of other instructions.
constexpr int64_t kElementsPerTerm = 8;
// Multiplications of the tensor engine that take as long as one element of the others.
constexpr int64_t kMultiplicationsPerElement = 32;
// Weights beyond this are laid out for the kernels at each run: a second copy of a large model's
// would not be worth its memory.
constexpr int64_t kMaxPackedBytes = 112 << 20;
// Of the bytes of constants that are more than that, how much products may have packed in fp32.
constexpr int64_t kFilePercent = 25;

// Instructions whose result in a partition depends on that partition alone, wherever it is.
bool WorksByPartition(Opcode opcode) {
  switch (opcode) {
    case Opcode::kActivate:
    case Opcode::kTensorTensor:
    case Opcode::kTensorScalar:
    case Opcode::kScalarTensorTensor:
    case Opcode::kTensorCopy:
    case Opcode::kSelect:
    case Opcode::kCopyPredicated:
    case Opcode::kMemset:
    case Opcode::kTensorReduce:
    case Opcode::kScan:
    case Opcode::kReciprocal:
    case Opcode::kBnStats:
    case Opcode::kBnAggr:
      return true;
    default:
      return false;
  }
}

// Indices are checked when it runs.
bool MayFail(const isa::Program& program, const isa::Instruction& i) {
  return i.opcode == Opcode::kGather || i.opcode == Opcode::kScatterAdd ||
         (i.opcode == Opcode::kDma && program.dmas[i.dma].index_side != isa::IndexSide::kNone);
}

// One sequence of steps for each thread; they do not touch each other's bytes.
class Lanes final : public Step {
 public:
  explicit Lanes(std::vector<Steps> lanes, bool parallel)
      : lanes_(std::move(lanes)), parallel_(parallel) {}
  bool Run(RunContext& context) override {
    const auto run = [&](int lane) {
      RunContext own;
      own.hbm = context.hbm;
      own.rows = context.all_rows + lane;
      own.all_rows = context.all_rows;
      own.pool = context.pool;
      own.epoch = context.epoch;
      for (const auto& step : lanes_[lane]) step->Run(own);  // none of them can fail
    };
    const int n = static_cast<int>(lanes_.size());
    if (parallel_) {
      context.pool->ForEach(n, run);
    } else {
      for (int lane = 0; lane < n; ++lane) run(lane);
    }
    return true;
  }

 private:
  const std::vector<Steps> lanes_;
  const bool parallel_;
};

// Both views have the same dimensions; whether their elements have the same bits.
bool SameBits(const View& x, const View& y) {
  constexpr int kInner = isa::kFreeDims - 1;
  const bool rows = x.stride[kInner] == x.bytes && y.stride[kInner] == x.bytes;
  const int64_t outer = x.partitions * x.size[0] * x.size[1] * x.size[2];
  for (int64_t r = 0; r < outer; ++r) {
    const uint8_t* p = x.base;
    const uint8_t* q = y.base;
    int64_t rest = r;
    for (int k = kInner - 1; k >= 0; --k) {
      const int64_t index = rest % x.size[k];
      rest /= x.size[k];
      p += index * x.stride[k];
      q += index * y.stride[k];
    }
    p += rest * x.pitch;
    q += rest * y.pitch;
    if (rows) {
      if (std::memcmp(p, q, x.size[kInner] * x.bytes) != 0) return false;
      continue;
    }
    for (int64_t e = 0; e < x.size[kInner]; ++e) {
      if (std::memcmp(p + e * x.stride[kInner], q + e * y.stride[kInner], x.bytes) != 0)
        return false;
    }
  }
  return true;
}

}  // namespace

Translator::Translator(const isa::Program& program, const Memories& memories,
                       absl::Span<const uint8_t* const> constants, ThreadPool& pool, Rows* rows,
                       Storage& storage)
    : program_(program),
      constants_(constants),
      pool_(pool),
      rows_(rows),
      storage_(storage),
      context_{program, memories, kernels::GetElementwise(), kernels::GetMatmul(), &lists_,
               -1,      {}} {
  int64_t files = 0, budget = 0;
  for (size_t i = 0; i < constants.size(); ++i) {
    bindings_.push_back(const_cast<uint8_t*>(constants[i]));  // read only
    const auto known = bindings_.begin() + static_cast<ptrdiff_t>(i);
    if (constants[i] == nullptr || std::find(bindings_.begin(), known, *known) != known) continue;
    const isa::Variable& v = program.variables[i];
    (v.kind == isa::VariableKind::kFile ? files : budget) += v.bytes;
  }
  lists_.SetBudget(budget + (files <= kMaxPackedBytes ? files : files * kFilePercent / 100));
}

std::vector<Translator::Access> Translator::AccessesOf(const isa::Instruction& i) const {
  std::vector<Access> accesses;
  if (i.opcode == Opcode::kDma) {
    const isa::DmaDescriptor& d = program_.dmas[i.dma];
    const DmaFootprints f = FootprintsOf(program_, d);
    for (const Footprint& r : f.reads) accesses.push_back({r, nullptr, true, false});
    // By an index it writes some of what it may: the rest is still that of earlier writers.
    const bool keeps = d.op != isa::DmaOp::kCopy || d.index_side == isa::IndexSide::kDestination;
    for (const Footprint& w : f.writes) accesses.push_back({w, nullptr, keeps, true});
    return accesses;
  }
  for (const isa::OperandAccess& a : isa::AccessesOf(i)) {
    accesses.push_back({FootprintOf(program_, *a.operand), a.operand, a.reads, a.writes});
  }
  return accesses;
}

void Translator::Emit(const Group& group) {
  Node& node = nodes_[group.node];
  if (group.windows) {
    EmitWindows(group, node);
  } else {
    std::vector<Product> products;
    for (const WindowProduct& p : group.products) products.push_back(p);
    node.steps.push_back(
        MakeMatmul(context_, group.dst_view, std::move(products), group.accumulate));
  }
  emitted_.push_back(group.node);
}

// Whether the group's products read their moving operands whole and in order: a plain product, with
// more columns than the kernel for few has.
bool Translator::IsPlain(const Group& group) const {
  return group.dst_view.free() > kernels::kNarrowColumns &&
         std::all_of(group.products.begin(), group.products.end(), [&](const WindowProduct& p) {
           const View& v = p.stationary;
           return p.dst.free() == group.dst_view.free() && p.moving.FreeContiguous() &&
                  v.size[0] * v.size[1] * v.size[2] == 1;
         });
}

// Each thread makes its range of the result's partitions.
void Translator::EmitWindows(const Group& group, Node& node) {
  const bool plain = IsPlain(group);
  std::shared_ptr<const WindowPlan> plan;
  bool packed = false;
  if (!plain) {
    plan = std::make_shared<const WindowPlan>(context_, group.dst_view, group.products,
                                              group.accumulate);
    for (const WindowProduct& p : group.products) {
      packed_bytes_ += p.stationary.elements() * p.stationary.bytes;
    }
    packed = packed_bytes_ <= kMaxPackedBytes;
  }
  const auto make = [&](int64_t begin, int64_t count) -> std::unique_ptr<Step> {
    if (!plain) return std::make_unique<WindowStep>(plan, begin, count, packed);
    View dst = group.dst_view;
    dst.base += begin * dst.pitch;
    dst.partitions = count;
    std::vector<Product> products;
    for (const WindowProduct& p : group.products) {
      products.push_back(p);
      View& rows = products.back().stationary;
      rows.base += begin * rows.stride[isa::kFreeDims - 1];
      rows.size[isa::kFreeDims - 1] = count;
    }
    return MakeMatmul(context_, dst, std::move(products), group.accumulate);
  };
  const int64_t rows = group.dst_view.partitions, lanes = std::min<int64_t>(pool_.threads(), rows);
  if (lanes < 2) {
    node.steps.push_back(make(0, rows));
    return;
  }
  node.lanes.resize(lanes);
  for (int64_t lane = 0; lane < lanes; ++lane) {
    context_.lane = static_cast<int>(lane);
    const int64_t begin = rows * lane / lanes, end = rows * (lane + 1) / lanes;
    node.lanes[lane].push_back(make(begin, end - begin));
  }
  context_.lane = -1;
  int64_t depth = 0;
  for (const WindowProduct& p : group.products) depth += p.stationary.partitions;
  node.elements = depth * rows * group.dst_view.free() / kMultiplicationsPerElement;
  node.windows = plan;
  node.touches.push_back(
      {group.dst.space, BoundsOf(group.dst), true, {group.partition, static_cast<int>(rows)}});
  for (const Footprint& f : group.operands) {
    node.touches.push_back({f.space, BoundsOf(f), false, {-1, 0}});
  }
}

void Translator::Emit(const Taps& taps) {
  Node& node = nodes_[taps.node];
  const auto plan = std::make_shared<const StencilPlan>(taps.taps);
  const int64_t rows = plan->rows(), lanes = std::min<int64_t>(pool_.threads(), rows);
  if (lanes < 2) {
    node.steps.push_back(MakeStencilStep(plan, 0, rows));
  } else {
    node.lanes.resize(lanes);
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const int64_t begin = rows * lane / lanes, end = rows * (lane + 1) / lanes;
      node.lanes[lane].push_back(MakeStencilStep(plan, begin, end - begin));
    }
    node.elements = plan->terms() * rows * kElementsPerTerm;
    node.touches.push_back({taps.space, taps.dst, true, taps.partitions});
    for (const Footprint& f : taps.operands) {
      node.touches.push_back({f.space, BoundsOf(f), false, taps.partitions});
    }
  }
  emitted_.push_back(taps.node);
}

// Emits what is open and the accesses depend on or disturb, in the order in which it began, but not
// the node `except`.
void Translator::CloseGroups(const std::vector<Access>& accesses, int64_t except) {
  const auto conflicts = [&](int32_t space, const Box& dst,
                             const std::vector<Footprint>& operands) {
    for (const Access& a : accesses) {
      const Box box = BoundsOf(a.footprint);
      if (space == a.footprint.space && dst.Meets(box)) return true;
      const auto meets = [&](const Footprint& f) {
        return f.space == a.footprint.space && BoundsOf(f).Meets(box);
      };
      if (a.writes && std::any_of(operands.begin(), operands.end(), meets)) return true;
    }
    return false;
  };
  for (size_t i = 0; i < open_.size();) {
    const Group& g = open_[i];
    if (g.node == except || !conflicts(g.dst.space, BoundsOf(g.dst), g.operands)) {
      ++i;
      continue;
    }
    Emit(g);
    open_.erase(open_.begin() + static_cast<ptrdiff_t>(i));
  }
  for (size_t i = 0; i < open_taps_.size();) {
    const Taps& t = open_taps_[i];
    if (t.node == except || !conflicts(t.space, t.dst, t.operands)) {
      ++i;
      continue;
    }
    Emit(t);
    open_taps_.erase(open_taps_.begin() + static_cast<ptrdiff_t>(i));
  }
}

// The open group that an accumulating product can join: into the same place, or into part of a
// result that windows make up.
Translator::Group* Translator::FindGroup(const Footprint& dst, const WindowProduct& product,
                                         bool constant) {
  for (Group& g : open_) {
    const bool same = SameBytes(g.dst, dst);
    const bool window = g.windows && constant && WindowPlan::Accepts(g.dst_view, product);
    if (same) {
      // What has parts stays a group of windows.
      const bool parts =
          std::any_of(g.products.begin(), g.products.end(),
                      [&](const WindowProduct& p) { return p.dst.free() != g.dst_view.free(); });
      if (!window && parts) return nullptr;
      g.windows = window;
      return &g;
    }
    if (window && WindowPlan::Finite(product.stationary)) return &g;
  }
  return nullptr;
}

void Translator::Matmul(const isa::Instruction& i, StreamPosition at,
                        const std::vector<Access>& accesses) {
  const Footprint& dst = accesses[0].footprint;
  const bool accumulates = (i.flags & isa::kAccumulate) != 0;
  std::vector<Footprint> reads;
  std::vector<uint32_t> inputs;
  bool constant = true;  // the operand last resolved
  const auto source = [&](const isa::Operand& operand, Product::Known& known) {
    const Footprint f = FootprintOf(program_, operand);
    const Dataflow::Origin origin = flow_->Read(f);
    constant = origin.constant;
    known = {IdentityOf(operand, origin), constant};
    if (constant) return ConstantView(operand, origin);
    reads.push_back(f);
    inputs.insert(inputs.end(), origin.nodes.begin(), origin.nodes.end());
    return MakeView(program_, context_.memories, operand);
  };
  WindowProduct product;
  product.dst = context_.ViewOf(i.dst);
  product.moving = source(i.src1, product.of_moving);
  product.stationary = source(i.src0, product.of_stationary);
  Group* group = accumulates ? FindGroup(dst, product, constant) : nullptr;
  const int64_t joined = group != nullptr ? int64_t{group->node} : -1;
  CloseGroups(accesses, joined);
  if (group == nullptr) {
    if (open_.size() == kMaxOpenGroups) {
      Emit(open_.front());
      open_.erase(open_.begin());
    }
    Group g;
    g.node = static_cast<uint32_t>(nodes_.size());
    g.dst = dst;
    g.dst_view = product.dst;
    g.partition = program_.variables[i.dst.var].partition + i.dst.partition;
    g.accumulate = accumulates;
    g.windows = constant && WindowPlan::Accepts(product.dst, product);
    open_.push_back(std::move(g));
    nodes_.emplace_back();
    nodes_.back().at = at;
    if (accumulates) nodes_.back().inputs = flow_->Read(dst).nodes;
  }
  const int64_t node = joined >= 0 ? joined : int64_t{open_.back().node};
  group =
      &*std::find_if(open_.begin(), open_.end(), [&](const Group& g) { return g.node == node; });
  group->operands.insert(group->operands.end(), reads.begin(), reads.end());
  std::vector<uint32_t>& of = nodes_[group->node].inputs;
  of.insert(of.end(), inputs.begin(), inputs.end());
  group->products.push_back(product);
  flow_->Write(dst, group->node, false);
}

// Takes an instruction that adds a scaled window to what is there; false if it is none, or all of
// it is constant.
bool Translator::Tap(const isa::Instruction& i, StreamPosition at,
                     const std::vector<Access>& accesses) {
  if (i.opcode != Opcode::kScalarTensorTensor) return false;
  const auto first_of = [&](const isa::Operand& o) {
    return program_.variables[o.var].partition + o.partition;
  };
  context_.redirects.clear();
  std::vector<Footprint> reads;
  std::vector<uint32_t> inputs;
  const Footprint* dst = nullptr;
  bool fits = true;
  for (const Access& a : accesses) {
    const Dataflow::Origin origin = flow_->Read(a.footprint);
    if (a.writes || a.operand == &i.src1) {
      if (a.writes) dst = &a.footprint;
      inputs.insert(inputs.end(), origin.nodes.begin(), origin.nodes.end());
    } else if (origin.constant && a.operand == &i.src2) {
      context_.redirects.push_back({a.operand, ConstantView(*a.operand, origin)});
    } else {
      fits = fits && !origin.constant && first_of(*a.operand) == first_of(i.dst) &&
             a.operand->num_partitions == i.dst.num_partitions;
      reads.push_back(a.footprint);
      inputs.insert(inputs.end(), origin.nodes.begin(), origin.nodes.end());
    }
  }
  StencilTap tap;
  fits = fits && StencilPlan::Accepts(context_, i, &tap);
  context_.redirects.clear();
  if (!fits) return false;
  Taps next;
  next.space = dst->space;
  next.dst = BoundsOf(*dst);
  next.partitions = {first_of(i.dst), i.dst.num_partitions};
  // Sources must not be what is added to.
  const auto apart = [&](const Box& box, const std::vector<Footprint>& operands) {
    return std::none_of(operands.begin(), operands.end(), [&](const Footprint& f) {
      return f.space == next.space && BoundsOf(f).Meets(box);
    });
  };
  if (!apart(next.dst, reads)) return false;
  int64_t joined = -1;
  for (Taps& t : open_taps_) {
    if (t.space != next.space || t.partitions != next.partitions || !t.dst.Meets(next.dst))
      continue;
    Box all = t.dst;
    all.low = std::min(all.low, next.dst.low);
    all.high = std::max(all.high, next.dst.high);
    if (!StencilPlan::Alike(t.taps[0], tap) || all.high - all.low > kMaxTapBytes) continue;
    if (!apart(all, reads) || !apart(all, t.operands)) continue;
    t.dst = all;
    joined = t.node;
    break;
  }
  CloseGroups(accesses, joined);
  if (joined < 0) {
    if (open_taps_.size() == kMaxOpenGroups) {
      Emit(open_taps_.front());
      open_taps_.erase(open_taps_.begin());
    }
    next.node = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
    nodes_.back().at = at;
    open_taps_.push_back(std::move(next));
    joined = open_taps_.back().node;
  }
  Taps& taps = *std::find_if(open_taps_.begin(), open_taps_.end(),
                             [&](const Taps& t) { return t.node == joined; });
  taps.taps.push_back(tap);
  taps.operands.insert(taps.operands.end(), reads.begin(), reads.end());
  std::vector<uint32_t>& of = nodes_[taps.node].inputs;
  of.insert(of.end(), inputs.begin(), inputs.end());
  flow_->Write(*dst, taps.node, false);
  return true;
}

void Translator::Other(isa::Engine engine, const isa::Instruction& i, StreamPosition at,
                       const std::vector<Access>& accesses) {
  CloseGroups(accesses, -1);
  const auto id = static_cast<uint32_t>(nodes_.size());
  nodes_.emplace_back();
  Node& node = nodes_.back();
  node.at = at;
  bool constant = true;
  const int first_partition =
      i.opcode == Opcode::kDma ? -1 : program_.variables[i.dst.var].partition + i.dst.partition;
  context_.redirects.clear();
  for (const Access& a : accesses) {
    if (a.writes && a.footprint.space > kPsumSpace) {
      // Scratch has no address yet; outputs leave the core.
      node.kept = a.footprint.space >= kFirstVariableSpace || node.kept;
      constant = false;
    }
    if (!a.reads) continue;
    const Dataflow::Origin origin = flow_->Read(a.footprint);
    constant = constant && origin.constant;
    if (origin.constant && a.operand != nullptr && !a.writes) {
      context_.redirects.push_back({a.operand, ConstantView(*a.operand, origin)});
    } else {
      node.inputs.insert(node.inputs.end(), origin.nodes.begin(), origin.nodes.end());
    }
  }
  Decode(engine, i, node);
  for (const Access& a : accesses) {
    if (node.lanes.empty()) break;
    const bool redirected =
        std::any_of(context_.redirects.begin(), context_.redirects.end(),
                    [&](const DecodeContext::Redirect& r) { return r.operand == a.operand; });
    if (redirected) continue;
    const bool by_lane = i.opcode != Opcode::kDma;
    node.touches.push_back({a.footprint.space, BoundsOf(a.footprint), a.writes,
                            by_lane ? std::make_pair(first_partition, int{i.dst.num_partitions})
                                    : std::make_pair(-1, 0)});
  }
  context_.redirects.clear();
  constant = constant && RunNow(node);
  if (MayFail(program_, i) && !constant) node.kept = true;
  for (const Access& a : accesses) {
    if (a.writes) flow_->Write(a.footprint, id, constant);
  }
  emitted_.push_back(id);
}

bool Translator::RunNow(Node& node) {
  RunContext context;
  context.hbm = bindings_.data();
  context.rows = context.all_rows = rows_;
  context.pool = &pool_;
  for (const auto& step : node.steps) {
    if (!step->Run(context)) return false;
  }
  for (const Steps& lane : node.lanes) {
    for (const auto& step : lane) step->Run(context);
  }
  return true;
}

void Translator::DecodeOne(isa::Engine engine, const isa::Instruction& i, Steps& steps) const {
  switch (i.opcode) {
    case Opcode::kActivate:
    case Opcode::kTensorTensor:
    case Opcode::kTensorScalar:
    case Opcode::kScalarTensorTensor:
    case Opcode::kReciprocal:
      return DecodeElementwise(context_, engine, i, steps);
    case Opcode::kTensorCopy:
    case Opcode::kSelect:
    case Opcode::kCopyPredicated:
    case Opcode::kMemset:
    case Opcode::kPeTranspose:
    case Opcode::kPartitionBroadcast:
      return DecodeMove(context_, engine, i, steps);
    case Opcode::kTensorReduce:
    case Opcode::kPartitionReduce:
      return DecodeReduce(context_, engine, i, steps);
    case Opcode::kDma:
      return DecodeDma(context_, program_.dmas[i.dma], steps);
    default:
      return DecodeScalar(context_, engine, i, steps);
  }
}

void Translator::Decode(isa::Engine engine, const isa::Instruction& i, Node& node) {
  const bool split = i.opcode == Opcode::kDma
                         ? DecodeDmaLanes(program_.dmas[i.dma], node)
                         : WorksByPartition(i.opcode) && DecodeLanes(engine, i, node);
  if (!split) DecodeOne(engine, i, node.steps);
}

// Operands keep to their partitions: then ranges of partitions are independent.
bool Translator::DecodeLanes(isa::Engine engine, const isa::Instruction& i, Node& node) {
  const int lanes = std::min<int>(pool_.threads(), i.dst.num_partitions);
  if (lanes < 2) return false;
  const isa::InstructionInfo& info = *isa::FindInstruction(i.opcode);
  const auto first_of = [&](const isa::Operand& o) {
    return program_.variables[o.var].partition + o.partition;
  };
  const auto redirect_of = [&](const isa::Operand& o) {
    return std::find_if(context_.redirects.begin(), context_.redirects.end(),
                        [&](const DecodeContext::Redirect& r) { return r.operand == &o; });
  };
  for (int k = 0; k < 5; ++k) {
    const isa::Operand& o = isa::GetOperand(i, k);
    if (!info.operands[k].present() || !o.present()) continue;
    if (o.num_partitions != i.dst.num_partitions) return false;
    if (redirect_of(o) == context_.redirects.end() && first_of(o) != first_of(i.dst)) return false;
  }
  node.elements = i.dst.free_elements() * i.dst.num_partitions;
  for (int k = 1; k < 4; ++k) {
    const isa::Operand& o = isa::GetOperand(i, k);
    if (info.operands[k].present() && o.present()) {
      node.elements = std::max(node.elements, o.free_elements() * o.num_partitions);
    }
  }
  node.lanes.resize(lanes);
  const std::vector<DecodeContext::Redirect> whole = context_.redirects;
  for (int lane = 0; lane < lanes; ++lane) {
    const int begin = i.dst.num_partitions * lane / lanes,
              end = i.dst.num_partitions * (lane + 1) / lanes;
    storage_.instructions.push_back(i);
    isa::Instruction& part = storage_.instructions.back();
    context_.redirects.clear();
    for (int k = 0; k < 5; ++k) {
      if (!info.operands[k].present() || !isa::GetOperand(i, k).present()) continue;
      isa::Operand& o = *const_cast<isa::Operand*>(&isa::GetOperand(part, k));  // of our own copy
      o.partition = static_cast<uint8_t>(o.partition + begin);
      o.num_partitions = static_cast<uint8_t>(end - begin);
      for (const DecodeContext::Redirect& r : whole) {
        if (r.operand != &isa::GetOperand(i, k)) continue;
        View v = r.view;
        v.base += begin * v.pitch;
        v.partitions = end - begin;
        context_.redirects.push_back({&o, v});
      }
    }
    DecodeOne(engine, part, node.lanes[lane]);
  }
  context_.redirects = whole;
  return true;
}

// A large transfer between HBM and the core in parts, along its outermost dimension.
bool Translator::DecodeDmaLanes(const isa::DmaDescriptor& d, Node& node) {
  const int lanes = pool_.threads();
  if (lanes < 2 || d.op != isa::DmaOp::kCopy || d.index_side != isa::IndexSide::kNone) return false;
  if (isa::IsHbm(program_.variables[d.dst_var].kind) ==
      isa::IsHbm(program_.variables[d.src_var].kind))
    return false;
  int64_t bytes = d.element_bytes;
  int cut = -1;
  for (int k = 0; k < isa::kDmaDims; ++k) {
    bytes *= d.size[k];
    if (d.size[k] > 1 && d.dst_stride[k] == 0) return false;
    if (cut < 0 && d.size[k] >= static_cast<uint32_t>(lanes)) cut = k;
  }
  if (bytes < kSplitBytes || cut < 0) return false;
  node.lanes.resize(lanes);
  node.elements = bytes;
  for (int lane = 0; lane < lanes; ++lane) {
    const int64_t begin = int64_t{d.size[cut]} * lane / lanes,
                  end = int64_t{d.size[cut]} * (lane + 1) / lanes;
    storage_.dmas.push_back(d);
    isa::DmaDescriptor& part = storage_.dmas.back();
    part.size[cut] = static_cast<uint32_t>(end - begin);
    part.dst_offset =
        static_cast<uint64_t>(static_cast<int64_t>(d.dst_offset) + begin * d.dst_stride[cut]);
    part.src_offset =
        static_cast<uint64_t>(static_cast<int64_t>(d.src_offset) + begin * d.src_stride[cut]);
    DecodeDma(context_, part, node.lanes[lane]);
  }
  return true;
}

// Where a constant operand was brought by one transfer from a file whose pattern carries over: the
// file's own bytes. Equal contents are all that matters, so they are compared.
bool Translator::ViewOfFile(const isa::Operand& operand, const View& now, uint32_t node,
                            View& view) const {
  const StreamPosition at = nodes_[node].at;
  const isa::Instruction& i = segment_->streams[static_cast<int>(at.engine)][at.index];
  if (i.opcode != Opcode::kDma) return false;
  const isa::DmaDescriptor& d = program_.dmas[i.dma];
  const isa::Variable& from = program_.variables[d.src_var];
  if (d.index_side != isa::IndexSide::kNone || d.dst_var != operand.var ||
      constants_[d.src_var] == nullptr) {
    return false;
  }
  int order[isa::kDmaDims] = {0, 1, 2, 3, 4};
  std::sort(order, order + isa::kDmaDims,
            [&](int a, int b) { return d.dst_stride[a] > d.dst_stride[b]; });
  const auto source = [&](int64_t linear) {
    int64_t rest = linear - static_cast<int64_t>(d.dst_offset),
            offset = static_cast<int64_t>(d.src_offset);
    for (const int k : order) {
      if (d.size[k] <= 1 || d.dst_stride[k] <= 0) continue;
      const int64_t index = std::min(rest / d.dst_stride[k], int64_t{d.size[k]} - 1);
      rest -= index * d.dst_stride[k];
      offset += index * d.src_stride[k];
    }
    return offset + rest;
  };
  const int64_t row = program_.variables[operand.var].partition_bytes;
  const int64_t start = operand.partition * row + operand.offset;
  const int64_t base = source(start);
  view = now;
  int64_t low = base, high = base + now.bytes;
  const auto stretch = [&](int64_t n, int64_t stride) {
    (stride < 0 ? low : high) += (n - 1) * stride;
  };
  view.pitch = now.partitions > 1 ? source(start + row) - base : 0;
  stretch(now.partitions, view.pitch);
  for (int k = 0; k < isa::kFreeDims; ++k) {
    if (now.size[k] > 1) view.stride[k] = source(start + now.stride[k]) - base;
    stretch(now.size[k], view.stride[k]);
  }
  if (low < 0 || high > from.bytes) return false;
  view.base = const_cast<uint8_t*>(constants_[d.src_var]) + base;  // never written: a source
  if (reinterpret_cast<uintptr_t>(view.base) % now.bytes != 0 || view.pitch % now.bytes != 0)
    return false;
  return SameBits(now, view);
}

namespace {
std::string KeyOf(const isa::Operand& operand, const Dataflow::Origin& origin) {
  std::string key(reinterpret_cast<const char*>(&operand), sizeof(operand));
  for (const uint32_t n : origin.nodes) key.append(reinterpret_cast<const char*>(&n), sizeof(n));
  return key;
}
}  // namespace

uint64_t Translator::IdentityOf(const isa::Operand& operand, const Dataflow::Origin& origin) {
  uint64_t& identity = identities_[KeyOf(operand, origin)];
  if (identity == 0) identity = Identities::Next();
  return identity;
}

View Translator::ConstantView(const isa::Operand& operand, const Dataflow::Origin& origin) {
  std::string key = KeyOf(operand, origin);
  const auto found = views_.find(key);
  if (found != views_.end()) return found->second;
  const View now = MakeView(program_, context_.memories, operand);
  View view;
  if (origin.nodes.size() != 1 || !ViewOfFile(operand, now, origin.nodes[0], view)) {
    storage_.constants.emplace_back(now.elements() * now.bytes + 64);
    std::vector<uint8_t>& bytes = storage_.constants.back();
    view = DenseView(bytes.data(), now.dtype, now.partitions, now.free());
    // The copy has the operand's dimensions.
    int64_t stride = now.bytes;
    for (int k = isa::kFreeDims - 1; k >= 0; --k) {
      view.size[k] = now.size[k];
      view.stride[k] = stride;
      stride *= now.size[k];
    }
    RunContext context;
    MakeCopy(now, view)->Run(context);
  }
  views_.emplace(std::move(key), view);
  return view;
}

TranslatedSegment Translator::Translate(const isa::Segment& segment,
                                        const std::vector<StreamPosition>& order) {
  segment_ = &segment;
  flow_ = std::make_unique<Dataflow>(constants_);
  nodes_.clear();
  emitted_.clear();
  open_.clear();
  open_taps_.clear();
  views_.clear();
  identities_.clear();
  for (const StreamPosition& at : order) {
    const isa::Instruction& i = segment.streams[static_cast<int>(at.engine)][at.index];
    if (i.opcode == Opcode::kNop) continue;
    const std::vector<Access> accesses = AccessesOf(i);
    if (i.opcode == Opcode::kMatmul) {
      Matmul(i, at, accesses);
    } else if (!Tap(i, at, accesses)) {
      Other(at.engine, i, at, accesses);
    }
  }
  for (const Group& g : open_) Emit(g);
  for (const Taps& t : open_taps_) Emit(t);
  open_.clear();
  open_taps_.clear();
  TranslatedSegment result;
  Keep(result);
  return result;
}

// Takes over what is needed: what leaves the core or the segment, and what that was made of.
void Translator::Keep(TranslatedSegment& result) {
  std::vector<uint32_t> work;
  const auto need = [&](uint32_t n) {
    if (!nodes_[n].kept) work.push_back(n);
    nodes_[n].kept = true;
  };
  for (uint32_t n = 0; n < nodes_.size(); ++n) {
    if (nodes_[n].kept) work.push_back(n);
  }
  if (program_.segments.size() > 1) {
    for (const uint32_t n : flow_->Remaining()) need(n);
  }
  while (!work.empty()) {
    const uint32_t n = work.back();
    work.pop_back();
    for (const uint32_t input : nodes_[n].inputs) need(input);
  }
  Assemble(result);
}

// The kept nodes' steps in order. Nodes in lanes that follow each other become one chain, in which
// each thread runs its lane of all of them without waiting for the others.
void Translator::Assemble(TranslatedSegment& result) {
  std::vector<Steps> lanes;
  std::vector<Touch> touches;   // of the chain under way
  const Node* chain = nullptr;  // its first node
  // The last windows in it that others may join: what these make would then be made earlier, so
  // nothing since may have used that place.
  const Node* head = nullptr;
  size_t head_touches = 0;  // before it
  std::vector<Step*> head_steps;
  int64_t elements = 0;
  const auto close = [&] {
    if (chain == nullptr) return;
    result.steps.push_back(
        std::make_unique<Lanes>(std::move(lanes), elements >= kParallelElements));
    result.origin.push_back(chain->at);
    lanes.clear();
    touches.clear();
    head = nullptr;
    chain = nullptr;
    elements = 0;
  };
  // A lane of the node would have to wait for another lane of the chain.
  const auto waits = [&](const Node& node) {
    for (const Touch& t : node.touches) {
      for (const Touch& before : touches) {
        if (t.space != before.space || (!t.writes && !before.writes)) continue;
        if (t.partitions == before.partitions && t.partitions.first >= 0) continue;
        if (t.box.Meets(before.box)) return true;
      }
    }
    return false;
  };
  const auto used = [&](const Touch& t) {
    return std::any_of(
        touches.begin() + static_cast<ptrdiff_t>(head_touches), touches.end(),
        [&](const Touch& since) { return since.space == t.space && since.box.Meets(t.box); });
  };
  for (const uint32_t n : emitted_) {
    Node& node = nodes_[n];
    if (!node.kept) continue;
    if (node.lanes.empty()) {
      close();
      for (auto& step : node.steps) {
        result.steps.push_back(std::move(step));
        result.origin.push_back(node.at);
      }
      continue;
    }
    if (chain != nullptr &&
        (node.lanes.size() != lanes.size() || touches.size() >= kMaxTouches || waits(node))) {
      close();
    }
    if (chain == nullptr) {
      chain = &node;
      lanes.resize(node.lanes.size());
    }
    elements += node.elements;
    const bool joins = head != nullptr && node.windows != nullptr && !used(node.touches[0]) &&
                       head->windows->SharesColumns(*node.windows);
    if (node.windows != nullptr && !joins) {
      head = &node;
      head_touches = touches.size();
      head_steps.clear();
      for (const Steps& steps : node.lanes) head_steps.push_back(steps[0].get());
    }
    touches.insert(touches.end(), node.touches.begin(), node.touches.end());
    if (joins) {
      for (size_t lane = 0; lane < lanes.size(); ++lane) {
        static_cast<WindowStep*>(head_steps[lane])
            ->Join(std::unique_ptr<WindowStep>(
                static_cast<WindowStep*>(node.lanes[lane][0].release())));
      }
      continue;
    }
    for (size_t lane = 0; lane < lanes.size(); ++lane) {
      for (auto& step : node.lanes[lane]) lanes[lane].push_back(std::move(step));
    }
  }
  close();
}

}  // namespace glia::device::fast
