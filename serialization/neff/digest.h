// SHA-256, of the archive and then of the header with its hash field zero: every byte of a NEFF
// counts.
#ifndef GLIA_SERIALIZATION_NEFF_DIGEST_H_
#define GLIA_SERIALIZATION_NEFF_DIGEST_H_

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "serialization/neff/header.h"

namespace glia::neff {

class Digest {
 public:
  Digest();
  void Update(absl::string_view bytes);
  void UpdateHeader(HeaderBytes header);
  // Of what came so far; more may follow.
  std::array<uint8_t, kHashSize> Value() const;

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  using Context = std::unique_ptr<EVP_MD_CTX, Free>;
  Context context_;
};

}  // namespace glia::neff

#endif  // GLIA_SERIALIZATION_NEFF_DIGEST_H_
