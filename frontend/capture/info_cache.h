// What recording remembers: NodeInfo by the hash of everything that determines it, so that a node
// seen before costs a look-up. Bounded; thread-safe; a hit in the thread's own front takes no lock.
#ifndef GLIA_FRONTEND_CAPTURE_INFO_CACHE_H_
#define GLIA_FRONTEND_CAPTURE_INFO_CACHE_H_

#include <memory>

#include "frontend/capture/graph.h"

namespace glia::capture {

// Null when it is not there. The pointer stays good until the thread's next call.
const std::shared_ptr<const NodeInfo>* FindInfo(const Hash128& key);
// Remembers `info`, or returns what another thread has remembered meanwhile.
std::shared_ptr<const NodeInfo> InsertInfo(const Hash128& key,
                                           std::shared_ptr<const NodeInfo> info);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_INFO_CACHE_H_
