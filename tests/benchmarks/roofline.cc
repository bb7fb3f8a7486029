#include "tests/benchmarks/roofline.h"

#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace glia::benchmarks {
namespace {

enum class Kind { kMatmul, kConvolution, kLookUp };

// Operators as the CPU runs them; the operand that is multiplied or looked up in.
struct Operator {
  Kind kind;
  size_t first;  // of the two factors
};
const std::map<std::string, Operator>& Operators() {
  static const auto* operators = new std::map<std::string, Operator>{
      {"aten::mm", {Kind::kMatmul, 0}},
      {"aten::bmm", {Kind::kMatmul, 0}},
      {"aten::addmm", {Kind::kMatmul, 1}},
      {"aten::baddbmm", {Kind::kMatmul, 1}},
      {"aten::convolution", {Kind::kConvolution, 0}},
      {"aten::embedding", {Kind::kLookUp, 0}},
      {"aten::embedding_bag", {Kind::kLookUp, 0}},
  };
  return *operators;
}

struct Counts {
  int64_t macs = 0;
  int64_t rows_bytes = 0;
  int inside = 0;  // depth within a convolution, whose CPU kernels may use matrix products
  std::set<const void*> factors, tables;
};
Counts* g_counts = nullptr;

std::unique_ptr<at::ObserverContext> OnEnter(const at::RecordFunction& fn) {
  if (std::strcmp(fn.name(), "aten::convolution") == 0) ++g_counts->inside;
  return nullptr;
}

void OnExit(const at::RecordFunction& fn, at::ObserverContext*) {
  const auto found = Operators().find(fn.name());
  if (found == Operators().end()) return;
  const Operator& op = found->second;
  Counts& counts = *g_counts;
  if (op.kind == Kind::kConvolution) --counts.inside;
  if (counts.inside > 0) return;
  const auto inputs = fn.inputs();
  const at::Tensor a = inputs[op.first].toTensor();
  if (op.kind == Kind::kLookUp) {
    counts.tables.insert(a.data_ptr());
    counts.rows_bytes += inputs[1].toTensor().numel() * a.size(-1) * a.element_size();
    return;
  }
  const at::Tensor b = inputs[op.first + 1].toTensor();
  counts.factors.insert(a.data_ptr());
  counts.factors.insert(b.data_ptr());
  if (op.kind == Kind::kMatmul) {
    counts.macs += a.numel() * b.size(-1);
    return;
  }
  const bool transposed = inputs[6].toBool();
  const int64_t pixels =
      transposed ? a.numel() / a.size(1) : fn.outputs()[0].toTensor().numel() / b.size(0);
  counts.macs += pixels * b.numel();
}

int64_t Bytes(const models::Tensors& tensors) {
  int64_t bytes = 0;
  for (const at::Tensor& t : tensors) bytes += t.numel() * t.element_size();
  return bytes;
}

}  // namespace

Work CountWork(models::Model& model, const models::Tensors& inputs) {
  at::NoGradGuard no_grad;
  Counts counts;
  g_counts = &counts;
  const at::CallbackHandle handle =
      at::addThreadLocalCallback(at::RecordFunctionCallback(OnEnter, OnExit)
                                     .needsInputs(true)
                                     .needsOutputs(true)
                                     .scopes({at::RecordScope::FUNCTION}));
  const models::Tensors outputs = model.Run(inputs);
  at::removeCallback(handle);
  g_counts = nullptr;

  Work work;
  work.macs = counts.macs;
  work.other_bytes = counts.rows_bytes + Bytes(inputs) + Bytes(outputs);
  for (const at::Tensor& p : model.parameters()) {
    if (counts.factors.count(p.data_ptr()) > 0) {
      work.matmul_weights += p.numel();
    } else if (counts.tables.count(p.data_ptr()) == 0) {
      work.other_bytes += p.numel() * p.element_size();
    }
  }
  return work;
}

double RooflineMicroseconds(const Work& work, bool bf16) {
  const double pe = static_cast<double>(work.macs) / (128.0 * 128.0 * 2800.0) * (bf16 ? 1 : 4);
  const double bytes = static_cast<double>(work.matmul_weights) * (bf16 ? 2 : 4) +
                       static_cast<double>(work.other_bytes);
  return std::max(pe, bytes / 272e3);
}

}  // namespace glia::benchmarks
