// XLA's HLO text: printer and parser.
//
//   HloModule mlp, entry_computation_layout={(f32[1,4]{1,0})->f32[1,4]{1,0}}
//
//   ENTRY %main.1 (x: f32[1,4]) -> f32[1,4] {
//     %x = f32[1,4]{1,0} parameter(0)
//     ROOT %tanh.2 = f32[1,4]{1,0} tanh(%x), metadata={op_name="tanh"}
//   }
//
// Thread-safe.
#ifndef GLIA_SERIALIZATION_HLO_TEXT_H_
#define GLIA_SERIALIZATION_HLO_TEXT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serialization/hlo/ir.h"

namespace glia::hlo {

struct PrintOptions {
  bool metadata = true;
  // Elements of a constant that are printed; -1 for all. A text with constants cut short does not
  // parse.
  int64_t max_constant_elements = -1;
};

// Callees first, instructions in post order. Parsing and printing the result again gives the same
// text.
std::string ToString(const Module& module, const PrintOptions& options = {});
std::string ToString(const Computation& computation, const PrintOptions& options = {});
// One line, without its end.
std::string ToString(const Instruction& instruction, const PrintOptions& options = {});

// Parses what XLA, JAX and ToString print: with or without '%', operand shapes and layouts;
// computations in any order, and a module header that may be missing. What concerns other devices
// (shardings, schedules, tiled layouts, replica counts) is dropped. A module without ENTRY is
// entered at its last computation. The result has passed Verify. INVALID_ARGUMENT names line and
// cause: syntax, unknown instruction or attribute, undefined name, or a shape that inference
// contradicts.
absl::StatusOr<std::unique_ptr<Module>> ParseModule(absl::string_view text);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_TEXT_H_
