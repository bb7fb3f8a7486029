#include "serialization/neff/neff.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "serialization/isa/disassemble.h"
#include "serialization/isa/encode.h"
#include "serialization/isa/testing/programs.h"
#include "serialization/neff/neff_testing.h"

namespace glia::neff {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Neff Sample() {
  Neff neff;
  neff.program = isa::testing::MatmulProgram();
  std::string weights(16 * 64 * 4, '\0');
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<char>(i * 7);
  neff.files["w.bin"] = Blob::FromString(weights);
  neff.info = {{"compiler", "glia 0.1"}, {"options", "--optlevel \"2\"\n\u00e9"}};
  return neff;
}

std::string SampleBytes() { return *Write(Sample()); }

absl::Status ReadStatus(std::string bytes) {
  return Read(Blob::FromString(std::move(bytes))).status();
}

std::string TempPath(const std::string& name) { return ::testing::TempDir() + "/" + name; }

TEST(Neff, RoundTrips) {
  const Neff neff = Sample();
  const auto read = Read(Blob::FromString(SampleBytes()));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(isa::Disassemble((*read)->program), isa::Disassemble(neff.program));
  for (int e = 0; e < isa::kEngines; ++e) {
    EXPECT_EQ(isa::EncodedInstructions((*read)->program.segments[0].streams[e]),
              isa::EncodedInstructions(neff.program.segments[0].streams[e]));
  }
  EXPECT_EQ(isa::EncodedDmas((*read)->program.dmas), isa::EncodedDmas(neff.program.dmas));
  EXPECT_EQ((*read)->info, neff.info);
  ASSERT_EQ((*read)->files.size(), 1u);
  EXPECT_EQ((*read)->files.at("w.bin").view(), neff.files.at("w.bin").view());
  EXPECT_EQ((*read)->header.name, "matmul");
  EXPECT_TRUE((*read)->header.is_glia());
}

TEST(Neff, KeepsSegmentsAndTerminators) {
  Neff neff = Sample();
  neff.program.segments.resize(3);
  neff.program.segments[0].terminator = {
      isa::TerminatorKind::kBranch, 1, 2, isa::testing::kY, 4, isa::DType::kI32, 9};
  neff.program.segments[2].streams[3].resize(5);
  const auto read = Read(Blob::FromString(*Write(neff)));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(isa::Disassemble((*read)->program), isa::Disassemble(neff.program));
}

TEST(Neff, EqualInputsGiveEqualBytes) {
  const std::string bytes = SampleBytes();
  EXPECT_EQ(bytes, SampleBytes());
  Neff other = Sample();
  other.info["compiler"] = "glia 0.2";
  EXPECT_NE(ReadHeader(*Write(other))->uuid, ReadHeader(bytes)->uuid);
}

TEST(Neff, HeaderHasThePublicLayout) {
  const std::string bytes = SampleBytes();
  const auto u64 = [&](size_t at) {
    uint64_t v;
    std::memcpy(&v, &bytes[at], 8);
    return v;
  };
  EXPECT_EQ(u64(8), 1024u);
  EXPECT_EQ(u64(16), bytes.size() - 1024);
  EXPECT_EQ(bytes.substr(40, 5), "glia-");
  EXPECT_STREQ(&bytes[220], "matmul");
  EXPECT_EQ(bytes[476], 1);
  EXPECT_EQ(bytes[552], 1);
  EXPECT_EQ(bytes.substr(1024 + 257, 5), "ustar");  // a plain tar follows
}

TEST(Neff, DefJsonDescribesTheProgram) {
  const Blob bytes = Blob::FromString(SampleBytes());
  const auto entries = ListArchive(bytes);
  ASSERT_TRUE(entries.ok()) << entries.status();
  std::string json;
  for (const ArchiveEntry& e : *entries) {
    if (e.name == "sg00/def.json") json = std::string(bytes.view().substr(e.offset, e.size));
    EXPECT_EQ(e.offset % 512, 0u) << e.name;
  }
  google::protobuf::Struct def;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json, &def).ok()) << json;
  const auto& var = def.fields().at("var").struct_value().fields().at("w").struct_value().fields();
  EXPECT_EQ(var.at("type").string_value(), "file");
  EXPECT_EQ(var.at("size").number_value(), 4096);
  EXPECT_EQ(var.at("file_name").string_value(), "w.bin");
  const auto& queue =
      def.fields().at("dma_queue").struct_value().fields().at("out").struct_value().fields();
  EXPECT_EQ(queue.at("owner").string_value(), "ACT");
  const auto& tensors = def.fields().at("tensors").struct_value().fields();
  const auto& input = tensors.at("inputs").list_value().values(0).struct_value().fields();
  EXPECT_EQ(input.at("name").string_value(), "x");
  EXPECT_EQ(input.at("dtype").string_value(), "f32");
  EXPECT_EQ(input.at("shape").list_value().values(1).number_value(), 32);
}

