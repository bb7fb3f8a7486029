// What a caller may ask of code generation.
#ifndef GLIA_COMPILER_CODEGEN_OPTIONS_H_
#define GLIA_COMPILER_CODEGEN_OPTIONS_H_

#include <cstdint>

#include "serialization/isa/isa.h"

namespace glia::compiler {

// Which fp32 work is done in `auto_cast_type`; names as neuronx-cc's --auto-cast.
enum class AutoCast : uint8_t { kNone, kMatmult, kAll };
enum class AutoCastType : uint8_t { kBf16, kFp16 };

struct CodegenOptions {
  AutoCast auto_cast = AutoCast::kNone;
  AutoCastType auto_cast_type = AutoCastType::kBf16;
  int optlevel = 2;
  // Bytes of SBUF in each partition that may be used; tests lower it to force spills.
  int64_t sbuf_partition_bytes = isa::kSbufPartitionBytes;
};

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_OPTIONS_H_
