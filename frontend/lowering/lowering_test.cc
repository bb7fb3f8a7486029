#include "frontend/lowering/lowering.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <fnmatch.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "frontend/capture/graph.h"
#include "frontend/lowering/registry.h"
#include "frontend/lowering/testing/cases.h"
#include "frontend/lowering/testing/evaluate_case.h"
#include "frontend/torch_compat.h"

namespace glia::lowering {
namespace {

using testing::OpCase;

void RunAll(absl::Span<const OpCase> cases) {
  int run = 0, absent = 0;
  for (const OpCase& op_case : cases) {
    const absl::Status status = testing::RunCase(op_case);
    if (absl::IsNotFound(status)) {
      ++absent;
      continue;
    }
    EXPECT_TRUE(status.ok()) << status;
    ++run;
  }
  std::cout << run << " cases, " << absent << " of operators that this libtorch does not have\n";
  EXPECT_LT(absent, run);
}

TEST(Lowering, Elementwise) { RunAll(testing::ElementwiseCases()); }
TEST(Lowering, Reductions) { RunAll(testing::ReductionCases()); }
TEST(Lowering, Layers) { RunAll(testing::LayerCases()); }
TEST(Lowering, Movement) { RunAll(testing::MovementCases()); }
TEST(Lowering, Shapes) { RunAll(testing::ShapeCases()); }
TEST(Lowering, Gradients) { RunAll(testing::GradientCases()); }

TEST(Lowering, Random) { RunAll(testing::RandomCases()); }

TEST(Lowering, EveryOperatorHasACase) {
  std::set<std::string> covered;
  for (const OpCase& op_case : testing::AllCases()) covered.insert(op_case.op);
  for (const std::string& name : LoweredOperators()) {
    EXPECT_EQ(covered.count(name), 1u)
        << name << " has a lowering but no case in testing/cases_*.cc";
    covered.erase(name);
  }
  for (const std::string& name : covered) ADD_FAILURE() << name << " has a case but no lowering";
}

// PyTorch's Core ATen operator set (the operators tagged `core` in native_functions.yaml), without
// those that compute nothing (sym_size and the like).
constexpr const char* kCoreAten =
    "_adaptive_avg_pool2d _adaptive_avg_pool2d_backward _adaptive_avg_pool3d _cdist_forward "
    "_embedding_bag _fft_c2c _fft_c2r _fft_r2c _local_scalar_dense _log_softmax "
    "_native_batch_norm_legit _native_batch_norm_legit.no_stats "
    "_native_batch_norm_legit_no_training _pdist_forward _softmax _to_copy abs acos acosh "
    "adaptive_avg_pool1d add.Scalar add.Tensor addmm alias amax amin any any.dim any.dims "
    "arange.start_step argmax argmin as_strided asin asinh atan atan2 atanh avg_pool1d avg_pool2d "
    "avg_pool2d_backward avg_pool3d bitwise_and.Scalar bitwise_and.Tensor bitwise_not "
    "bitwise_or.Scalar bitwise_or.Tensor bitwise_xor.Scalar bitwise_xor.Tensor bmm cat ceil clamp "
    "clamp.Tensor clone col2im constant_pad_nd convolution convolution_backward copy cos cosh "
    "cumsum diagonal div.Scalar div.Scalar_mode div.Tensor div.Tensor_mode elu embedding "
    "embedding_dense_backward empty.memory_format empty_strided eq.Scalar eq.Tensor erf exp expand "
    "expm1 fill.Scalar flip floor fmod.Scalar fmod.Tensor full full_like gather ge.Scalar "
    "ge.Tensor gelu grid_sampler_2d gt.Scalar gt.Tensor hardtanh index.Tensor index_put "
    "index_select isinf isnan le.Scalar le.Tensor leaky_relu log log10 log1p log2 logical_and "
    "logical_not logical_or logical_xor lt.Scalar lt.Tensor masked_scatter max.dim "
    "max_pool2d_with_indices max_pool2d_with_indices_backward max_pool3d_with_indices maximum mean "
    "mean.dim min.dim minimum mm mul.Scalar mul.Tensor native_dropout native_group_norm "
    "native_group_norm_backward native_layer_norm native_layer_norm_backward ne.Scalar ne.Tensor "
    "neg nonzero permute pow.Scalar pow.Tensor_Scalar pow.Tensor_Tensor prod prod.dim_int rand "
    "randn randperm reciprocal reflection_pad1d reflection_pad2d reflection_pad3d relu "
    "remainder.Scalar remainder.Tensor repeat replication_pad2d replication_pad3d resize_ round "
    "rsqrt scalar_tensor scatter.src scatter.value scatter_add scatter_reduce.two select.int "
    "select_scatter sigmoid sign sin sinh slice.Tensor slice_scatter sort split_with_sizes sqrt "
    "squeeze.dim squeeze.dims sub.Scalar sub.Tensor sum.dim_IntList tan tanh topk trunc unsqueeze "
    "upsample_bilinear2d.vec upsample_nearest2d.vec var.correction var.dim view where.self";

// What has neither a lowering nor a decomposition into operators that have one.
struct Reason {
  const char* ops;
  const char* reason;
};
constexpr Reason kNotLowered[] = {
    {"as_strided empty_strided view resize_ alias", "frontend/capture/kernels.cc has it"},
    {"_native_batch_norm_legit", "writes its arguments; recorded as its functional form"},
    {"_local_scalar_dense nonzero", "the program needs the result at once"},
    {"_fft_c2c _fft_c2r _fft_r2c", "complex: the device has no such type"},
    {"_pdist_forward", "runs on the CPU"},
};

TEST(Lowering, CoversCoreAten) {
  std::set<std::string> excused;
  for (const Reason& r : kNotLowered) {
    for (const absl::string_view name : absl::StrSplit(r.ops, ' ')) excused.emplace(name);
  }
  int lowered = 0;
  for (const absl::string_view core : absl::StrSplit(kCoreAten, ' ')) {
    const std::string name = absl::StrCat("aten::", core);
    const capture::OpInfo* op = capture::FindOpInfo(name);
    if (op == nullptr) continue;  // of another libtorch
    const bool has = FindLowering(name) != nullptr;
    const bool decomposed =
        op->handle.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd) ||
        op->handle.hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd) ||
        op->handle.hasKernelForDispatchKey(
            c10::DispatchKey::CompositeExplicitAutogradNonFunctional);
    EXPECT_TRUE(has || decomposed || excused.count(std::string(core)) == 1) << name;
    lowered += has ? 1 : 0;
  }
  EXPECT_GT(lowered, 140);
}

