// The seeds of operators that draw random numbers (Node::Seed). torch's generator decides: each
// operator that the lazy mode records draws a seed from it, so torch::manual_seed repeats the
// numbers. A trace has one seed, a parameter of its graph, and each of its operators a stream of
// its own.
#ifndef GLIA_FRONTEND_CAPTURE_RANDOM_H_
#define GLIA_FRONTEND_CAPTURE_RANDOM_H_

#include "frontend/capture/graph.h"

namespace glia::capture {

// Appends operands of the seed's type, for who looks at types only.
void AppendSeedStandIn(Node* node);
// Replaces them. `arguments` are the call's; among them may be a generator.
void DrawSeed(c10::ArrayRef<c10::IValue> arguments, Node* node);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_RANDOM_H_
