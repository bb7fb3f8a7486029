#include "frontend/capture/view.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace glia::capture {
namespace {

using Ints = std::vector<int64_t>;

struct Array {
  Ints sizes;
  Ints data;  // row-major
};

int64_t Product(const Ints& v) {
  return std::accumulate(v.begin(), v.end(), int64_t{1}, std::multiplies<int64_t>());
}

Ints RowMajor(const Ints& sizes) {
  Ints strides(sizes.size(), 1);
  for (int d = static_cast<int>(sizes.size()) - 2; d >= 0; --d) {
    strides[d] = strides[d + 1] * std::max<int64_t>(sizes[d + 1], 1);
  }
  return strides;
}

// Calls fn(index) for every index of the shape, row-major.
template <typename F>
void ForEach(const Ints& sizes, F fn) {
  if (Product(sizes) == 0) return;
  Ints index(sizes.size(), 0);
  while (true) {
    fn(index);
    int d = static_cast<int>(sizes.size()) - 1;
    while (d >= 0 && ++index[d] == sizes[d]) index[d--] = 0;
    if (d < 0) return;
  }
}

int64_t Dot(const Ints& a, const Ints& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), int64_t{0});
}

// Elements of a bitcast array are numbered: item k of size s is the list of its bytes' numbers, so
// a value is identified by its first byte; all arrays here hold byte addresses.
Array Apply(const std::vector<ViewStep>& steps, Array a, int64_t from_item = 4,
            int64_t to_item = 4) {
  for (const ViewStep& s : steps) {
    Array r;
    r.sizes = s.sizes;
    switch (s.kind) {
      case ViewStepKind::kBitcast: {
        EXPECT_EQ(a.sizes.size(), 1u);
        EXPECT_EQ(s.sizes[0] * to_item, a.sizes[0] * from_item);
        Ints bytes;
        for (int64_t v : a.data) {
          for (int64_t b = 0; b < from_item; ++b) bytes.push_back(v + b);
        }
        for (int64_t i = 0; i < s.sizes[0]; ++i) r.data.push_back(bytes[i * to_item]);
        break;
      }
      case ViewStepKind::kReshape:
        EXPECT_EQ(Product(s.sizes), Product(a.sizes));
        r.data = a.data;
        break;
      case ViewStepKind::kTranspose:
        ForEach(s.sizes, [&](const Ints& i) {
          Ints j(i.size());
          for (size_t d = 0; d < i.size(); ++d) j[s.permutation[d]] = i[d];
          r.data.push_back(a.data[Dot(j, RowMajor(a.sizes))]);
        });
        break;
      case ViewStepKind::kSlice:
        ForEach(s.sizes, [&](const Ints& i) {
          Ints j(i.size());
          for (size_t d = 0; d < i.size(); ++d) {
            j[d] = s.starts[d] + i[d] * s.steps[d];
            EXPECT_LT(j[d], s.limits[d]);
            EXPECT_LE(s.limits[d], a.sizes[d]);
          }
          r.data.push_back(a.data[Dot(j, RowMajor(a.sizes))]);
        });
        break;
      case ViewStepKind::kBroadcast:
        ForEach(s.sizes, [&](const Ints& i) {
          Ints j;
          for (size_t d = 0; d < a.sizes.size(); ++d) {
            EXPECT_EQ(a.sizes[d], s.sizes[s.dimensions[d]]);
            j.push_back(i[s.dimensions[d]]);
          }
          r.data.push_back(a.data[Dot(j, RowMajor(a.sizes))]);
        });
        break;
      case ViewStepKind::kGather:
        EXPECT_EQ(a.sizes.size(), 1u);
        for (int64_t i : s.indices) r.data.push_back(a.data.at(i));
        break;
    }
    EXPECT_EQ(static_cast<int64_t>(r.data.size()), Product(r.sizes));
    a = std::move(r);
  }
  return a;
}

// The base value whose element at memory position p is the byte address p · itemsize.
Array BaseArray(const Geometry& g) {
  Array a{g.sizes, {}};
  ForEach(g.sizes, [&](const Ints& i) { a.data.push_back(Dot(i, g.strides) * g.itemsize); });
  return a;
}

void CheckRead(const Geometry& base, const Geometry& region) {
  Array expected{region.sizes, {}};
  ForEach(region.sizes, [&](const Ints& i) {
    expected.data.push_back((region.offset + Dot(i, region.strides)) * region.itemsize);
  });
  const auto steps = ClassifyView(base, region);
  const Array got = Apply(steps, BaseArray(base), base.itemsize, region.itemsize);
  EXPECT_EQ(got.sizes, expected.sizes) << ToString(steps);
  EXPECT_EQ(got.data, expected.data) << ToString(steps);
}

