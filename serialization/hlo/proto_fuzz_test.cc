// Fuzz target: the wire form of HLO.
#include <string>

#include "serialization/hlo/hlo_testing.h"
#include "serialization/hlo/proto_convert.h"
#include "serialization/hlo/text.h"
#include "serialization/hlo/verifier.h"
#include "serialization/testing/fuzz.h"

namespace glia {

std::vector<std::string> FuzzSeeds() {
  return {*hlo::SerializeModule(**hlo::ParseModule(hlo::kEveryInstruction))};
}

}  // namespace glia

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glia;  // NOLINT: the function cannot be in it
  const auto module = hlo::DeserializeModule({reinterpret_cast<const char*>(data), size});
  if (!module.ok()) return 0;
  (void)hlo::ToString(**module);
  (void)hlo::Verify(**module);
  return 0;
}
