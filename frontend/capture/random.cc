#include "frontend/capture/random.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/scalar_tensor.h>

#include <mutex>

#include "frontend/capture/nodes.h"
#include "frontend/capture/record.h"
#include "frontend/capture/storage.h"
#include "frontend/capture/sync.h"
#include "frontend/capture/trace_session.h"

namespace glia::capture {
namespace {

Value FromGenerator(const OpInfo& op, c10::ArrayRef<c10::IValue> arguments) {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  if (op.generator >= 0 && arguments[op.generator].isGenerator()) {
    generator = arguments[op.generator].toGenerator();
  }
  TORCH_CHECK(generator.device().is_cpu(), op.name, " got a generator of device ",
              generator.device().str(), "; random numbers of the xla device come from the CPU's");
  int64_t seed;
  {
    std::lock_guard<std::mutex> lock(generator.mutex());
    // Not negative, as a traced module draws it (trace_module.h).
    seed = static_cast<int64_t>(generator.get<at::CPUGeneratorImpl>()->random64() >> 1);
  }
  CpuCallGuard guard;
  return Upload(at::scalar_tensor(seed, at::TensorOptions().dtype(at::kLong)));
}

}  // namespace

void AppendSeedStandIn(Node* node) {
  for (int i = 0; i < 2; ++i) node->operands.push_back(MakeZeros({}, {}, at::kLong));
}

void DrawSeed(c10::ArrayRef<c10::IValue> arguments, Node* node) {
  TraceSession* trace = CurrentTrace();
  node->operands.resize(node->operands.size() - 2);
  node->operands.push_back(trace != nullptr ? trace->Seed()
                                            : FromGenerator(*node->op(), arguments));
  const int64_t stream = trace != nullptr ? trace->streams++ : 0;
  node->operands.push_back(MakeConstant(stream, /*wrapped_number=*/false));
}

}  // namespace glia::capture
