// What the commands read and write, without libtorch.
#ifndef GLIA_TOOLS_FILES_H_
#define GLIA_TOOLS_FILES_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "compiler/compile.h"
#include "serialization/neff/neff.h"

namespace glia::tools {

enum class FileKind { kNeff, kTorchScript, kHlo };
// By its content: a zip archive is TorchScript; HLO is text or what is no NEFF. Throws
// std::runtime_error when `path` cannot be read.
FileKind KindOf(const std::string& path);

// HLO text, or a serialized HloModuleProto, HloProto or HloSnapshot, compiled with NEURON_CC_FLAGS
// and then `options`. Throws std::runtime_error with the path and the reason.
compiler::CompileResult CompileHloFile(const std::string& path,
                                       const std::vector<std::string>& options);

struct NamedNeff {
  std::string name;  // to tell several apart; empty for the only one
  neff::Blob bytes;
};
// The NEFFs of a traced module's file.
using TracedReader = std::function<std::vector<NamedNeff>(const std::string& path)>;
// Those of a file of any kind; HLO is compiled with `options`. Throws std::runtime_error.
std::vector<NamedNeff> OpenNeffs(const std::string& path, const std::vector<std::string>& options,
                                 const TracedReader& traced);

// Writes beside `path` and renames: a reader never sees half a file, and a failure leaves what was
// there. Throws std::runtime_error.
void WriteWholeFile(const std::string& path, absl::string_view bytes);
// The same with what `write` passes to its argument, which never fails: an error ends the file, and
// is reported once `write` has returned. (libtorch's zip writer ends the process when a write
// fails.)
using AppendFn = std::function<void(const void* bytes, size_t size)>;
void WriteWholeFile(const std::string& path, const std::function<void(const AppendFn&)>& write);

}  // namespace glia::tools

#endif  // GLIA_TOOLS_FILES_H_