// Contents are negative numbers, one per byte, so that they are told from the base's addresses.
void CheckWrite(const Geometry& base, const Geometry& region) {
  const int64_t bytes = Product(base.sizes) * base.itemsize;
  Ints memory(bytes);
  std::iota(memory.begin(), memory.end(), 0);
  Array contents{region.sizes, {}};
  int64_t next = -1000000;
  ForEach(region.sizes, [&](const Ints& i) {
    contents.data.push_back(next);
    const int64_t at = (region.offset + Dot(i, region.strides)) * region.itemsize;
    for (int64_t b = 0; b < region.itemsize; ++b) memory.at(at + b) = next + b;
    next += 64;
  });
  Array expected{base.sizes, {}};
  const UpdatePlan plan = ClassifyUpdate(base, region);
  Array b = Apply(plan.base_steps, BaseArray(base), base.itemsize, region.itemsize);
  Array c = Apply(plan.contents_steps, contents);
  Array r = b;
  if (plan.whole) {
    EXPECT_EQ(c.sizes, b.sizes);
    r = c;
  } else if (!plan.indices.empty()) {
    ASSERT_EQ(plan.indices.size(), c.data.size());
    std::vector<bool> seen(r.data.size(), false);
    for (size_t i = 0; i < c.data.size(); ++i) {
      EXPECT_FALSE(seen.at(plan.indices[i])) << "scatter indices must be unique";
      seen[plan.indices[i]] = true;
      r.data.at(plan.indices[i]) = c.data[i];
    }
  } else {
    ASSERT_EQ(c.sizes.size(), b.sizes.size());
    size_t k = 0;
    ForEach(c.sizes, [&](const Ints& i) {
      Ints j(i.size());
      for (size_t d = 0; d < i.size(); ++d) {
        j[d] = plan.starts[d] + i[d] * plan.steps[d];
        ASSERT_LT(j[d], b.sizes[d]);
      }
      r.data[Dot(j, RowMajor(b.sizes))] = c.data[k++];
    });
  }
  // Compare byte by byte: back in the base's item size only first bytes are visible, so stop before
  // the bitcast when there is one.
  if (base.itemsize == region.itemsize) {
    r = Apply(plan.result_steps, r);
    EXPECT_EQ(r.sizes, base.sizes);
    ForEach(base.sizes, [&](const Ints& i) {
      expected.data.push_back(memory[Dot(i, base.strides) * base.itemsize]);
    });
    EXPECT_EQ(r.data, expected.data);
  } else {
    r = Apply(plan.result_steps, r, region.itemsize, base.itemsize);
    EXPECT_EQ(r.sizes, base.sizes);
    ForEach(base.sizes, [&](const Ints& i) {
      expected.data.push_back(memory[Dot(i, base.strides) * base.itemsize]);
    });
    EXPECT_EQ(r.data, expected.data);
  }
}

Geometry Dense(Ints sizes, int64_t itemsize = 4) {
  Geometry g{sizes, RowMajor(sizes), 0, itemsize};
  return g;
}

// ClassifyView never needs element indices for these, whatever the sizes.
struct Example {
  const char* name;
  Geometry base, region;
  const char* steps;
};

TEST(ClassifyView, Canonical) {
  const Example examples[] = {
      {"same", Dense({3, 4}), Dense({3, 4}), "identity"},
      {"reshape", Dense({3, 4}), Dense({2, 6}), "reshape[2,6]"},
      {"flatten", Dense({3, 4}), Dense({12}), "reshape[12]"},
      {"t", Dense({3, 4}), {{4, 3}, {1, 4}, 0}, "transpose[4,3] by[1,0]"},
      {"unsqueeze", Dense({3, 4}), {{3, 1, 4}, {4, 4, 1}, 0}, "reshape[3,1,4]"},
      {"expand", Dense({3}), {{2, 3}, {0, 1}, 0}, "broadcast[2,3] dims[1]"},
      {"expand of a row", Dense({1, 3}), {{2, 3}, {0, 1}, 0}, "reshape[3] broadcast[2,3] dims[1]"},
      {"row", Dense({3, 4}), {{4}, {1}, 8}, "slice[1,4] from[2,0] to[3,4] step[1,1] reshape[4]"},
      {"columns, every second",
       Dense({3, 5}),
       {{3, 2}, {5, 2}, 1},
       "slice[3,2] from[0,1] to[3,4] step[1,2]"},
      {"diagonal", Dense({4, 4}), {{4}, {5}, 0}, "reshape[16] slice[4] from[0] to[16] step[5]"},
      {"slice of channels last",
       {{1, 3, 2, 2}, {12, 1, 6, 3}, 0},
       {{1, 2, 2, 2}, {12, 1, 6, 3}, 1},
       "slice[1,2,2,2] from[0,1,0,0] to[1,3,2,2] step[1,1,1,1]"},
      {"heads of packed qkv",
       Dense({5, 3, 2, 4}),
       {{2, 5, 4}, {4, 24, 1}, 8},
       "slice[5,1,2,4] from[0,1,0,0] to[5,2,2,4] step[1,1,1,1] reshape[5,2,4] "
       "transpose[2,5,4] by[1,0,2]"},
      {"heads of flat qkv",
       Dense({5, 24}),
       {{2, 5, 4}, {4, 24, 1}, 8},
       "reshape[5,6,4] slice[5,2,4] from[0,2,0] to[5,4,4] step[1,1,1] transpose[2,5,4] by[1,0,2]"},
  };
  for (const Example& e : examples) {
    SCOPED_TRACE(e.name);
    CheckRead(e.base, e.region);
    CheckWrite(e.base, e.region);
    EXPECT_EQ(ToString(ClassifyView(e.base, e.region)), e.steps);
  }
}

