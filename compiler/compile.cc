#include "compiler/compile.h"

#include <chrono>
#include <utility>

#include "absl/strings/escaping.h"
#include "compiler/codegen/codegen.h"
#include "compiler/passes/split_batch.h"
#include "compiler/version.h"
#include "openssl/evp.h"
#include "serialization/hlo/text.h"
#include "serialization/hlo/verifier.h"

namespace glia::compiler {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void HashLiteral(const hlo::Literal& literal, EVP_MD_CTX* context) {
  for (const hlo::Literal& element : literal.tuple()) HashLiteral(element, context);
  if (literal.bytes() > 0 && !literal.shape().IsTuple()) {
    EVP_DigestUpdate(context, literal.raw(), static_cast<size_t>(literal.bytes()));
  }
}

}  // namespace

std::string SourceHash(const hlo::Module& module) {
  hlo::PrintOptions print;
  print.metadata = false;
  print.max_constant_elements = 0;
  const std::string text = hlo::ToString(module, print);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_DigestInit_ex(context, EVP_sha256(), nullptr);
  EVP_DigestUpdate(context, text.data(), text.size());
  for (const hlo::Computation* computation : module.MakeComputationPostOrder()) {
    for (const hlo::Instruction* instr : computation->PostOrder()) {
      if (instr->opcode() == hlo::Opcode::kConstant) HashLiteral(instr->constant(), context);
    }
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(context, digest, &size);
  EVP_MD_CTX_free(context);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), size));
}

absl::StatusOr<CompileResult> Compile(std::unique_ptr<hlo::Module> module, const Options& options) {
  if (module == nullptr) return absl::InvalidArgumentError("no module to compile");
  absl::Status status = hlo::Verify(*module);
  if (!status.ok()) return status;

  CompileResult result;
  const std::string source_hash = SourceHash(*module);
  const std::string name = module->name();
  result.statistics.hlo_instructions_before = module->instruction_count();
  PipelineOptions pipeline;
  pipeline.dump_dir = options.dump_dir;
  pipeline.verify_each_pass = options.verify_each_pass;
  Clock::time_point start = Clock::now();
  auto passes = RunPasses(module.get(), pipeline);
  if (!passes.ok()) return passes.status();
  result.statistics.passes = *std::move(passes);
  if (options.auto_cast == AutoCast::kAll) {
    // After the constants' arithmetic, which stays exact.
    const auto changed = NarrowFloats(
        module.get(), options.auto_cast_type == AutoCastType::kBf16 ? hlo::kBF16 : hlo::kF16);
    if (!changed.ok()) return changed.status();
    passes = RunPasses(module.get(), DefaultPipeline(), {"", pipeline.verify_each_pass});
    if (!passes.ok()) return passes.status();
  }
  const CodegenOptions codegen = options.codegen();
  SplitBatchOptions split;
  split.sbuf_partition_bytes = codegen.sbuf_partition_bytes;
  split.rounds = codegen.auto_cast != AutoCast::kNone;
  if (absl::StatusOr<bool> changed = SplitBatch(module.get(), split); !changed.ok()) {
    return changed.status();
  }
  result.statistics.passes_ms = MillisecondsSince(start);
  result.statistics.hlo_instructions_after = module->instruction_count();

  start = Clock::now();
  absl::StatusOr<neff::Neff> neff = Generate(*module, codegen);
  if (!neff.ok()) return neff.status();
  result.statistics.codegen_ms = MillisecondsSince(start);
  result.neff = *std::move(neff);
  result.neff.info["compiler_version"] = kCompilerVersion;
  result.neff.info["compiler_options"] = options.Fingerprint();
  result.neff.info["module"] = name;
  result.neff.info["hlo_sha256"] = source_hash;
  result.statistics.dma_descriptors = static_cast<int64_t>(result.neff.program.dmas.size());
  for (const isa::Segment& segment : result.neff.program.segments) {
    for (const auto& stream : segment.streams) {
      result.statistics.program_instructions += static_cast<int64_t>(stream.size());
    }
  }
  return result;
}

absl::StatusOr<CompileResult> Compile(const hlo::Module& module, const Options& options) {
  absl::Status status = hlo::Verify(module);
  if (!status.ok()) return status;
  return Compile(module.Clone(), options);
}

}  // namespace glia::compiler
