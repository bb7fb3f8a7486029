// The SHA-256 hash of a NEFF: every byte counts. From format 1.1 on a tree, so that a large file is
// hashed by several threads: SHA-256 of the SHA-256s of the archive's pieces of kPieceBytes (the
// last may be shorter), followed by the header with its hash field zero. In format 1.0, of the
// archive and that header.
#ifndef GLIA_SERIALIZATION_NEFF_DIGEST_H_
#define GLIA_SERIALIZATION_NEFF_DIGEST_H_

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "serialization/neff/header.h"

namespace glia::neff {

class Sha256 {
 public:
  Sha256();
  Sha256(const Sha256& other);
  Sha256(Sha256&&) = default;
  Sha256& operator=(Sha256&&) = default;
  void Update(absl::string_view bytes);
  // Of what came so far; more may follow.
  std::array<uint8_t, kHashSize> Value() const;

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  using Context = std::unique_ptr<EVP_MD_CTX, Free>;
  Context context_;
};

class Digest {
 public:
  static constexpr size_t kPieceBytes = size_t{1} << 20;

  // `format_minor` 0: without pieces.
  explicit Digest(uint64_t format_minor = kFormatMinor) : tree_(format_minor > 0) {}
  // The archive, part after part, in this thread.
  void Update(absl::string_view bytes);
  // The whole archive, by as many threads as the processor runs.
  void UpdateWhole(absl::string_view archive);
  // After the archive.
  void UpdateHeader(HeaderBytes header);
  // Of what came so far; more may follow.
  std::array<uint8_t, kHashSize> Value() const;

 private:
  // Ends the piece under way, if there is one.
  static void AddPiece(const Sha256& piece, size_t filled, Sha256* root);

  bool tree_;
  Sha256 root_;
  Sha256 piece_;
  size_t filled_ = 0;  // bytes of the piece
};

}  // namespace glia::neff

#endif  // GLIA_SERIALIZATION_NEFF_DIGEST_H_
