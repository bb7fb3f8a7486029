// The compiler's version, as neuronx-cc's: "release+hash of the sources". It is in every NEFF and
// part of the NEFF cache's keys.
#ifndef GLIA_COMPILER_VERSION_H_
#define GLIA_COMPILER_VERSION_H_

#include "compiler/source_hash.h"  // made by the build

namespace glia::compiler {

inline constexpr char kCompilerVersion[] = "0.1.0+" GLIA_COMPILER_SOURCE_HASH;

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_VERSION_H_