// All that libtorch 1.13 runs on the CPU with a kernel of its own, and so would record: patterns of
// the names, and why they have no lowering. Lazy mode runs these on the CPU.
constexpr Reason kOnTheCpu[] = {
    {"as_strided empty_strided view view_as_real view_as_complex unfold _reshape_alias is_set_to "
     "_assert_async",
     "frontend/capture/kernels.cc has it"},
    {"_local_scalar_dense equal nonzero masked_select _unique _unique2 unique_* bincount "
     "repeat_interleave.Tensor",
     "the program needs the result, or its shape, at once"},
    {"_fft_* linalg_eig", "complex: the device has no such type"},
    {"*sparse* *nested* *quantiz* _convert_indices* _spdiags to_mkldnn", "not a dense tensor"},
    {"linalg_* _linalg_* cholesky* _cholesky* geqrf lu_unpack ormqr triangular_solve "
     "_symeig_helper _compute_linear_combination",
     "factors or solves a matrix"},
    {"special_* i0 igamma* polygamma nextafter gcd lcm", "HLO does not have the function"},
    {"poisson binomial _standard_gamma* _sample_dirichlet rrelu_with_noise fractional_max_pool*",
     "draws as many random numbers as it needs"},
    {"*_backward* *_jvp _dirichlet_grad batch_norm_update_stats",
     "gradients beyond those that training needs most"},
    {"_foreach_*", "over the lists of tensors of optimisers"},
    {"_ctc_loss* multi_margin_loss multilabel_margin_loss_forward histc histogram* _histogram* "
     "mode nanmedian* segment_reduce renorm _pdist_forward index_reduce",
     "not met in inference"},
    {"slow_conv* _slow_conv* _masked_softmax _transform_bias_rescale_qkv _native_decoder_only* "
     "_transformer_decoder_only* bucketize.Scalar _test_* _foobar from_file _add_relu*",
     "steps of operators that arrive whole, or tests of libtorch"},
};

TEST(Lowering, WhatRunsOnTheCpuHasAReason) {
  using c10::DispatchKey;
  const std::string ns = "aten::";
  int listed = 0;
  for (const c10::OperatorName& n : c10::Dispatcher::singleton().getAllOpNames()) {
    if (n.name.compare(0, ns.size(), ns) != 0) continue;
    const auto handle = c10::Dispatcher::singleton().findSchema(n);
    if (!handle || !handle->hasKernelForDispatchKey(DispatchKey::CPU)) continue;
    const auto& arguments = handle->schema().arguments();
    const bool writes = std::any_of(arguments.begin(), arguments.end(), [](const auto& a) {
      return a.alias_info() != nullptr && a.alias_info()->isWrite();
    });
    const bool composite =
        handle->hasKernelForDispatchKey(DispatchKey::CompositeImplicitAutograd) ||
        handle->hasKernelForDispatchKey(DispatchKey::CompositeExplicitAutograd) ||
        handle->hasKernelForDispatchKey(DispatchKey::CompositeExplicitAutogradNonFunctional);
    const std::string& name = capture::GetOpInfo(*handle)->name;
    if (writes || composite || FindLowering(name) != nullptr) continue;
    bool found = false;
    for (const Reason& reason : kOnTheCpu) {
      for (const absl::string_view pattern : absl::StrSplit(reason.ops, ' ')) {
        found = found || fnmatch(std::string(pattern).c_str(), name.c_str() + ns.size(), 0) == 0;
      }
    }
    listed += found ? 1 : 0;
    if (kOperatorsAreListed) {
      EXPECT_TRUE(found) << name << " has no lowering; say why";
    }
  }
  EXPECT_GT(listed, 150);
}

TEST(Lowering, RefusesWhatItCannotDo) {
  for (const OpCase& op_case : testing::RefusedCases()) {
    const absl::StatusOr<std::string> refusal = testing::RefusalOf(op_case);
    ASSERT_TRUE(refusal.ok()) << refusal.status();
    EXPECT_NE(*refusal, "") << op_case.op << " " << op_case.args;
    EXPECT_NE(refusal->find(std::string(op_case.op).substr(0, std::string(op_case.op).find('.'))),
              std::string::npos)
        << "the refusal does not name the operator: " << *refusal;
  }
}

}  // namespace
}  // namespace glia::lowering
