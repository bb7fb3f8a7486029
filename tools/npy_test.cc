#include "tools/npy.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <vector>

namespace glia::tools {
namespace {

std::string Path(const std::string& name) {
  const char* directory = std::getenv("TEST_TMPDIR");
  return std::string(directory == nullptr ? "/tmp" : directory) + "/" + name;
}

std::string Bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

std::string Write(const std::string& bytes) {
  const std::string path = Path("case.npy");
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  return path;
}

// A file of format `major`.0 with this header and data.
std::string Npy(const std::string& header, const std::string& data, int major = 1) {
  std::string bytes = "\x93NUMPY";
  bytes.push_back(static_cast<char>(major));
  bytes.push_back(0);
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i) {
    bytes.push_back(static_cast<char>(header.size() >> (8 * i) & 0xff));
  }
  return bytes + header + data;
}

std::string Header(const std::string& descr, const std::string& shape,
                   const std::string& fortran = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }\n";
}

std::string Error(const std::string& bytes) {
  const std::string path = Write(bytes);
  try {
    ReadNpy(path);
  } catch (const std::runtime_error& error) {
    const std::string what = error.what();
    EXPECT_EQ(what.rfind(path + ": ", 0), 0u) << what;
    return what.substr(path.size() + 2);
  }
  return "no error";
}

void ExpectEqual(const at::Tensor& got, const at::Tensor& want) {
  EXPECT_EQ(got.scalar_type(), want.scalar_type());
  EXPECT_EQ(got.sizes(), want.sizes());
  EXPECT_TRUE(got.is_contiguous());
  EXPECT_TRUE(at::equal(got, want));
}

TEST(NpyTest, RoundTripsEveryTypeAndShape) {
  const std::vector<std::vector<int64_t>> shapes = {{}, {1}, {7}, {0}, {3, 0, 2}, {2, 3, 5}};
  for (at::ScalarType type : {at::kHalf, at::kFloat, at::kDouble, at::kChar, at::kShort, at::kInt,
                              at::kLong, at::kByte, at::kBool}) {
    for (const std::vector<int64_t>& shape : shapes) {
      SCOPED_TRACE(c10::toString(type));
      const at::Tensor t =
          at::randint(0, 100, shape, at::TensorOptions(at::kLong)).sub(50).to(type);
      WriteNpy(Path("round.npy"), t);
      ExpectEqual(ReadNpy(Path("round.npy")), t);
    }
  }
}

TEST(NpyTest, WritesWhatNumPyWrites) {
  WriteNpy(Path("exact.npy"), at::arange(3, at::TensorOptions(at::kByte)));
  std::string header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }";
  header.append(117 - header.size(), ' ').push_back('\n');
  EXPECT_EQ(Bytes(Path("exact.npy")).substr(0, 10), Npy(header, "").substr(0, 10));
  // numpy.lib.format aligns the data to 64 bytes.
  const std::string bytes = Bytes(Path("exact.npy"));
  ASSERT_EQ(bytes.size() % 64, 3u);
  EXPECT_EQ(bytes.substr(bytes.size() - 4), std::string("\n\0\1\2", 4));
}

TEST(NpyTest, BFloat16BecomesFloat) {
  const at::Tensor t = at::randn({5, 3}).to(at::kBFloat16);
  WriteNpy(Path("bf16.npy"), t);
  ExpectEqual(ReadNpy(Path("bf16.npy")), t.to(at::kFloat));
}

TEST(NpyTest, StridedTensorsAreWrittenInOrder) {
  const at::Tensor t = at::arange(12, at::TensorOptions(at::kFloat)).reshape({3, 4}).t();
  WriteNpy(Path("strided.npy"), t);
  ExpectEqual(ReadNpy(Path("strided.npy")), t.contiguous());
}

