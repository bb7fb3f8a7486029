#include "serialization/neff/digest.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace glia::neff {
namespace {

// SHA-256 is in every OpenSSL; it can fail only where memory or the installation is broken.
void Require(int result) {
  if (result == 1) return;
  std::fprintf(stderr, "glia: OpenSSL cannot compute SHA-256\n");
  std::abort();
}

}  // namespace

Digest::Digest() : context_(EVP_MD_CTX_new()) {
  Require(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Digest::Update(absl::string_view bytes) {
  Require(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

void Digest::UpdateHeader(HeaderBytes header) {
  std::fill_n(header.begin() + kHashOffset, kHashSize, uint8_t{0});
  Update(absl::string_view(reinterpret_cast<const char*>(header.data()), header.size()));
}

std::array<uint8_t, kHashSize> Digest::Value() const {
  const Context copy(EVP_MD_CTX_new());
  std::array<uint8_t, kHashSize> value;
  Require(copy != nullptr && EVP_MD_CTX_copy_ex(copy.get(), context_.get()));
  Require(EVP_DigestFinal_ex(copy.get(), value.data(), nullptr));
  return value;
}

}  // namespace glia::neff
