// Tensors whose contents runs may keep what they make of (glia_nrt_tensor_set_weight).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "device_sim/testing/program_builder.h"
#include "nrt/nrt.h"
#include "nrt/nrt_experimental.h"
#include "nrt/nrt_glia.h"
#include "serialization/neff/neff.h"

namespace glia {
namespace {

constexpr size_t kValues = 8;
constexpr size_t kBytes = kValues * sizeof(float);
// Enough for a run to use what an earlier one kept, however often the contents changed before.
constexpr int kRuns = 40;

// y = (w + 1) + 1 on [2, 4] floats: what the second addition reads depends on weights only.
class WeightsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(nrt_init(NRT_FRAMEWORK_TYPE_NO_FW, "", ""), NRT_SUCCESS) << glia_nrt_last_error();
    device::ProgramBuilder b;
    const std::vector<std::vector<float>> rows(2, std::vector<float>(kValues / 2));
    const isa::Operand w = b.Input(rows), sum = b.SbufTile(2, kValues / 2),
                       y = b.Output(2, kValues / 2);
    for (auto [to, from] : {std::pair(sum, w), std::pair(y, sum)}) {
      isa::Instruction i = device::Make(isa::Opcode::kTensorScalar, to, from);
      i.op0 = isa::AluOp::kAdd;
      i.imm0 = 1;
      b.Do(isa::Engine::kDve, i);
    }
    const auto neff = b.BuildNeff();
    for (const isa::Variable& v : neff->program.variables) {
      if (v.kind == isa::VariableKind::kInput) input_ = v.name;
      if (v.kind == isa::VariableKind::kOutput) output_ = v.name;
    }
    auto bytes = neff::Write(*neff);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_EQ(nrt_load(bytes->data(), bytes->size(), 0, -1, &model_), NRT_SUCCESS)
        << glia_nrt_last_error();
    for (nrt_tensor_t** t : {&w_, &y_}) {
      ASSERT_EQ(nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, 0, kBytes, "t", t), NRT_SUCCESS);
    }
    ASSERT_EQ(glia_nrt_tensor_set_weight(w_, true), NRT_SUCCESS);
  }
  void TearDown() override {
    nrt_tensor_free(&w_);
    nrt_tensor_free(&y_);
    nrt_unload(model_);
    nrt_close();
  }

  std::vector<float> Run(nrt_tensor_t* w, nrt_tensor_t* y) {
    nrt_tensor_set_t* in = nullptr;
    nrt_tensor_set_t* out = nullptr;
    EXPECT_EQ(nrt_allocate_tensor_set(&in), NRT_SUCCESS);
    EXPECT_EQ(nrt_allocate_tensor_set(&out), NRT_SUCCESS);
    EXPECT_EQ(nrt_add_tensor_to_tensor_set(in, input_.c_str(), w), NRT_SUCCESS);
    EXPECT_EQ(nrt_add_tensor_to_tensor_set(out, output_.c_str(), y), NRT_SUCCESS);
    EXPECT_EQ(nrt_execute(model_, in, out), NRT_SUCCESS) << glia_nrt_last_error();
    nrt_destroy_tensor_set(&in);
    nrt_destroy_tensor_set(&out);
    std::vector<float> values(kValues);
    EXPECT_EQ(nrt_tensor_read(y, values.data(), 0, kBytes), NRT_SUCCESS);
    return values;
  }

  // Runs see `w`, whichever of them they are.
  void ExpectRuns(const std::vector<float>& w, nrt_tensor_t* tensor) {
    std::vector<float> want = w;
    for (float& x : want) x += 2;
    for (int run = 0; run < kRuns; ++run) ASSERT_EQ(Run(tensor, y_), want) << "run " << run;
  }

  std::string input_, output_;
  nrt_model_t* model_ = nullptr;
  nrt_tensor_t* w_ = nullptr;
  nrt_tensor_t* y_ = nullptr;
};

TEST_F(WeightsTest, EveryWayToWriteIsNoticed) {
  std::vector<float> w = {1, 2, 3, 4, 5, 6, 7, 8};
  ASSERT_EQ(nrt_tensor_write(w_, w.data(), 0, kBytes), NRT_SUCCESS);
  ExpectRuns(w, w_);

  w[1] = 20;
  ASSERT_EQ(nrt_tensor_write(w_, &w[1], 4, 4), NRT_SUCCESS);
  ExpectRuns(w, w_);

  w[2] = 30;
  nrt_tensor_batch_op_t op = {};
  op.offset = 8;
  op.size = 4;
  op.buffer = &w[2];
  nrt_tensor_batch_t batch = {};
  batch.tensor = w_;
  batch.ops = &op;
  batch.num_ops = 1;
  ASSERT_EQ(nrt_tensor_write_batch(&batch, 1, false), NRT_SUCCESS) << glia_nrt_last_error();
  ExpectRuns(w, w_);

  w[3] = 0;
  ASSERT_EQ(nrt_tensor_memset(w_, 12, 0, 4), NRT_SUCCESS);
  ExpectRuns(w, w_);

  nrt_tensor_t* slice = nullptr;
  ASSERT_EQ(nrt_tensor_allocate_slice(w_, 16, 4, "slice", &slice), NRT_SUCCESS);
  w[4] = w[0];
  ASSERT_EQ(nrt_tensor_copy(w_, 0, slice, 0, 4), NRT_SUCCESS) << glia_nrt_last_error();
  ExpectRuns(w, w_);
  nrt_tensor_free(&slice);
}

TEST_F(WeightsTest, ResultsOfRunsAreWrites) {
  nrt_tensor_t* made = nullptr;
  ASSERT_EQ(nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, 0, kBytes, "made", &made),
            NRT_SUCCESS);
  ASSERT_EQ(glia_nrt_tensor_set_weight(made, true), NRT_SUCCESS);
  for (int i = 0; i < 3; ++i) {
    const std::vector<float> w(kValues, static_cast<float>(10 * i));
    ASSERT_EQ(nrt_tensor_write(w_, w.data(), 0, kBytes), NRT_SUCCESS);
    ExpectRuns(Run(w_, made), made);
  }
  nrt_tensor_free(&made);
}

TEST_F(WeightsTest, WhatIsWrittenByAddressIsNeverKept) {
  std::vector<float> w(kValues, 3);
  ASSERT_EQ(nrt_tensor_write(w_, w.data(), 0, kBytes), NRT_SUCCESS);
  ExpectRuns(w, w_);
  auto* const address = static_cast<float*>(nrt_tensor_get_va(w_));
  for (int i = 0; i < 3; ++i) {
    w[0] = address[0] = static_cast<float>(i);
    ExpectRuns(w, w_);
  }
  nrt_tensor_t* attached = nullptr;
  ASSERT_EQ(nrt_tensor_allocate_empty("attached", &attached), NRT_SUCCESS);
  ASSERT_EQ(nrt_tensor_attach_buffer(attached, w.data(), kBytes), NRT_SUCCESS);
  ASSERT_EQ(glia_nrt_tensor_set_weight(attached, true), NRT_SUCCESS);
  for (int i = 0; i < 3; ++i) {
    w[0] = static_cast<float>(i);
    ExpectRuns(w, attached);
  }
  nrt_tensor_free(&attached);
}

TEST_F(WeightsTest, UnknownHandlesAreRefused) {
  EXPECT_EQ(glia_nrt_tensor_set_weight(nullptr, true), NRT_INVALID_HANDLE);
  EXPECT_THAT(glia_nrt_last_error(), ::testing::HasSubstr("glia_nrt_tensor_set_weight"));
}

}  // namespace
}  // namespace glia
