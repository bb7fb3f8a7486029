#include "device_sim/footprint.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

#include "device_sim/testing/program_builder.h"
#include "serialization/isa/table.h"
#include "gtest/gtest.h"

namespace glia::device {
namespace {

// All flat addresses of a footprint, the slow way.
std::set<int64_t> Bytes(const Footprint& f) {
  std::set<int64_t> bytes;
  std::vector<int64_t> at(f.dims, 0);
  while (true) {
    int64_t base = f.base;
    for (int d = 0; d < f.dims; ++d) base += at[d] * f.stride[d];
    for (int64_t b = 0; b < f.run; ++b) bytes.insert(base + b);
    int d = f.dims - 1;
    while (d >= 0 && ++at[d] == f.size[d]) at[d--] = 0;
    if (d < 0) return bytes;
  }
}

std::set<int64_t> OperandBytes(const isa::Program& p, const isa::Operand& o) {
  const isa::Variable& v = p.variables[o.var];
  std::set<int64_t> bytes;
  const int size = isa::DTypeBytes(o.dtype);
  for (int q = 0; q < o.num_partitions; ++q) {
    for (int a = 0; a < o.size[0]; ++a) {
      for (int b = 0; b < o.size[1]; ++b) {
        for (int c = 0; c < o.size[2]; ++c) {
          for (int d = 0; d < o.size[3]; ++d) {
            const int64_t element = a * o.stride[0] + b * o.stride[1] + c * o.stride[2] + d * o.stride[3];
            const int64_t at = (v.partition + o.partition + q) * isa::kSbufPartitionBytes + v.address +
                               o.offset + element * size;
            for (int k = 0; k < size; ++k) bytes.insert(at + k);
          }
        }
      }
    }
  }
  return bytes;
}

TEST(Footprint, RandomOperandsMatchEnumeration) {
  std::mt19937 random(20240711);
  const auto pick = [&random](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  ProgramBuilder b;
  const uint32_t var = b.Sbuf(128, 4096, 0, 512);
  const isa::Program p = b.Build();
  std::vector<Footprint> footprints;
  std::vector<std::set<int64_t>> bytes;
  for (int i = 0; i < 120; ++i) {
    isa::Operand o = b.Tile(var, i % 2 ? isa::DType::kF32 : isa::DType::kU8);
    o.partition = static_cast<uint8_t>(pick(3));
    o.num_partitions = static_cast<uint8_t>(1 + pick(4));
    std::vector<int> sizes, strides;
    for (int d = 0; d < 1 + pick(4); ++d) {
      sizes.push_back(1 + pick(4));
      strides.push_back(pick(17) - 8);
    }
    o = Pattern(o, sizes, strides, 200 + pick(20));
    footprints.push_back(FootprintOf(p, o));
    bytes.push_back(OperandBytes(p, o));
    ASSERT_EQ(Bytes(footprints.back()), bytes.back()) << i;
    const Footprint& f = footprints.back();
    EXPECT_EQ(f.first_partition, *bytes.back().begin() / isa::kSbufPartitionBytes);
    EXPECT_EQ(f.box, static_cast<int64_t>(bytes.back().size()) ==
                         (f.last_partition - f.first_partition) * (f.high - f.low));
  }
  int overlaps = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (size_t j = 0; j < bytes.size(); ++j) {
      bool want = false;
      for (const int64_t at : bytes[i]) want = want || bytes[j].count(at) > 0;
      EXPECT_EQ(Overlap(footprints[i], footprints[j]), want) << i << " " << j;
      overlaps += want;
    }
  }
  EXPECT_GT(overlaps, 1000);
  EXPECT_LT(overlaps, 13000);
}

TEST(Footprint, TransfersCrossPartitions) {
  ProgramBuilder b;
  const uint32_t var = b.Sbuf(8, 12, 2, 100);  // rows of 12 bytes, 192 KiB apart
  const uint32_t out = b.Hbm(isa::VariableKind::kOutput, "y", isa::DType::kU8, {96});
  const isa::Program p = b.Build();
  std::mt19937 random(7);
  const auto pick = [&random](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (int i = 0; i < 300; ++i) {
    isa::DmaDescriptor d;
    d.dst_var = var;
    d.src_var = out;
    d.element_bytes = static_cast<uint8_t>(1 << pick(3));
    int64_t reach = d.element_bytes;
    for (int k = 4; k >= 2; --k) {
      const int64_t stride = pick(3) == 0 ? 12 : 1 + pick(13);
      const int64_t most = (96 - reach) / stride + 1;
      d.size[k] = static_cast<uint32_t>(1 + pick(static_cast<int>(std::min<int64_t>(most, 6))));
      d.dst_stride[k] = stride;
      reach += stride * (d.size[k] - 1);
    }
    d.dst_offset = static_cast<uint64_t>(pick(static_cast<int>(96 - reach + 1)));
    std::set<int64_t> want;
    for (int64_t x = 0; x < d.size[2]; ++x) {
      for (int64_t y = 0; y < d.size[3]; ++y) {
        for (int64_t z = 0; z < d.size[4]; ++z) {
          for (int64_t k = 0; k < d.element_bytes; ++k) {
            const int64_t at = static_cast<int64_t>(d.dst_offset) + x * d.dst_stride[2] + y * d.dst_stride[3] +
                               z * d.dst_stride[4] + k;
            want.insert((2 + at / 12) * isa::kSbufPartitionBytes + 100 + at % 12);
          }
        }
      }
    }
    std::set<int64_t> got;
    for (const Footprint& f : FootprintsOf(p, d).writes) {
      for (const int64_t at : Bytes(f)) got.insert(at);
    }
    ASSERT_EQ(got, want) << "descriptor " << i;
  }
}

TEST(Footprint, WholeTileIsOneBox) {
  ProgramBuilder b;
  const uint32_t tile = b.Sbuf(128, 1024);
  const uint32_t x = b.Hbm(isa::VariableKind::kInput, "x", isa::DType::kU8, {128, 1024});
  b.Copy(tile, x);
  const isa::Program p = b.Build();
  const DmaFootprints f = FootprintsOf(p, p.dmas[0]);
  ASSERT_EQ(f.writes.size(), 1u);
  EXPECT_TRUE(f.writes[0].box);
  EXPECT_EQ(f.writes[0].last_partition, 128);
  EXPECT_EQ(f.writes[0].high, 1024);
}

TEST(Footprint, MemoriesDoNotMeetButScratchVariablesMay) {
  ProgramBuilder b;
  const uint32_t s = b.Sbuf(4, 64, 0, 0);
  const uint32_t q = b.Psum(4, 64, 0, 0);
  const uint32_t t = b.Scratch("t", 64);
  const uint32_t u = b.Scratch("u", 64);
  b.variable(u).hbm_offset = 32;
  b.Copy(s, t);
  b.Copy(u, s);
  isa::Program p = b.Build();
  EXPECT_FALSE(Overlap(FootprintOf(p, b.Tile(s)), FootprintOf(p, b.Tile(q))));
  EXPECT_TRUE(Overlap(FootprintsOf(p, p.dmas[0]).reads[0], FootprintsOf(p, p.dmas[1]).writes[0]));
  p.variables[u].hbm_offset = 64;
  p.dmas[0].size[4] = 64;
  EXPECT_FALSE(Overlap(FootprintsOf(p, p.dmas[0]).reads[0], FootprintsOf(p, p.dmas[1]).writes[0]));
}

}  // namespace
}  // namespace glia::device