TEST(NeffDamage, EveryTruncationIsAnError) {
  const std::string bytes = SampleBytes();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const absl::Status status = ReadStatus(bytes.substr(0, size));
    ASSERT_EQ(status.code(),
              size < 16 ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kDataLoss)
        << size << " " << status;
  }
  EXPECT_THAT(std::string(ReadStatus(bytes + "x").message()), HasSubstr("follow its end"));
}

TEST(NeffDamage, EveryFlippedByteIsAnError) {
  const std::string bytes = SampleBytes();
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string bad = bytes;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
    ASSERT_FALSE(ReadStatus(std::move(bad)).ok()) << i;
  }
}

// The hash of format 1.0, without pieces.
TEST(Neff, ReadsFormat10) {
  std::string old = SampleBytes();
  old[32] = 0;
  std::memset(&old[172], 0, 32);
  const std::string hashed = old.substr(1024) + old.substr(0, 1024);
  SHA256(reinterpret_cast<const uint8_t*>(hashed.data()), hashed.size(),
         reinterpret_cast<uint8_t*>(&old[172]));
  EXPECT_TRUE(ReadStatus(old).ok()) << ReadStatus(old);
  old[5000] ^= 1;
  EXPECT_EQ(ReadStatus(old).code(), absl::StatusCode::kDataLoss);
}

// Large enough for several threads, and with a last piece of every kind.
TEST(Neff, HashOfManyPieces) {
  for (const int64_t bytes :
       {(int64_t{17} << 20) - 1, int64_t{16} << 20, (int64_t{9} << 20) + 4096}) {
    Neff neff = Sample();
    for (isa::Variable& v : neff.program.variables) {
      if (v.kind != isa::VariableKind::kFile) continue;
      v.dtype = isa::DType::kU8;
      v.shape = {bytes};
      v.bytes = bytes;
    }
    std::string weights(static_cast<size_t>(bytes), '\0');
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<char>(i * i >> 7);
    neff.files["w.bin"] = Blob::FromString(weights);
    const absl::StatusOr<std::string> written = Write(neff);
    ASSERT_TRUE(written.ok()) << written.status();
    EXPECT_EQ(Rehashed(*written), *written);
    ASSERT_TRUE(ReadStatus(*written).ok()) << ReadStatus(*written);
    for (const size_t at : {size_t{1} << 20, written->size() / 2, written->size() - 1600}) {
      std::string bad = *written;
      bad[at] ^= 4;
      EXPECT_EQ(ReadStatus(bad).code(), absl::StatusCode::kDataLoss) << at;
    }
    // In one thread, to a file.
    const std::string path = TempPath("pieces.neff");
    ASSERT_TRUE(WriteFile(neff, path).ok());
    EXPECT_EQ(Blob::MapFile(path)->view(), *written);
  }
}

TEST(NeffDamage, ParsersSurviveWhatTheHashLetsThrough) {
  const std::string bytes = SampleBytes();
  ASSERT_EQ(Rehashed(bytes), bytes);
  int refused = 0;
  for (size_t i = 1024; i < bytes.size(); ++i) {
    std::string bad = bytes;
    bad[i] = static_cast<char>(bad[i] ^ (i % 2 == 0 ? 0xff : 1 << (i / 2 % 8)));
    const auto read = Read(Blob::FromString(Rehashed(std::move(bad))));
    refused += !read.ok();
    if (!read.ok()) continue;
    EXPECT_FALSE(isa::Disassemble((*read)->program).empty()) << i;
  }
  EXPECT_GT(refused, 1000);
}

TEST(NeffDamage, ListArchiveSurvivesFlippedBytes) {
  const std::string bytes = SampleBytes();
  for (size_t i = 0; i < bytes.size(); i += 3) {
    std::string bad = bytes;
    bad[i] = static_cast<char>(~bad[i]);
    const auto entries = ListArchive(Blob::FromString(bad));
    if (!entries.ok()) continue;
    for (const ArchiveEntry& e : *entries) EXPECT_LE(e.offset + e.size, bad.size()) << i;
  }
}

TEST(NeffDamage, ForeignAndFutureFilesAreNamed) {
  std::string foreign = SampleBytes();
  std::memcpy(&foreign[40], "2.12.68.0\0", 10);
  absl::Status status = ReadStatus(foreign);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("made by another compiler"));
  EXPECT_EQ(ReadHeader(foreign)->build_version, "2.12.68.0");
  EXPECT_FALSE(ReadHeader(foreign)->is_glia());
  EXPECT_TRUE(ListArchive(Blob::FromString(foreign)).ok());

  std::string future = SampleBytes();
  future[24] = 2;
  status = ReadStatus(future);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("format 2.1"));

  EXPECT_THAT(std::string(ReadStatus(std::string(5000, 'z')).message()), StartsWith("not a NEFF"));
  EXPECT_EQ(ReadStatus("").code(), absl::StatusCode::kInvalidArgument);
}

