// Shared by the tests of damaged files.
#ifndef GLIA_SERIALIZATION_NEFF_NEFF_TESTING_H_
#define GLIA_SERIALIZATION_NEFF_NEFF_TESTING_H_

#include <openssl/sha.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

namespace glia::neff {

// Gives changed bytes a hash that matches, so that the parsers behind it must cope. The header must
// be whole.
inline std::string Rehashed(std::string bytes) {
  std::memset(&bytes[172], 0, 32);
  std::string hashed;
  for (size_t piece = 1024; piece < bytes.size(); piece += 1 << 20) {
    std::string hash(32, '\0');
    SHA256(reinterpret_cast<const uint8_t*>(&bytes[piece]),
           std::min<size_t>(bytes.size() - piece, 1 << 20), reinterpret_cast<uint8_t*>(&hash[0]));
    hashed += hash;
  }
  hashed += bytes.substr(0, 1024);
  SHA256(reinterpret_cast<const uint8_t*>(hashed.data()), hashed.size(),
         reinterpret_cast<uint8_t*>(&bytes[172]));
  return bytes;
}

}  // namespace glia::neff

#endif  // GLIA_SERIALIZATION_NEFF_NEFF_TESTING_H_
