// The one place that knows libtorch versions apart. glia supports 1.13 and 2.6.
#ifndef GLIA_FRONTEND_TORCH_COMPAT_H_
#define GLIA_FRONTEND_TORCH_COMPAT_H_

#include <torch/version.h>

#if TORCH_VERSION_MAJOR < 1 || (TORCH_VERSION_MAJOR == 1 && TORCH_VERSION_MINOR < 13)
#error "glia needs libtorch 1.13 or later"
#endif

// 1 where libtorch is at least that version.
#define GLIA_TORCH_AT_LEAST(major, minor) \
  (TORCH_VERSION_MAJOR > (major) ||       \
   (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

#endif  // GLIA_FRONTEND_TORCH_COMPAT_H_
