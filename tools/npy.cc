#include "tools/npy.h"

#include <ATen/Functions.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "re2/re2.h"

namespace glia::tools {
namespace {

struct Descr {
  const char* name;  // as in the header, without byte order
  at::ScalarType type;
};
constexpr Descr kDescrs[] = {
    {"f2", at::kHalf}, {"f4", at::kFloat}, {"f8", at::kDouble}, {"i1", at::kChar},
    {"i2", at::kShort}, {"i4", at::kInt},  {"i8", at::kLong},   {"u1", at::kByte},
    {"b1", at::kBool},
};

[[noreturn]] void Fail(const std::string& path, const std::string& why) {
  throw std::runtime_error(path + ": " + why);
}

constexpr char kMagic[] = "\x93NUMPY";

}  // namespace

at::Tensor ReadNpy(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Fail(path, "cannot be opened");
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (bytes.size() < 12 || bytes.compare(0, 6, kMagic, 6) != 0) Fail(path, "is no .npy file");
  const int major = static_cast<unsigned char>(bytes[6]);
  if (major < 1 || major > 3) Fail(path, absl::StrCat("has format ", major, "; 1 to 3 are known"));
  const size_t length_bytes = major == 1 ? 2 : 4;
  size_t length = 0;
  for (size_t i = length_bytes; i-- > 0;) {
    length = length << 8 | static_cast<unsigned char>(bytes[8 + i]);
  }
  const size_t start = 8 + length_bytes;
  if (length > bytes.size() - start) Fail(path, "is truncated in its header");
  const std::string header = bytes.substr(start, length);

  std::string order, descr, fortran, shape;
  if (!RE2::PartialMatch(header, R"('descr'\s*:\s*'([<>|=])([a-z]\d+)')", &order, &descr) ||
      !RE2::PartialMatch(header, R"('fortran_order'\s*:\s*(True|False))", &fortran) ||
      !RE2::PartialMatch(header, R"('shape'\s*:\s*\(([^)]*)\))", &shape)) {
    Fail(path, "has a header that is not understood: " + header);
  }
  at::ScalarType type = at::ScalarType::Undefined;
  for (const Descr& d : kDescrs) {
    if (descr == d.name) type = d.type;
  }
  if (type == at::ScalarType::Undefined || order == ">") {
    Fail(path, "has elements of type '" + order + descr +
                   "'; little-endian f2 f4 f8 i1 i2 i4 i8 u1 and bool are known");
  }
  std::vector<int64_t> sizes;
  int64_t elements = 1;
  for (absl::string_view part : absl::StrSplit(shape, ',')) {
    part = absl::StripAsciiWhitespace(part);
    if (part.empty()) continue;
    int64_t size = 0;
    if (!absl::SimpleAtoi(part, &size) || size < 0 ||
        __builtin_mul_overflow(elements, size, &elements)) {
      Fail(path, "has a bad shape: (" + shape + ")");
    }
    sizes.push_back(size);
  }
  const size_t data = bytes.size() - start - length;
  const size_t element_size = c10::elementSize(type);
  if (static_cast<size_t>(elements) > data / element_size ||
      static_cast<size_t>(elements) * element_size != data) {
    Fail(path, absl::StrCat("holds ", data, " bytes of data; its header says ", elements,
                            " elements of ", element_size));
  }
  if (fortran == "True") {
    std::vector<int64_t> reversed(sizes.rbegin(), sizes.rend());
    at::Tensor t = at::empty(reversed, at::TensorOptions(type));
    bytes.copy(static_cast<char*>(t.data_ptr()), data, start + length);
    std::vector<int64_t> axes;
    for (int64_t d = t.dim(); d-- > 0;) axes.push_back(d);
    return t.permute(axes).contiguous();
  }
  at::Tensor t = at::empty(sizes, at::TensorOptions(type));
  bytes.copy(static_cast<char*>(t.data_ptr()), data, start + length);
  return t;
}

void WriteNpy(const std::string& path, const at::Tensor& tensor) {
  at::Tensor t = tensor.contiguous();
  if (t.scalar_type() == at::kBFloat16) t = t.to(at::kFloat);
  const char* descr = nullptr;
  for (const Descr& d : kDescrs) {
    if (d.type == t.scalar_type()) descr = d.name;
  }
  if (descr == nullptr) {
    Fail(path, absl::StrCat("cannot hold elements of type ", c10::toString(t.scalar_type())));
  }
  std::string header = absl::StrCat(
      "{'descr': '", c10::elementSize(t.scalar_type()) == 1 ? "|" : "<", descr,
      "', 'fortran_order': False, 'shape': (", absl::StrJoin(t.sizes(), ", "),
      t.dim() == 1 ? ",), }" : "), }");
  header.append(63 - (10 + header.size()) % 64, ' ');
  header.push_back('\n');
  const std::string temporary = absl::StrCat(path, ".tmp", getpid());
  std::ofstream file(temporary, std::ios::binary);
  file.write(kMagic, 6);
  const char version_and_length[4] = {1, 0, static_cast<char>(header.size() & 0xff),
                                      static_cast<char>(header.size() >> 8)};
  file.write(version_and_length, 4);
  file << header;
  file.write(static_cast<const char*>(t.data_ptr()), static_cast<std::streamsize>(t.nbytes()));
  file.close();
  if (!file || std::rename(temporary.c_str(), path.c_str()) != 0) {
    std::remove(temporary.c_str());
    Fail(path, "cannot be written");
  }
}

}  // namespace glia::tools
