// The compiler's options, under the names of neuronx-cc's command line.
//
//   Options options;
//   absl::Status status = options.Parse({"--auto-cast=matmult", "-O1"});
//
// A value follows its option as the next argument or after '='. Options that neuronx-cc has and
// that change nothing here are accepted and ignored; OptionsHelp() lists all. Later options win.
// Source of names and values: the neuronx-cc command line reference in aws-neuron-sdk. Thread-safe
// values.
#ifndef GLIA_COMPILER_OPTIONS_H_
#define GLIA_COMPILER_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "compiler/codegen/options.h"

namespace glia::compiler {

// neuronx-cc's own: products of fp32 models are those of bf16 operands, summed in fp32.
inline constexpr AutoCast kDefaultAutoCast = AutoCast::kMatmult;

struct Options {
  // NEURON_CC_FLAGS over the defaults. Errors as of Parse.
  static absl::StatusOr<Options> FromEnvironment();

  // Adds the given options. INVALID_ARGUMENT naming an unknown option, a missing or a bad value and
  // those that are possible; UNIMPLEMENTED for a target or a type that glia does not simulate. On
  // an error this is unchanged.
  absl::Status Parse(absl::Span<const std::string> arguments);
  // Splits at white space first; quotes ('…', "…") and backslashes as in a shell.
  absl::Status ParseFlags(absl::string_view flags);

  // Every option that affects the program, in one canonical form: part of the cache's key.
  std::string Fingerprint() const;

  CodegenOptions codegen() const;

  std::string target = "trn1";         // or inf2: both have NeuronCore-v2
  std::string model_type = "generic";  // a hint of neuronx-cc's; affects nothing yet
  AutoCast auto_cast = kDefaultAutoCast;
  AutoCastType auto_cast_type = AutoCastType::kBf16;
  int optlevel = 2;  // 1 to 3

  std::string output;     // --output: path of the NEFF, for command lines
  std::string dump_dir;   // --dump: HLO before and after each pass goes here; empty: nowhere
  std::string cache_dir;  // --cache_dir: of the NEFF cache, before NEURON_COMPILE_CACHE_URL

  int64_t sbuf_partition_bytes = isa::kSbufPartitionBytes;  // --glia-sbuf-bytes: less forces spills
  bool verify_each_pass = false;                            // --glia-verify-passes
};

// One line for each option, for --help.
std::string OptionsHelp();

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_OPTIONS_H_
