#include "compiler/options.h"

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace glia::compiler {
namespace {

using Setter = absl::Status (*)(Options* options, const std::string& value);

struct OptionInfo {
  const char* name;
  const char* values;  // "a|b|c": one of these; "VALUE": anything; "": the option takes none
  Setter set;          // null: accepted and ignored
  const char* help;
};

absl::Status SetTarget(Options* options, const std::string& value) {
  if (value != "trn1" && value != "trn1n" && value != "inf2") {
    return absl::UnimplementedError(
        absl::StrCat("--target ", value, ": glia simulates NeuronCore-v2 only; use trn1 or inf2"));
  }
  options->target = value;
  return absl::OkStatus();
}

absl::Status SetModelType(Options* options, const std::string& value) {
  options->model_type = value;
  return absl::OkStatus();
}

absl::Status SetAutoCast(Options* options, const std::string& value) {
  options->auto_cast = value == "none"  ? AutoCast::kNone
                       : value == "all" ? AutoCast::kAll
                                        : AutoCast::kMatmult;
  return absl::OkStatus();
}

absl::Status SetAutoCastType(Options* options, const std::string& value) {
  if (value != "bf16" && value != "fp16") {
    return absl::UnimplementedError(
        absl::StrCat("--auto-cast-type ", value, " is not simulated; use bf16 or fp16"));
  }
  options->auto_cast_type = value == "bf16" ? AutoCastType::kBf16 : AutoCastType::kFp16;
  return absl::OkStatus();
}

absl::Status SetOptlevel(Options* options, const std::string& value) {
  options->optlevel = value[0] - '0';
  return absl::OkStatus();
}

absl::Status SetOutput(Options* options, const std::string& value) {
  options->output = value;
  return absl::OkStatus();
}

absl::Status SetDumpDir(Options* options, const std::string& value) {
  options->dump_dir = value;
  return absl::OkStatus();
}

absl::Status SetCacheDir(Options* options, const std::string& value) {
  options->cache_dir = value;
  return absl::OkStatus();
}

absl::Status SetSbufBytes(Options* options, const std::string& value) {
  int64_t bytes;
  if (!absl::SimpleAtoi(value, &bytes) || bytes < 1024 || bytes > isa::kSbufPartitionBytes) {
    return absl::InvalidArgumentError(absl::StrCat("--glia-sbuf-bytes ", value,
                                                   ": must be 1024 to ", isa::kSbufPartitionBytes,
                                                   " bytes a partition"));
  }
  options->sbuf_partition_bytes = bytes;
  return absl::OkStatus();
}

absl::Status SetVerifyPasses(Options* options, const std::string& /*value*/) {
  options->verify_each_pass = true;
  return absl::OkStatus();
}

constexpr OptionInfo kOptions[] = {
    {"--target", "trn1|trn1n|inf2|trn2|trn3", SetTarget, "the device; NeuronCore-v2 is simulated"},
    {"--model-type", "generic|transformer|unet-inference", SetModelType, "a hint; affects nothing"},
    {"--auto-cast", "none|matmult|all", SetAutoCast,
     "which fp32 work is done in a narrower type (default: matmult)"},
    {"--auto-cast-type", "bf16|fp16|tf32|fp8_e4m3", SetAutoCastType, "that type (default: bf16)"},
    {"--optlevel", "1|2|3", SetOptlevel,
     "how far ahead instructions are reordered: not, 256, 1024 (default: 2); also -O1, -O2, -O3"},
    {"--output", "VALUE", SetOutput, "path of the NEFF"},
    {"--dump", "VALUE", SetDumpDir, "directory for the HLO before and after each pass"},
    {"--cache_dir", "VALUE", SetCacheDir, "directory of the NEFF cache"},
    {"--glia-sbuf-bytes", "VALUE", SetSbufBytes, "SBUF bytes a partition to use"},
    {"--glia-verify-passes", "", SetVerifyPasses, "verify the HLO after every pass"},
    // neuronx-cc's that change nothing here.
    {"--framework", "XLA", nullptr, "the only one"},
    {"--distribution-strategy", "VALUE", nullptr, "ignored"},
    {"--logical-nc-config", "1|2", nullptr, "ignored"},
    {"--lnc", "1|2", nullptr, "ignored"},
    {"--logfile", "VALUE", nullptr, "ignored"},
    {"--logfile-verbose", "VALUE", nullptr, "ignored"},
    {"--verbose", "VALUE", nullptr, "ignored"},
    {"--enable-experimental-O1", "", nullptr, "ignored"},
    {"--enable-fast-context-switch", "", nullptr, "ignored"},
    {"--enable-fast-loading-neuron-binaries", "", nullptr, "ignored"},
    {"--enable-mixed-precision-accumulation", "", nullptr,
     "ignored: accumulation is always in fp32"},
    {"--disable-mixed-precision-accumulation", "", nullptr, "ignored"},
    {"--enable-saturate-infinity", "", nullptr, "ignored"},
    {"--tensorizer-options", "VALUE", nullptr, "ignored"},
    {"--hlo2tensorizer-options", "VALUE", nullptr, "ignored"},
    {"--internal-hlo2tensorizer-options", "VALUE", nullptr, "ignored"},
    {"--internal-max-instruction-limit", "VALUE", nullptr, "ignored"},
    {"--workdir", "VALUE", nullptr, "ignored"},
    {"--retry_failed_compilation", "", nullptr, "ignored: of libneuronxla"},
};

const OptionInfo* Find(absl::string_view name) {
  if (name == "-O") name = "--optlevel";
  if (name == "-o") name = "--output";
  if (name == "-v") name = "--verbose";
  for (const OptionInfo& info : kOptions) {
    if (name == info.name) return &info;
  }
  return nullptr;
}

absl::Status CheckValue(const OptionInfo& info, const std::string& value) {
  const absl::string_view values = info.values;
  if (values == "VALUE") {
    if (!value.empty()) return absl::OkStatus();
  } else {
    for (absl::string_view allowed : absl::StrSplit(values, '|')) {
      if (value == allowed) return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      info.name, " \"", value, "\": must be ",
      values == "VALUE"
          ? "a value"
          : absl::StrCat("one of ", absl::StrJoin(absl::StrSplit(values, '|'), ", "))));
}

absl::Status SplitFlags(absl::string_view flags, std::vector<std::string>* arguments) {
  std::string current;
  bool in_argument = false;
  char quote = 0;
  for (size_t i = 0; i < flags.size(); ++i) {
    const char c = flags[i];
    if (c == '\\' && quote != '\'' && i + 1 < flags.size()) {
      current += flags[++i];
      in_argument = true;
    } else if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        current += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_argument = true;
    } else if (absl::ascii_isspace(static_cast<unsigned char>(c))) {
      if (in_argument) arguments->push_back(current);
      current.clear();
      in_argument = false;
    } else {
      current += c;
      in_argument = true;
    }
  }
  if (quote != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("compiler options: unclosed ", std::string(1, quote), " in \"", flags, "\""));
  }
  if (in_argument) arguments->push_back(current);
  return absl::OkStatus();
}

