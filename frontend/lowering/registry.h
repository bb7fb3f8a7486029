// The table of lowerings: one function per ATen operator, by schema name. Each file in ops/ defines
// the functions of one family and lists them; registry.cc joins the lists. Thread-safe.
#ifndef GLIA_FRONTEND_LOWERING_REGISTRY_H_
#define GLIA_FRONTEND_LOWERING_REGISTRY_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "frontend/lowering/ctx.h"

namespace glia::lowering {

using LowerFn = void (*)(Ctx&);

struct OpLowering {
  const char* name;  // "aten::add.Tensor"; no dot when the overload name is empty
  LowerFn lower;
};
using OpTable = absl::Span<const OpLowering>;

// The lowering of an operator, or null.
LowerFn FindLowering(absl::string_view name);
// Names of all operators with a lowering, sorted.
std::vector<std::string> LoweredOperators();

// One per file in ops/.
OpTable ActivationOps();
OpTable ArithmeticOps();
OpTable AttentionOps();
OpTable BackwardOps();
OpTable CompareOps();
OpTable ConvolutionOps();
OpTable CumulativeOps();
OpTable EmbeddingOps();
OpTable FactoryOps();
OpTable GridSampleOps();
OpTable IndexingOps();
OpTable LossOps();
OpTable MatmulOps();
OpTable NormalisationOps();
OpTable PaddingOps();
OpTable PoolingOps();
OpTable RandomOps();
OpTable ReductionOps();
OpTable ScatterOps();
OpTable ShapeOps();
OpTable SortOps();
OpTable UnaryOps();
OpTable UpsampleOps();

}  // namespace glia::lowering

#endif  // GLIA_FRONTEND_LOWERING_REGISTRY_H_