TEST(NeffWrite, RefusesWhatItCouldNotRead) {
  Neff neff = Sample();
  neff.program.dmas[0].size[4] = 0;
  EXPECT_EQ(Write(neff).status().code(), absl::StatusCode::kInvalidArgument);
  neff = Sample();
  neff.files.clear();
  EXPECT_THAT(std::string(Write(neff).status().message()), HasSubstr("needs file 'w.bin'"));
  neff = Sample();
  neff.files["w.bin"] = Blob::FromString("short");
  EXPECT_THAT(std::string(Write(neff).status().message()),
              HasSubstr("has 4096 bytes, its file 'w.bin' 5"));
  neff = Sample();
  neff.files["other"] = Blob();
  EXPECT_THAT(std::string(Write(neff).status().message()), HasSubstr("belongs to no variable"));
  for (const char* name : {"../w", "/w", "a//b", "sg00/PE.bin", "info.json", "w\n", "."}) {
    neff = Sample();
    neff.files[name] = neff.files["w.bin"];
    neff.files.erase("w.bin");
    neff.program.variables[isa::testing::kW].file = name;
    EXPECT_THAT(std::string(Write(neff).status().message()), HasSubstr("is not allowed")) << name;
  }
  neff = Sample();
  neff.info["k"] = "\xff";
  EXPECT_THAT(std::string(Write(neff).status().message()), HasSubstr("not UTF-8"));
}

TEST(NeffWrite, LongNamesSurvive) {
  Neff neff = Sample();
  const std::string name = std::string(200, 'd') + "/" + std::string(200, 'f');
  neff.files[name] = neff.files["w.bin"];
  neff.files.erase("w.bin");
  neff.program.variables[isa::testing::kW].file = name;
  neff.program.name = std::string(1000, 'n') + "\xff\"";
  const auto read = Read(Blob::FromString(*Write(neff)));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ((*read)->program.name, neff.program.name);
  EXPECT_EQ((*read)->header.name, std::string(255, 'n'));
}

TEST(NeffFile, WritesAtomicallyWhatWriteGives) {
  const std::string path = TempPath("a.neff");
  ASSERT_TRUE(WriteFile(Sample(), path).ok());
  ASSERT_TRUE(WriteFile(Sample(), path).ok());  // over an existing one
  const auto blob = Blob::MapFile(path);
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_EQ(blob->view(), SampleBytes());
  EXPECT_TRUE(Read(*blob).ok());
}

TEST(NeffFile, SaysWhyItCannotWriteOrRead) {
  absl::Status status = WriteFile(Sample(), TempPath("missing/a.neff"));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("create the directory first"));
  const std::string directory = TempPath("locked");
  mkdir(directory.c_str(), 0500);
  if (geteuid() != 0) {
    EXPECT_EQ(WriteFile(Sample(), directory + "/a.neff").code(),
              absl::StatusCode::kPermissionDenied);
  }
  // A directory in the file's place: the temporary file must be gone again.
  ASSERT_EQ(mkdir(TempPath("taken.neff").c_str(), 0700), 0);
  EXPECT_FALSE(WriteFile(Sample(), TempPath("taken.neff")).ok());
  for (const auto& file : std::filesystem::directory_iterator(::testing::TempDir())) {
    EXPECT_EQ(file.path().string().find(".tmp."), std::string::npos) << file.path();
  }
  EXPECT_EQ(Blob::MapFile(TempPath("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Blob::MapFile(::testing::TempDir()).status().code(),
            absl::StatusCode::kInvalidArgument);
  std::ofstream(TempPath("empty")).flush();
  EXPECT_EQ(Blob::MapFile(TempPath("empty"))->size(), 0u);
}

TEST(NeffFile, LargeConstantsAreNotCopied) {
  constexpr int64_t kBytes = 100 << 20;
  Neff neff;
  neff.program.segments.resize(1);
  neff.program.variables = {isa::testing::Hbm(isa::VariableKind::kFile, "big", {kBytes / 4})};
  neff.program.variables[0].file = "big.bin";
  neff.files["big.bin"] = Blob::FromString(std::string(kBytes, 'b'));
  const std::string path = TempPath("big.neff");
  ASSERT_TRUE(WriteFile(neff, path).ok());
  const auto blob = Blob::MapFile(path);
  ASSERT_TRUE(blob.ok());
  const auto read = Read(*blob);
  ASSERT_TRUE(read.ok()) << read.status();
  const Blob& big = (*read)->files.at("big.bin");
  EXPECT_EQ(big.size(), static_cast<size_t>(kBytes));
  EXPECT_GE(big.data(), blob->data());
  EXPECT_LE(big.data() + big.size(), blob->data() + blob->size());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(big.data()) % 64, 0u);
  EXPECT_EQ(big.data()[kBytes - 1], 'b');
}

TEST(NeffFile, ConstantsOutliveTheirReader) {
  ASSERT_TRUE(WriteFile(Sample(), TempPath("b.neff")).ok());
  Blob weights;
  {
    const auto read = Read(*Blob::MapFile(TempPath("b.neff")));
    ASSERT_TRUE(read.ok());
    weights = (*read)->files.at("w.bin");
  }
  unlink(TempPath("b.neff").c_str());
  EXPECT_EQ(weights.data()[1], 7);
}

}  // namespace
}  // namespace glia::neff
