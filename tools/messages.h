// What went wrong, in the order in which a user wants to read it.
#ifndef GLIA_TOOLS_MESSAGES_H_
#define GLIA_TOOLS_MESSAGES_H_

#include <string>

namespace glia::tools {

// The TorchScript interpreter puts the reason for an error after its traceback, as
// "RuntimeError: …" or with the class that the script raised. Such a message comes back with the
// reason first, any other as it is. Both without line breaks at the end.
std::string ReasonFirst(const std::string& what);

}  // namespace glia::tools

#endif  // GLIA_TOOLS_MESSAGES_H_
