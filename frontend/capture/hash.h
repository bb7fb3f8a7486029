// 128-bit non-cryptographic hash, the same in every process and on every machine (little-endian):
// graph hashes are keys of the on-disk cache.
#ifndef GLIA_FRONTEND_CAPTURE_HASH_H_
#define GLIA_FRONTEND_CAPTURE_HASH_H_

#include <cstdint>
#include <cstring>
#include <string>

namespace glia::capture {

struct Hash128 {
  uint64_t lo = 0;
  uint64_t hi = 0;
  friend bool operator==(const Hash128& a, const Hash128& b) {
    return a.lo == b.lo && a.hi == b.hi;
  }
  friend bool operator!=(const Hash128& a, const Hash128& b) { return !(a == b); }
  friend bool operator<(const Hash128& a, const Hash128& b) {
    return a.hi != b.hi ? a.hi < b.hi : a.lo < b.lo;
  }
  template <typename H>
  friend H AbslHashValue(H h, const Hash128& v) {
    return H::combine(std::move(h), v.lo);  // already well mixed
  }
  std::string Hex() const;  // 32 digits
};

// Extends a hash word by word. Order matters; lengths must be added by the caller.
class Hasher {
 public:
  void Add(uint64_t v) {
    lo_ = Mix(lo_ ^ v, 0x9E3779B97F4A7C15ull);
    hi_ = Mix(hi_ + v, 0xC2B2AE3D27D4EB4Full) ^ (lo_ >> 32);
  }
  void Add(const Hash128& v) {
    Add(v.lo);
    Add(v.hi);
  }
  void AddBytes(const void* data, size_t size) {
    Add(size);
    const char* p = static_cast<const char*>(data);
    for (; size >= 8; p += 8, size -= 8) {
      uint64_t v;
      std::memcpy(&v, p, 8);
      Add(v);
    }
    if (size > 0) {
      uint64_t v = 0;
      std::memcpy(&v, p, size);
      Add(v);
    }
  }
  Hash128 Get() const {
    return {Mix(lo_ ^ hi_, 0xD6E8FEB86659FD93ull),
            Mix(hi_ + (lo_ << 1 | lo_ >> 63), 0xA0761D6478BD642Full)};
  }

 private:
  static uint64_t Mix(uint64_t a, uint64_t b) {
    const unsigned __int128 p = static_cast<unsigned __int128>(a ^ 0x2545F4914F6CDD1Dull) * b;
    return static_cast<uint64_t>(p) ^ static_cast<uint64_t>(p >> 64) ^ a >> 29;
  }
  uint64_t lo_ = 0x243F6A8885A308D3ull;
  uint64_t hi_ = 0x13198A2E03707344ull;
};

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_HASH_H_
