// The compiler's version: in every NEFF it makes, and part of the NEFF cache's keys. Raise it with every change
// that makes other programs of the same HLO.
#ifndef GLIA_COMPILER_VERSION_H_
#define GLIA_COMPILER_VERSION_H_

namespace glia::compiler {

inline constexpr char kCompilerVersion[] = "0.1.0";

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_VERSION_H_
