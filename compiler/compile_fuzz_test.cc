// Fuzz target: HLO text, compiled if it is valid and small. Of what the compiler makes, the device
// must load every program, on both executors.
#include <string>

#include "compiler/compile.h"
#include "device_sim/device.h"
#include "serialization/hlo/text.h"
#include "serialization/hlo/verifier.h"
#include "serialization/testing/fuzz.h"

namespace glia {
namespace {

constexpr int64_t kMaxElements = 1 << 14;  // of all instructions together

bool IsSmall(const hlo::Module& module) {
  int64_t elements = 0;
  for (const hlo::Computation* computation : module.Computations()) {
    for (const hlo::Instruction* instr : computation->Instructions()) {
      if (!instr->shape.IsArray()) continue;
      for (int64_t d : instr->shape.dims) {
        if (d < 0 || d > kMaxElements) return false;
      }
      if (instr->shape.rank() > 8) return false;
      elements += instr->shape.elements();
      if (elements > kMaxElements) return false;
      for (const hlo::WindowDim& w : instr->window) {
        if (w.size > 64 || w.stride > 64 || w.window_dilation > 64 || w.base_dilation > 64)
          return false;
      }
    }
  }
  return true;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {R"(
add { a = f32[] parameter(0)
 b = f32[] parameter(1)
 ROOT r = f32[] add(a, b) }
ENTRY e {
 x = f32[5,7] parameter(0)
 i = s32[3,1] parameter(1)
 w = f32[7,4] constant({{1, 2, 3, 4}, {5, 6, 7, 8}, {1, 2, 3, 4}, {5, 6, 7, 8}, {1, 2, 3, 4}, {5, 6, 7, 8}, {1, 2, 3, 4}})
 d = f32[5,4] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
 t = f32[4,5] transpose(d), dimensions={1,0}
 e = f32[4,5] exponential(t)
 zero = f32[] constant(0)
 s = f32[4] reduce(e, zero), dimensions={1}, to_apply=add
 sb = f32[4,5] broadcast(s), dimensions={0}
 q = f32[4,5] divide(e, sb)
 sl = f32[2,3] slice(q), slice={[1:3], [0:5:2]}
 g = f32[3,7] gather(x, i), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,7}
 ROOT o = (f32[2,3], f32[3,7]) tuple(sl, g)
})",
          R"(
max { a = f32[] parameter(0)
 b = f32[] parameter(1)
 ROOT r = f32[] maximum(a, b) }
ENTRY e {
 x = f32[1,3,6,6] parameter(0)
 w = f32[4,3,3,3] parameter(1)
 low = f32[] constant(-inf)
 c = f32[1,4,6,6] convolution(x, w), window={size=3x3 pad=1_1x1_1}, dim_labels=bf01_oi01->bf01
 p = f32[1,4,3,3] reduce-window(c, low), window={size=1x1x2x2 stride=1x1x2x2}, to_apply=max
 n = f32[1,4,3,3] negate(p)
 k = s32[1,4,3,3] convert(n)
 ROOT r = (f32[1,4,3,3], s32[1,4,3,3]) tuple(n, k)
})",
          R"(
body { s = (s32[], f32[4]) parameter(0)
 n = s32[] get-tuple-element(s), index=0
 one = s32[] constant(1)
 m = s32[] add(n, one)
 x = f32[4] get-tuple-element(s), index=1
 y = f32[4] add(x, x)
 ROOT t = (s32[], f32[4]) tuple(m, y) }
cond { s = (s32[], f32[4]) parameter(0)
 n = s32[] get-tuple-element(s), index=0
 ten = s32[] constant(10)
 ROOT c = pred[] compare(n, ten), direction=LT }
ENTRY e {
 n = s32[] parameter(0)
 x = f32[4] parameter(1)
 s = (s32[], f32[4]) tuple(n, x)
 ROOT w = (s32[], f32[4]) while(s), condition=cond, body=body
})"};
}

}  // namespace glia

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glia;  // NOLINT: the function cannot be in it
  auto module = hlo::ParseModule({reinterpret_cast<const char*>(data), size});
  if (!module.ok() || !hlo::Verify(**module).ok() || !IsSmall(**module)) return 0;
  auto result = compiler::Compile(*std::move(module), compiler::Options());
  if (!result.ok()) return 0;
  const auto neff = std::make_shared<neff::Neff>(std::move(result->neff));
  for (const auto kind : {device::ExecutorKind::kFast, device::ExecutorKind::kInterpreter}) {
    const auto loaded = device::Core::Create(0)->Load(neff, kind);
    if (!loaded.ok()) __builtin_printf("%s\n", std::string(loaded.status().message()).c_str());
    GLIA_FUZZ_CHECK(loaded.ok());
  }
  return 0;
}