TEST(ClassifyView, OverlappingWindowsGather) {
  const Geometry base = Dense({6});
  const Geometry windows{{4, 3}, {1, 1}, 0};
  EXPECT_EQ(ClassifyView(base, windows).back().kind, ViewStepKind::kGather);
  CheckRead(base, windows);
  CheckWrite(base, windows);
}

TEST(ClassifyView, Bitcast) {
  const Geometry complex = Dense({2, 3}, 8);
  const Geometry as_real{{2, 3, 2}, {6, 2, 1}, 0, 4};
  const Geometry imaginary{{2, 3}, {6, 2}, 1, 4};
  const Geometry transposed{{3, 2}, {1, 3}, 0, 8};
  const Geometry bytes = Dense({2, 24}, 1);
  for (const Geometry& region : {as_real, imaginary, bytes}) {
    CheckRead(complex, region);
    CheckRead(transposed, region);
    CheckWrite(complex, region);
  }
  CheckRead(as_real, complex);
}

// Every region with up to three dimensions, sizes up to 3, strides up to 7 on small bases in every
// memory order.
TEST(ClassifyView, Exhaustive) {
  const std::vector<Geometry> bases = {
      Dense({1}),
      Dense({7}),
      Dense({2, 3}),
      {{2, 3}, {1, 2}, 0},
      Dense({2, 2, 3}),
      {{2, 3, 2}, {6, 1, 3}, 0},
      {{1, 3, 2}, {1, 1, 3}, 0},
  };
  int checked = 0;
  for (const Geometry& base : bases) {
    const int64_t total = Product(base.sizes);
    for (int rank = 0; rank <= 3; ++rank) {
      ForEach(Ints(rank, 3), [&](const Ints& size_minus_1) {
        ForEach(Ints(rank, 8), [&](const Ints& strides) {
          Ints sizes;
          int64_t extent = 0;
          for (int d = 0; d < rank; ++d) {
            sizes.push_back(size_minus_1[d] + 1);
            extent += size_minus_1[d] * strides[d];
          }
          for (int64_t offset = 0; offset + extent < total; offset += rank == 3 ? 3 : 1) {
            const Geometry region{sizes, strides, offset};
            CheckRead(base, region);
            CheckWrite(base, region);
            ++checked;
          }
          if (testing::Test::HasFailure()) return;
        });
      });
      ASSERT_FALSE(testing::Test::HasFailure()) << "base rank " << base.sizes.size();
    }
  }
  EXPECT_GT(checked, 10000);
}

// Chains of the views people write, on a dense base: never a gather.
TEST(ClassifyView, RandomChainsNeverGather) {
  std::mt19937 random(17);
  auto upto = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  for (int round = 0; round < 3000; ++round) {
    Ints sizes;
    for (int64_t d = upto(4) + 1; d > 0; --d) sizes.push_back(upto(5) + 1);
    const Geometry base = Dense(sizes);
    Geometry g = base;
    std::string chain;
    for (int64_t n = upto(4); n > 0; --n) {
      const int64_t rank = static_cast<int64_t>(g.sizes.size());
      switch (upto(5)) {
        case 0:  // transpose
          if (rank >= 2) {
            std::swap(g.sizes[0], g.sizes[rank - 1]);
            std::swap(g.strides[0], g.strides[rank - 1]);
          }
          break;
        case 1: {  // slice
          if (rank == 0) break;
          const int64_t d = upto(rank), start = upto(g.sizes[d]), step = upto(2) + 1;
          g.offset += start * g.strides[d];
          g.sizes[d] = (g.sizes[d] - start + step - 1) / step;
          g.strides[d] *= step;
          break;
        }
        case 2:  // select
          if (rank == 0) break;
          g.offset += upto(g.sizes[0]) * g.strides[0];
          g.sizes.erase(g.sizes.begin());
          g.strides.erase(g.strides.begin());
          break;
        case 3:  // unsqueeze
          g.sizes.insert(g.sizes.begin(), 1);
          g.strides.insert(g.strides.begin(), 1);
          break;
        case 4:  // expand
          for (int64_t d = 0; d < rank; ++d) {
            if (g.sizes[d] == 1) {
              g.sizes[d] = 3;
              g.strides[d] = 0;
              break;
            }
          }
          break;
      }
    }
    CheckRead(base, g);
    CheckWrite(base, g);
    for (const ViewStep& s : ClassifyView(base, g)) {
      EXPECT_NE(s.kind, ViewStepKind::kGather) << ToString(ClassifyView(base, g));
    }
    ASSERT_FALSE(testing::Test::HasFailure()) << "round " << round;
  }
}

}  // namespace
}  // namespace glia::capture
