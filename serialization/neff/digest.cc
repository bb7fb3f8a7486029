#include "serialization/neff/digest.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <thread>
#include <vector>

namespace glia::neff {
namespace {

// SHA-256 is in every OpenSSL; it can fail only where memory or the installation is broken.
void Require(int result) {
  if (result == 1) return;
  std::fprintf(stderr, "glia: OpenSSL cannot compute SHA-256\n");
  std::abort();
}

absl::string_view View(const std::array<uint8_t, kHashSize>& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

// Below, threads cost more than they save.
constexpr size_t kPiecesPerThread = 4;

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  Require(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

Sha256::Sha256(const Sha256& other) : context_(EVP_MD_CTX_new()) {
  Require(context_ != nullptr && EVP_MD_CTX_copy_ex(context_.get(), other.context_.get()));
}

void Sha256::Update(absl::string_view bytes) {
  Require(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

std::array<uint8_t, kHashSize> Sha256::Value() const {
  const Sha256 copy(*this);
  std::array<uint8_t, kHashSize> value;
  Require(EVP_DigestFinal_ex(copy.context_.get(), value.data(), nullptr));
  return value;
}

void Digest::AddPiece(const Sha256& piece, size_t filled, Sha256* root) {
  if (filled > 0) root->Update(View(piece.Value()));
}

void Digest::Update(absl::string_view bytes) {
  if (!tree_) return root_.Update(bytes);
  while (!bytes.empty()) {
    const size_t taken = std::min(bytes.size(), kPieceBytes - filled_);
    piece_.Update(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    filled_ += taken;
    if (filled_ < kPieceBytes) continue;
    AddPiece(piece_, filled_, &root_);
    piece_ = Sha256();
    filled_ = 0;
  }
}

void Digest::UpdateWhole(absl::string_view archive) {
  if (!tree_) return root_.Update(archive);
  const size_t pieces = (archive.size() + kPieceBytes - 1) / kPieceBytes;
  std::vector<std::array<uint8_t, kHashSize>> hashes(pieces);
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < pieces; i = next++) {
      Sha256 piece;
      piece.Update(archive.substr(i * kPieceBytes, kPieceBytes));
      hashes[i] = piece.Value();
    }
  };
  std::vector<std::thread> helpers;
  const size_t threads =
      std::min<size_t>(std::thread::hardware_concurrency(), pieces / kPiecesPerThread);
  try {
    while (helpers.size() + 1 < threads) helpers.emplace_back(work);
  } catch (const std::system_error&) {
    // No more threads to be had: those there are do it.
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  for (const auto& hash : hashes) root_.Update(View(hash));
}

void Digest::UpdateHeader(HeaderBytes header) {
  AddPiece(piece_, filled_, &root_);
  filled_ = 0;
  std::fill_n(header.begin() + kHashOffset, kHashSize, uint8_t{0});
  root_.Update(absl::string_view(reinterpret_cast<const char*>(header.data()), header.size()));
}

std::array<uint8_t, kHashSize> Digest::Value() const {
  if (filled_ == 0) return root_.Value();
  // What UpdateHeader would do to it, on a copy.
  Sha256 root(root_);
  AddPiece(piece_, filled_, &root);
  return root.Value();
}

}  // namespace glia::neff
