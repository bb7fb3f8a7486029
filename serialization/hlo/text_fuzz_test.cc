// Fuzz target: HLO text. What parses prints to text that parses to the same; what the verifier
// takes has a wire form with the same text.
#include <string>

#include "serialization/hlo/hlo_testing.h"
#include "serialization/hlo/proto_convert.h"
#include "serialization/hlo/text.h"
#include "serialization/hlo/verifier.h"
#include "serialization/testing/fuzz.h"

namespace glia {

std::vector<std::string> FuzzSeeds() {
  return {hlo::kEveryInstruction, R"(
add { a = f32[] parameter(0)
 b = f32[] parameter(1)
 ROOT r = f32[] add(a, b) }
ENTRY e {
 x = f32[2,3]{0,1} parameter(0)
 w = f32[3,2] constant({{1, -2.5}, {inf, nan}, {1e-3, 0}})
 d = f32[2,2] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
 zero = f32[] constant(0)
 ROOT s = f32[2] reduce(d, zero), dimensions={1}, to_apply=add
})"};
}

}  // namespace glia

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glia;  // NOLINT: the function cannot be in it
  const auto module = hlo::ParseModule({reinterpret_cast<const char*>(data), size});
  if (!module.ok()) return 0;
  const std::string text = hlo::ToString(**module);
  const auto again = hlo::ParseModule(text);
  GLIA_FUZZ_CHECK(again.ok());
  GLIA_FUZZ_CHECK(hlo::ToString(**again) == text);
  if (!hlo::Verify(**module).ok()) return 0;
  const auto bytes = hlo::SerializeModule(**module);
  if (!bytes.ok()) return 0;
  const auto back = hlo::DeserializeModule(*bytes);
  GLIA_FUZZ_CHECK(back.ok());
  return 0;
}
