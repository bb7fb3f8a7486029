#include "frontend/capture/hash.h"

#include <cstdio>

namespace glia::capture {

std::string Hash128::Hex() const {
  char buffer[33];
  std::snprintf(buffer, sizeof(buffer), "%016llx%016llx", static_cast<unsigned long long>(hi),
                static_cast<unsigned long long>(lo));
  return buffer;
}

}  // namespace glia::capture
