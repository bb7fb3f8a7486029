#include "frontend/lowering/testing/cases.h"

namespace glia::lowering::testing {
namespace {

constexpr OpCase kCases[] = {
    // ---- Activations.
    {"aten::_log_softmax_backward_data", "f32[3,5] f32[3,5]<-5:0 1 f32"},
    {"aten::_prelu_kernel_backward", "f32[2,3] f32[2,3] f32[1,3]"},
    {"aten::_softmax_backward_data", "f32[3,5] f32[3,5]u 1 f32", "", 0, 0,
     "eager takes its arguments to be contiguous"},
    {"aten::elu_backward", "f32[9] 1.5 1.2 0.7 false f32[9]"},
    {"aten::elu_backward", "f32[9] 1.5 1.2 0.7 true f32[9]"},
    {"aten::gelu_backward", "f32[9] f32[9]"},
    {"aten::gelu_backward", "f32[9] f32[9] \"tanh\""},
    {"aten::glu_backward", "f32[2,3] f32[2,6] 1"},
    {"aten::hardshrink_backward", "f32[9] f32[9] 0.6"},
    {"aten::hardsigmoid_backward", "f32[9] f32[9]<-5:5"},
    {"aten::hardswish_backward", "f32[9] f32[9]<-5:5"},
    {"aten::hardtanh_backward", "f32[9] f32[9] -0.5 1"},
    {"aten::leaky_relu_backward", "f32[9] f32[9] 0.2 false"},
    // The buffer is exp(-|self|).
    {"aten::log_sigmoid_backward",
     "f32[3] f32[3]=0.5,-1,2 f32[3]=0.60653066,0.36787944,0.13533528"},  // eager reads the buffer
                                                                         // instead
    {"aten::mish_backward", "f32[9] f32[9]"},
    {"aten::native_dropout_backward", "f32[9] bool[9] 2"},
    {"aten::sigmoid_backward", "$[9] $[9]u", "f32 bf16"},
    {"aten::silu_backward", "f32[9] f32[9]"},
    {"aten::softplus_backward", "f32[9] f32[9]<-30:30 1.5 10"},
    {"aten::softshrink_backward", "f32[9] f32[9] 0.6"},
    {"aten::tanh_backward", "f32[9] f32[9]u"},
    {"aten::threshold_backward", "$[9] $[9] 0", "f32 bf16"},

    // ---- Layers.
    {"aten::convolution_backward",
     "f32[2,4,8,8] f32[2,3,8,8] f32[4,3,3,3] (4) (1,1) (1,1) (1,1) false (0,0) 1 (true,true,true)",
     "", 1e-4},
    {"aten::convolution_backward",
     "f32[2,4,4,3] f32[2,3,8,7] f32[4,3,3,2] (4) (2,3) (1,1) (1,2) false (0,0) 1 (true,true,false)",
     "", 1e-4},
    {"aten::convolution_backward",
     "f32[1,6,4,4] f32[1,4,7,7] f32[6,2,3,3] (6) (2,2) (1,1) (1,1) false (0,0) 2 (true,true,true)",
     "", 1e-4},
    {"aten::convolution_backward",
     "f32[2,4,10,10] f32[2,3,5,5] f32[3,4,3,3] (4) (2,2) (1,1) (1,1) true (1,1) 1 (true,true,true)",
     "", 1e-4},
    {"aten::convolution_backward",
     "f32[2,4,8] f32[2,3,8] f32[4,3,3] none (1) (1) (1) false (0) 1 (false,true,false)", "", 1e-4},
    {"aten::embedding_dense_backward", "f32[2,3,5] i64[2,3]<0:7 7 2 false"},
    {"aten::native_batch_norm_backward",
     "f32[2,3,4,4] f32[2,3,4,4] f32[3] f32[3] f32[3]+ f32[3] f32[3]+ true 1e-5 (true,true,true)",
     "", 1e-4},
    {"aten::native_batch_norm_backward",
     "f32[2,3,4,4] f32[2,3,4,4] none f32[3] f32[3]+ none none false 1e-5 (true,false,false)", "",
     1e-4},
    {"aten::native_group_norm_backward",
     "f32[2,6,4] f32[2,6,4] f32[2,3] f32[2,3]+ f32[6] 2 6 4 3 (true,true,true)", "", 1e-4, 0,
     "eager takes its arguments to be contiguous"},
    {"aten::native_layer_norm_backward",
     "f32[2,3,8] f32[2,3,8] (8) f32[2,3,1] f32[2,3,1]+ f32[8] f32[8] (true,true,true)", "", 1e-4, 0,
     "eager takes its arguments to be contiguous"},
    {"aten::diagonal_backward", "f32[4] (4,5) 1 0 1"},
    {"aten::select_backward", "f32[3] (3,4) 1 -1"},
    {"aten::slice_backward", "f32[3,3] (3,9) 1 2 8 2"},
    {"aten::upsample_bilinear2d_backward", "f32[1,2,9,4] (9,4) (1,2,5,6) false"},

    {"aten::prelu_backward", "f32[2,3,4] f32[2,3,4] f32[3]"},
    {"aten::prelu_backward", "f32[2,3] f32[2,3] f32[1]"},
    {"aten::reflection_pad1d_backward", "f32[2,3,11] f32[2,3,5] (2,4)"},
    {"aten::reflection_pad2d_backward", "f32[2,3,8,9] f32[2,3,5,6] (1,2,3,0)"},
    {"aten::reflection_pad3d_backward", "f32[1,2,5,7,8] f32[1,2,3,4,5] (1,2,3,0,1,1)"},
    {"aten::replication_pad1d_backward", "f32[2,3,14] f32[2,3,5] (2,7)"},
    {"aten::replication_pad2d_backward", "f32[2,3,8,9] f32[2,3,5,6] (1,2,3,0)"},
    {"aten::replication_pad3d_backward", "f32[1,2,5,7,8] f32[1,2,3,4,5] (1,2,3,0,1,1)"},
    {"aten::unfold_backward", "f32[3,3,4] (3,9) 1 4 2"},
    {"aten::upsample_bicubic2d_backward", "f32[1,2,9,4] (9,4) (1,2,5,6) false", "", 1e-4},
    {"aten::upsample_linear1d_backward", "f32[1,2,9] (9) (1,2,5) false"},
    {"aten::upsample_nearest1d_backward", "f32[1,2,9] (9) (1,2,5)"},
    {"aten::upsample_nearest2d_backward", "f32[1,2,7,4] (7,4) (1,2,5,6)"},
    {"aten::upsample_nearest3d_backward", "f32[1,2,6,4,7] (6,4,7) (1,2,3,4,5)"},
    {"aten::upsample_trilinear3d_backward", "f32[1,2,6,4,7] (6,4,7) (1,2,3,4,5) true"},

    // ---- Pooling.
    {"aten::_adaptive_avg_pool2d_backward", "f32[2,3,3,4] f32[2,3,7,5]"},
    {"aten::_adaptive_avg_pool3d_backward", "f32[1,2,2,3,4] f32[1,2,4,5,6]"},
    {"aten::adaptive_max_pool2d_backward", "f32[1,2,2,2] f32[1,2,5,5] i64[1,2,2,2]=0,4,20,24", "",
     0, 0, "eager takes its arguments to be contiguous"},
    {"aten::adaptive_max_pool3d_backward", "f32[1,1,1,1,2] f32[1,1,2,2,4] i64[1,1,1,1,2]=5,15", "",
     0, 0, "eager takes its arguments to be contiguous"},
    {"aten::max_unpool2d", "f32[1,2,2,2] i64[1,2,2,2]=0,3,9,15 (4,4)"},
    {"aten::max_unpool3d", "f32[1,2,1,2,2] i64[1,2,1,2,2]=0,3,25,31 (2,4,4) (2,2,2) (0,0,0)"},
    {"aten::avg_pool2d_backward", "f32[2,3,4,4] f32[2,3,8,8] (2,2) (2,2) (0,0) false true none"},
    {"aten::avg_pool2d_backward", "f32[2,3,4,4] f32[2,3,8,7] (3,3) (2,2) (1,1) false false none"},
    {"aten::avg_pool2d_backward", "f32[2,3,4,3] f32[2,3,8,7] (2,3) (2,2) (0,0) false true 5"},
    {"aten::avg_pool3d_backward",
     "f32[1,2,2,2,2] f32[1,2,4,4,4] (2,2,2) (2,2,2) (0,0,0) false true none"},
    {"aten::max_pool2d_with_indices_backward",
     "f32[1,2,2,2] f32[1,2,4,4] (2,2) (2,2) (0,0) (1,1) false i64[1,2,2,2]=0,3,9,15"},
    {"aten::max_pool2d_with_indices_backward",
     "f32[1,2,2,2] f32[1,2,3,3] (2,2) (1,1) (0,0) (1,1) false i64[1,2,2,2]=4"},
    {"aten::max_pool3d_with_indices_backward",
     "f32[1,1,1,1,2] f32[1,1,2,2,4] (2,2,2) (2,2,2) (0,0,0) (1,1,1) false i64[1,1,1,1,2]=5,15", "",
     0, 0, "eager reads beyond indices that are not contiguous"},

    // ---- Losses.
    {"aten::binary_cross_entropy_backward", "f32[] f32[3,4]u f32[3,4]u f32[3,4]+ 1", "", 1e-4},
    {"aten::huber_loss_backward", "f32[3,4] f32[3,4] f32[3,4] 0 0.7"},
    {"aten::mse_loss_backward", "f32[] f32[3,4] f32[3,4] 1"},
    {"aten::mse_loss_backward", "f32[3,4] f32[3,4] f32[3,4] 0"},
    {"aten::nll_loss2d_backward", "f32[] f32[2,5,3,4] i64[2,3,4]<0:5 f32[5]+ 1 2 f32[]=7"},
    {"aten::nll_loss_backward", "f32[] f32[6,5] i64[6]<0:5 none 1 -100 f32[]=6"},
    {"aten::nll_loss_backward", "f32[6] f32[6,5] i64[6]<0:5 f32[5]+ 0 2 f32[]=0"},
    {"aten::smooth_l1_loss_backward", "f32[] f32[3,4] f32[3,4] 1 0.7"},
    {"aten::convolution_backward_overrideable",
     "f32[2,4,8,8] f32[2,3,8,8] f32[4,3,3,3] (1,1) (1,1) (1,1) false (0,0) 1 (true,true,true)", "",
     1e-4},
};

}  // namespace

absl::Span<const OpCase> GradientCases() { return kCases; }

}  // namespace glia::lowering::testing
