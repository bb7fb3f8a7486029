#include "frontend/capture/info_cache.h"

#include <array>
#include <mutex>
#include <unordered_map>

namespace glia::capture {
namespace {

struct KeyHash {
  size_t operator()(const Hash128& h) const { return h.lo; }
};

constexpr size_t kShards = 16;
// Programs with ever new shapes must not grow without bound: a full shard starts again.
constexpr size_t kShardCapacity = 1 << 16;

struct Shard {
  std::mutex mutex;
  std::unordered_map<Hash128, std::shared_ptr<const NodeInfo>, KeyHash> map;
};

Shard& ShardOf(const Hash128& key) {
  static auto* shards = new std::array<Shard, kShards>;
  return (*shards)[key.hi % kShards];
}

struct FrontEntry {
  Hash128 key;
  std::shared_ptr<const NodeInfo> info;
};
constexpr size_t kFront = 4096;

FrontEntry& FrontOf(const Hash128& key) {
  thread_local auto front = std::make_unique<std::array<FrontEntry, kFront>>();
  return (*front)[key.lo % kFront];
}

}  // namespace

const std::shared_ptr<const NodeInfo>* FindInfo(const Hash128& key) {
  FrontEntry& front = FrontOf(key);
  if (front.info && front.key == key) return &front.info;
  Shard& shard = ShardOf(key);
  std::lock_guard<std::mutex> lock(shard.mutex);
  auto it = shard.map.find(key);
  if (it == shard.map.end()) return nullptr;
  front = {key, it->second};
  return &front.info;
}

std::shared_ptr<const NodeInfo> InsertInfo(const Hash128& key,
                                           std::shared_ptr<const NodeInfo> info) {
  Shard& shard = ShardOf(key);
  std::lock_guard<std::mutex> lock(shard.mutex);
  if (shard.map.size() >= kShardCapacity) shard.map.clear();
  return shard.map.emplace(key, std::move(info)).first->second;
}

}  // namespace glia::capture