const char* AutoCastName(AutoCast cast) {
  return cast == AutoCast::kNone ? "none" : cast == AutoCast::kAll ? "all" : "matmult";
}

}  // namespace

absl::StatusOr<Options> Options::FromEnvironment() {
  Options options;
  const char* flags = std::getenv("NEURON_CC_FLAGS");
  if (flags == nullptr) return options;
  const absl::Status status = options.ParseFlags(flags);
  if (!status.ok()) {
    return absl::Status(status.code(), absl::StrCat("NEURON_CC_FLAGS: ", status.message()));
  }
  return options;
}

absl::Status Options::ParseFlags(absl::string_view flags) {
  std::vector<std::string> arguments;
  const absl::Status status = SplitFlags(flags, &arguments);
  return status.ok() ? Parse(arguments) : status;
}

absl::Status Options::Parse(absl::Span<const std::string> arguments) {
  Options result = *this;
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string name = arguments[i];
    std::string value;
    bool has_value = false;
    const size_t equals = name.find('=');
    if (equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
      has_value = true;
    } else if (name.size() == 3 && name.compare(0, 2, "-O") == 0) {  // -O2
      value = name.substr(2);
      name.resize(2);
      has_value = true;
    }
    const OptionInfo* info = Find(name);
    if (info == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("unknown compiler option \"", arguments[i],
                                                     "\"; the options are\n", OptionsHelp()));
    }
    if (info->values[0] == 0) {
      if (has_value) {
        return absl::InvalidArgumentError(
            absl::StrCat(info->name, " takes no value, got \"", value, "\""));
      }
    } else {
      if (!has_value) {
        if (i + 1 == arguments.size()) {
          return absl::InvalidArgumentError(
              absl::StrCat(info->name, " needs a value: ", info->values));
        }
        value = arguments[++i];
      }
      absl::Status status = CheckValue(*info, value);
      if (!status.ok()) return status;
    }
    if (info->set == nullptr) continue;
    absl::Status status = info->set(&result, value);
    if (!status.ok()) return status;
  }
  *this = result;
  return absl::OkStatus();
}

std::string Options::Fingerprint() const {
  return absl::StrCat("--target=", target, " --model-type=", model_type,
                      " --auto-cast=", AutoCastName(auto_cast),
                      " --auto-cast-type=", auto_cast_type == AutoCastType::kBf16 ? "bf16" : "fp16",
                      " --optlevel=", optlevel, " --glia-sbuf-bytes=", sbuf_partition_bytes);
}

CodegenOptions Options::codegen() const {
  CodegenOptions result;
  result.auto_cast = auto_cast;
  result.auto_cast_type = auto_cast_type;
  result.optlevel = optlevel;
  result.sbuf_partition_bytes = sbuf_partition_bytes;
  return result;
}

std::string OptionsHelp() {
  std::string help;
  for (const OptionInfo& info : kOptions) {
    absl::StrAppend(&help, "  ", info.name, info.values[0] == 0 ? "" : " ", info.values, ": ",
                    info.help, "\n");
  }
  return help;
}

}  // namespace glia::compiler