TEST(NpyTest, ReadsFortranOrder) {
  const std::string data("\0\1\2\3\4\5", 6);
  ExpectEqual(ReadNpy(Write(Npy(Header("|u1", "(2, 3)", "True"), data))),
              at::arange(6, at::TensorOptions(at::kByte)).reshape({3, 2}).t().contiguous());
  ExpectEqual(ReadNpy(Write(Npy(Header("|u1", "()", "True"), data.substr(5)))),
              at::full({}, 5, at::TensorOptions(at::kByte)));
}

TEST(NpyTest, ReadsEveryFormat) {
  for (int major : {1, 2, 3}) {
    ExpectEqual(ReadNpy(Write(Npy(Header("<i2", "(1,)"), std::string("\3\1", 2), major))),
                at::full({1}, 259, at::TensorOptions(at::kShort)));
  }
}

TEST(NpyTest, RefusesOtherElements) {
  for (const char* descr : {">f4", ">i8", "<c8", "<u4", "|u2"}) {
    EXPECT_NE(Error(Npy(Header(descr, "(1,)"), std::string(8, '\0')))
                  .find("has elements of type '" + std::string(descr) + "'"),
              std::string::npos)
        << descr;
  }
}

TEST(NpyTest, RefusesMalformedFiles) {
  const std::string good = Npy(Header("<f4", "(2,)"), std::string(8, '\0'));
  EXPECT_EQ(Error(""), "is no .npy file");
  EXPECT_EQ(Error("\x93NUMPX" + good.substr(6)), "is no .npy file");
  EXPECT_EQ(Error(Npy(Header("<f4", "(2,)"), std::string(8, '\0'), 4)),
            "has format 4; 1 to 3 are known");
  EXPECT_NE(Error(Npy("{}\n", "")).find("has a header that is not understood"), std::string::npos);
  EXPECT_NE(Error(Npy(Header("<f4", "2"), "")).find("not understood"), std::string::npos);
  EXPECT_NE(Error(Npy(Header("<f4", "(2,)", "Perhaps"), "")).find("not understood"),
            std::string::npos);
  EXPECT_NE(Error(Npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n", ""))
                .find("not understood"),
            std::string::npos);
  for (const char* shape : {"(-1,)", "(x,)", "(2.5,)", "(4294967296, 4294967296)"}) {
    EXPECT_EQ(Error(Npy(Header("<f4", shape), std::string(8, '\0'))),
              "has a bad shape: " + std::string(shape));
  }
}

TEST(NpyTest, EveryTruncationIsAnError) {
  const std::string good = Npy(Header("<f4", "(2,)"), std::string(8, '\0'));
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_NE(Error(good.substr(0, size)), "no error") << size;
  }
  EXPECT_EQ(Error(good.substr(0, good.size() - 1)),
            "holds 7 bytes of data; its header says 2 elements of 4");
  EXPECT_EQ(Error(good + "x"), "holds 9 bytes of data; its header says 2 elements of 4");
  EXPECT_EQ(Error(good), "no error");
}

TEST(NpyTest, RefusesMissingFilesAndDirectories) {
  EXPECT_THROW(ReadNpy(Path("missing.npy")), std::runtime_error);
  EXPECT_THROW(ReadNpy(Path("")), std::runtime_error);
}

TEST(NpyTest, FailedWritesLeaveNothing) {
  const std::string directory = Path("writes");
  std::filesystem::create_directory(directory);
  std::filesystem::create_directory(directory + "/taken.npy");
  const at::Tensor t = at::zeros({2});
  EXPECT_THROW(WriteNpy(directory + "/missing/out.npy", t), std::runtime_error);
  EXPECT_THROW(WriteNpy(directory + "/taken.npy", t), std::runtime_error);
  EXPECT_THROW(WriteNpy(directory + "/complex.npy", t.to(at::kComplexFloat)), std::runtime_error);
  size_t entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    EXPECT_EQ(entry.path().filename(), "taken.npy");
    ++entries;
  }
  EXPECT_EQ(entries, 1u);
}

}  // namespace
}  // namespace glia::tools
