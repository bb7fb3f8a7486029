// Turns a segment's instructions into steps at load: constants are worked out once, accumulation
// groups become one product, element-wise instructions run over ranges of partitions on the
// threads, and what nobody reads is left out.
#ifndef GLIA_DEVICE_SIM_FAST_TRANSLATE_H_
#define GLIA_DEVICE_SIM_FAST_TRANSLATE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device_sim/executor.h"
#include "device_sim/fast_dataflow.h"
#include "device_sim/fast_stencil.h"
#include "device_sim/fast_step.h"
#include "device_sim/fast_window.h"

namespace glia::device::fast {

// What steps refer to, for as long as they live.
struct Storage {
  std::deque<isa::Instruction> instructions;
  std::deque<isa::DmaDescriptor> dmas;
  std::deque<std::vector<uint8_t>> constants;
};

struct TranslatedSegment {
  Steps steps;
  std::vector<StreamPosition> origin;  // of each step
};

class Translator {
 public:
  // `constants`: addresses of the variables whose bytes stay what they are now, null for others. The
  // steps of constants run on `memories` while translating.
  Translator(const isa::Program& program, const Memories& memories,
             absl::Span<const uint8_t* const> constants, ThreadPool& pool, Rows* rows,
             Storage& storage);
  // Each segment once. `order` is a serial order of its instructions.
  TranslatedSegment Translate(const isa::Segment& segment,
                              const std::vector<StreamPosition>& order);

 private:
  // Memory that the lanes of a node use: each lane its range of these partitions, or all of it.
  struct Touch {
    int32_t space;
    Box box;
    bool writes;
    std::pair<int, int> partitions;  // first absolute partition and number; {-1, 0}: not by lanes
  };
  struct Node {
    StreamPosition at;
    Steps steps;
    std::vector<Steps> lanes;    // in place of steps: one for each range of partitions
    std::vector<Touch> touches;  // with lanes: what they read and write
    std::shared_ptr<const WindowPlan> windows;  // with lanes of one WindowStep each
    int64_t elements = 0;          // with lanes: of the result, or as much work as with so many
    std::vector<uint32_t> inputs;  // nodes whose results it reads
    bool kept = false;
  };
  struct Access {
    Footprint footprint;
    const isa::Operand* operand;  // null: of a transfer
    bool reads, writes;
  };
  // Products that accumulate into one place, not yet emitted.
  struct Group {
    uint32_t node;
    Footprint dst;
    View dst_view;
    int partition;  // first absolute one of the result
    bool accumulate;
    bool windows;  // fit for a WindowPlan
    std::vector<WindowProduct> products;
    std::vector<Footprint> operands;  // that are read when it runs
  };

  // Vector instructions that add to one place, not yet emitted.
  struct Taps {
    uint32_t node;
    int32_t space;
    Box dst;
    std::pair<int, int> partitions;
    std::vector<StencilTap> taps;
    std::vector<Footprint> operands;  // that are read when they run
  };

  std::vector<Access> AccessesOf(const isa::Instruction& i) const;
  void CloseGroups(const std::vector<Access>& accesses, int64_t except);
  void Emit(const Group& group);
  void EmitWindows(const Group& group, Node& node);
  bool IsPlain(const Group& group) const;
  void Emit(const Taps& taps);
  Group* FindGroup(const Footprint& dst, const WindowProduct& product, bool constant);
  void Matmul(const isa::Instruction& i, StreamPosition at, const std::vector<Access>& accesses);
  bool Tap(const isa::Instruction& i, StreamPosition at, const std::vector<Access>& accesses);
  void Other(isa::Engine engine, const isa::Instruction& i, StreamPosition at,
             const std::vector<Access>& accesses);
  void Decode(isa::Engine engine, const isa::Instruction& i, Node& node);
  bool DecodeLanes(isa::Engine engine, const isa::Instruction& i, Node& node);
  bool DecodeDmaLanes(const isa::DmaDescriptor& d, Node& node);
  void DecodeOne(isa::Engine engine, const isa::Instruction& i, Steps& steps) const;
  bool RunNow(Node& node);
  // The same number for the same bytes.
  uint64_t IdentityOf(const isa::Operand& operand, const Dataflow::Origin& origin);
  // The constant bytes that the operand reads now, where they stay.
  View ConstantView(const isa::Operand& operand, const Dataflow::Origin& origin);
  bool ViewOfFile(const isa::Operand& operand, const View& now, uint32_t node, View& view) const;
  void Keep(TranslatedSegment& result);
  void Assemble(TranslatedSegment& result);

  const isa::Program& program_;
  const absl::Span<const uint8_t* const> constants_;
  ThreadPool& pool_;
  Rows* const rows_;
  Storage& storage_;
  DecodeContext context_;
  std::vector<uint8_t*> bindings_;

  // Of the segment at hand.
  const isa::Segment* segment_ = nullptr;
  std::unique_ptr<Dataflow> flow_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> emitted_;  // nodes in the order in which they run
  std::vector<Group> open_;
  std::vector<Taps> open_taps_;
  std::map<std::string, View> views_;           // constant operands met before
  std::map<std::string, uint64_t> identities_;  // of operands of products, by their writers
  Identities lists_;
  int64_t packed_bytes_ = 0;  // weights laid out for the kernels, of all segments
};

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_TRANSLATE_H_
