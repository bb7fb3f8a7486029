#include "frontend/lowering/registry.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"

namespace glia::lowering {
namespace {

using Table = absl::flat_hash_map<std::string, LowerFn>;

const Table& AllLowerings() {
  static const Table* const table = [] {
    auto* all = new Table;
    for (const OpTable family :
         {ActivationOps(),  ArithmeticOps(), AttentionOps(), BackwardOps(),      CompareOps(),
          ConvolutionOps(), CumulativeOps(), EmbeddingOps(), FactoryOps(),       GridSampleOps(),
          IndexingOps(),    LossOps(),       MatmulOps(),    NormalisationOps(), PaddingOps(),
          PoolingOps(),     RandomOps(),     ReductionOps(), ScatterOps(),       ShapeOps(),
          SortOps(),        UnaryOps(),      UpsampleOps()}) {
      for (const OpLowering& op : family) all->emplace(op.name, op.lower);
    }
    return all;
  }();
  return *table;
}

}  // namespace

LowerFn FindLowering(absl::string_view name) {
  const auto it = AllLowerings().find(name);
  return it == AllLowerings().end() ? nullptr : it->second;
}

std::vector<std::string> LoweredOperators() {
  std::vector<std::string> names;
  for (const auto& entry : AllLowerings()) names.push_back(entry.first);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace glia::lowering
