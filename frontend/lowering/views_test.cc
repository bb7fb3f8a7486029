// Reading and writing storages through views, against libtorch's own strided access.
#include <ATen/ops/arange.h>
#include <ATen/ops/empty_strided.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <numeric>
#include <random>

#include "frontend/lowering/lowering.h"
#include "frontend/lowering/testing/literals.h"
#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/verifier.h"
#include "serialization/testing/seed.h"

namespace glia::lowering {
namespace {

using capture::Node;
using capture::NodeInfo;
using capture::NodeKind;
using capture::NodePtr;
using capture::TensorMeta;
using testing::ToLiteral;
using testing::ToTensor;

TensorMeta Meta(std::vector<int64_t> sizes, std::vector<int64_t> strides, int64_t offset = 0,
                at::ScalarType dtype = at::kFloat) {
  TensorMeta meta;
  meta.sizes = std::move(sizes);
  meta.strides = std::move(strides);
  meta.storage_offset = offset;
  meta.dtype = dtype;
  return meta;
}

NodePtr Input(const at::Tensor& t) {
  auto info = std::make_shared<NodeInfo>();
  info->outputs = {Meta(t.sizes().vec(), t.strides().vec(), 0, t.scalar_type())};
  auto node = c10::make_intrusive<Node>(NodeKind::kInput, info);
  node->host = t.contiguous();
  return node;
}

// Runs a view or update node; also counts the gathers and scatters in its HLO.
at::Tensor Run(const NodePtr& node, int* indexed = nullptr) {
  const auto graph = capture::BuildGraph({{node, 0}});
  const auto module = Lower(*graph);
  EXPECT_TRUE(module.ok()) << module.status();
  if (!module.ok()) return {};
  EXPECT_TRUE(hlo::Verify(**module).ok()) << hlo::Verify(**module);
  for (const hlo::Instruction* i : (*module)->entry()->Instructions()) {
    const bool by_index =
        i->opcode() == hlo::Opcode::kGather || i->opcode() == hlo::Opcode::kScatter;
    if (indexed != nullptr && by_index) ++*indexed;
  }
  std::vector<hlo::Literal> inputs;
  for (const NodePtr& input : graph->inputs) inputs.push_back(ToLiteral(input->host));
  const auto result = hlo::Evaluate(**module, inputs);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? ToTensor(result->tuple()[0], node->output().dtype) : at::Tensor();
}

// The memory that `base` fills, through the region.
at::Tensor Through(const at::Tensor& base, const TensorMeta& region) {
  at::Tensor view = at::empty_strided({0}, {1}, at::TensorOptions().dtype(region.dtype));
  view.set_(base.storage(), region.storage_offset, region.sizes, region.strides);
  return view;
}

NodePtr View(const at::Tensor& base, const TensorMeta& region) {
  auto info = std::make_shared<NodeInfo>();
  info->base = Meta(base.sizes().vec(), base.strides().vec(), 0, base.scalar_type());
  info->region = region;
  info->outputs = {Meta(region.sizes, capture::ContiguousStrides(region.sizes), 0, region.dtype)};
  auto node = c10::make_intrusive<Node>(NodeKind::kView, info);
  node->operands.push_back({Input(base), 0});
  return node;
}

NodePtr Update(const at::Tensor& base, const TensorMeta& region, const at::Tensor& contents) {
  auto info = std::make_shared<NodeInfo>();
  info->base = Meta(base.sizes().vec(), base.strides().vec(), 0, base.scalar_type());
  info->region = region;
  info->outputs = {info->base};
  auto node = c10::make_intrusive<Node>(NodeKind::kUpdate, info);
  node->operands.push_back({Input(base), 0});
  node->operands.push_back({Input(contents), 0});
  return node;
}

std::string Text(const at::Tensor& base, const TensorMeta& region) {
  return capture::ToString(Meta(base.sizes().vec(), base.strides().vec(), 0, base.scalar_type())) +
         " through " + capture::ToString(region) + " from " + std::to_string(region.storage_offset);
}

void CheckView(const at::Tensor& base, const TensorMeta& region, int* indexed = nullptr) {
  const at::Tensor want = Through(base, region);
  const at::Tensor got = Run(View(base, region), indexed);
  ASSERT_TRUE(got.defined());
  EXPECT_TRUE(got.equal(want)) << Text(base, region);
}

void CheckUpdate(const at::Tensor& base, const TensorMeta& region, const at::Tensor& contents,
                 int* indexed = nullptr) {
  const at::Tensor got = Run(Update(base, region, contents), indexed);
  ASSERT_TRUE(got.defined());
  at::Tensor want = at::empty_strided(base.sizes(), base.strides(), base.options());
  want.copy_(base);
  Through(want, region).copy_(contents);
  EXPECT_TRUE(got.equal(want)) << Text(base, region);
}

at::Tensor Counting(int64_t count, at::ScalarType dtype = at::kFloat) {
  return at::arange(count, at::TensorOptions().dtype(dtype));
}

// A dense tensor of these sizes whose dims lie in memory in this order.
at::Tensor Permuted(std::vector<int64_t> sizes, const std::vector<int64_t>& order) {
  std::vector<int64_t> strides(sizes.size());
  int64_t stride = 1;
  for (size_t k = sizes.size(); k-- > 0;) {
    strides[order[k]] = stride;
    stride *= sizes[order[k]];
  }
  const at::Tensor t = at::empty_strided(sizes, strides, at::TensorOptions().dtype(at::kFloat));
  t.copy_(Counting(stride).view(sizes));
  return t;
}

TEST(Views, ReadsWithoutIndices) {
  int indexed = 0;
  const at::Tensor plain = Counting(60).view({3, 4, 5});
  const at::Tensor channels_last = Permuted({2, 3, 4, 5}, {0, 2, 3, 1});
  CheckView(plain, Meta({3, 4, 5}, {20, 5, 1}), &indexed);        // itself
  CheckView(plain, Meta({12, 5}, {5, 1}), &indexed);              // reshaped
  CheckView(plain, Meta({5, 4, 3}, {1, 5, 20}), &indexed);        // transposed
  CheckView(plain, Meta({4, 5}, {5, 1}, 20), &indexed);           // selected
  CheckView(plain, Meta({3, 2, 5}, {20, 10, 1}, 5), &indexed);    // every other row
  CheckView(plain, Meta({7, 3, 4, 5}, {0, 20, 5, 1}), &indexed);  // expanded
  CheckView(plain, Meta({3, 4, 2}, {20, 5, 2}, 1), &indexed);     // stepped inside
  CheckView(plain, Meta({3, 0, 5}, {20, 5, 1}), &indexed);        // nothing
  CheckView(plain, Meta({}, {}, 7), &indexed);                    // one element
  CheckView(channels_last, Meta({2, 3, 4, 5}, {60, 1, 15, 3}), &indexed);
  CheckView(channels_last, Meta({2, 4, 5, 3}, {60, 15, 3, 1}), &indexed);
  CheckView(channels_last, Meta({2, 4, 5}, {60, 15, 3}, 2), &indexed);  // one channel
  EXPECT_EQ(indexed, 0);
}

TEST(Views, WritesWithoutIndices) {
  int indexed = 0;
  const at::Tensor plain = Counting(60).view({3, 4, 5});
  const at::Tensor channels_last = Permuted({2, 3, 4, 5}, {0, 2, 3, 1});
  const auto fill = [](std::vector<int64_t> sizes) {
    const int64_t count =
        std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
    return Counting(count).add(1000).view(sizes);
  };
  CheckUpdate(plain, Meta({3, 4, 5}, {20, 5, 1}), fill({3, 4, 5}), &indexed);
  CheckUpdate(plain, Meta({5, 4, 3}, {1, 5, 20}), fill({5, 4, 3}), &indexed);
  CheckUpdate(plain, Meta({4, 5}, {5, 1}, 20), fill({4, 5}), &indexed);
  CheckUpdate(plain, Meta({3, 4, 2}, {20, 5, 2}, 1), fill({3, 4, 2}), &indexed);
  CheckUpdate(plain, Meta({2, 3}, {5, 20}, 7), fill({2, 3}), &indexed);
  CheckUpdate(plain, Meta({}, {}, 59), fill({}), &indexed);
  CheckUpdate(channels_last, Meta({2, 4, 5}, {60, 15, 3}, 2), fill({2, 4, 5}), &indexed);
  CheckUpdate(channels_last, Meta({2, 2, 4, 5}, {60, 1, 15, 3}, 1), fill({2, 2, 4, 5}), &indexed);
  EXPECT_EQ(indexed, 0);
}

TEST(Views, ReinterpretsBytes) {
  const at::Tensor ints = Counting(12, at::kInt).view({3, 4});
  CheckView(ints, Meta({3, 4}, {4, 1}, 0, at::kFloat));
  CheckView(ints, Meta({3, 8}, {8, 1}, 0, at::kShort));
  CheckView(ints, Meta({3, 2}, {2, 1}, 0, at::kLong));
  CheckView(ints, Meta({3, 4, 4}, {16, 4, 1}, 0, at::kByte));
  CheckView(Counting(4, at::kByte).remainder(2).to(at::kByte), Meta({4}, {1}, 0, at::kBool));
  CheckUpdate(ints, Meta({3, 8}, {8, 1}, 0, at::kShort), Counting(24, at::kShort).view({3, 8}));
  CheckUpdate(ints, Meta({2}, {1}, 1, at::kLong), Counting(2, at::kLong).add(int64_t{5} << 40));
}

TEST(Views, RefusesBytesThatTheDeviceDoesNotHave) {
  const NodePtr node = View(Counting(4, at::kDouble), Meta({4}, {1}, 0, at::kLong));
  const auto module = Lower(*capture::BuildGraph({{node, 0}}));
  EXPECT_EQ(module.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(std::string(module.status().message()).find("Double"), std::string::npos)
      << module.status();
}

// Any region at all, overlapping itself or not.
TEST(Views, RandomRegions) {
  const uint64_t seed = TestSeed();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  const auto pick = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
  };
  for (int round = 0; round < 150; ++round) {
    std::vector<int64_t> sizes(pick(1, 4)), order(sizes.size());
    for (int64_t& size : sizes) size = pick(1, 5);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    const at::Tensor base = Permuted(sizes, order);
    TensorMeta region;
    int64_t extent = 0;
    for (int64_t d = pick(0, 4); d > 0; --d) {
      const int64_t size = pick(1, 4), stride = pick(0, 9);
      if (extent + (size - 1) * stride >= base.numel()) continue;
      extent += (size - 1) * stride;
      region.sizes.push_back(size);
      region.strides.push_back(stride);
    }
    region.storage_offset = pick(0, base.numel() - 1 - extent);
    CheckView(base, region);
    // A write is defined only where no two elements share a place.
    std::vector<bool> seen(base.numel());
    bool overlaps = false;
    const at::Tensor places = Through(Counting(base.numel()), region).contiguous();
    for (int64_t i = 0; i < places.numel(); ++i) {
      const auto place = static_cast<size_t>(places.data_ptr<float>()[i]);
      overlaps = overlaps || seen[place];
      seen[place] = true;
    }
    if (!overlaps) CheckUpdate(base, region, Counting(places.numel()).view(region.sizes).add(1000));
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace glia::lowering
