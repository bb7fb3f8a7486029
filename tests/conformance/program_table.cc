#include "frontend/torch_compat.h"
#include "tests/conformance/programs.h"

namespace glia::conformance {
namespace {

constexpr const char* kSome = "f32 bf16 i64 bool";
constexpr const char* kNumbers = "f32 i64 u8";

constexpr ProgramCase kPrograms[] = {
    // ---- Views of views.
    {"$[4,6]", "return a.t()[1:5:2].unsqueeze(1).squeeze(1)[:, 1:].t()", kSome},
    {"$[4,6]", "return a.view(2, 2, 6).permute(2, 0, 1).narrow(0, 1, 3).reshape(-1)", kSome},
    {"$[2,3,4]", "return a.transpose(0, 2).select(1, 1).diagonal()", kSome},
    {"f32[4,6]", "return a.unfold(1, 3, 2).unfold(0, 2, 1).sum(dim=[0, 1])"},
    {"f32[5,1,3]", "return a.expand(5, 4, 3).transpose(0, 1)[1:3].flatten()"},
    {"f32[24]", "return a.as_strided([3, 4], [6, 1], 2).as_strided([2, 2], [4, 2], 1)"},
    {"f32[2,3,4]", "return a.chunk(2, 2)[1].split(2, 1)[0].unbind(0)[1]"},
    {"f32[6,4]", "return a.movedim(0, 1).swapaxes(0, 1).view_as(a).T.mT"},
    {"f32[3,4]", "return a[None, :, 1, None].expand(2, 3, 5) + a.sum()"},
    {"f32[0,4]", "return a.t().reshape(4, 0, 1).squeeze(2), a.view(2, 0)"},
    {"f32[]", "return a.view(1, 1).expand(3, 2), a.unsqueeze(0)"},
    {"f32[513]", "return a[1:512].view(7, 73)[::2].t()"},
    {"f32[130,129]", "return a.t()[1:129, 1:130].contiguous()"},

    // ---- Written in place.
    {"$[4,6]", "a[1:3].mul_(2); a.t()[0].zero_(); a[:, ::2].add_(1); return a", kNumbers},
    {"$[4,6] $[3]", "a.t()[::2, 1] += b; return a", kNumbers},
    {"f32[4,6]", "a.diagonal().copy_(a[0, 1:5]); return a"},
    {"f32[8]", "a[1:].copy_(a[:-1].clone()); return a"},
    {"f32[8]", "a[1:] += a[:-1].clone(); return a"},
    {"f32[8] i64[3]<0:8", "a[1:7][::2] = a[2:5]; a[b] = 7; return a"},
    {"f32[4,6]",
     "b = a.view(24)[2:20]; c = b[4:16].view(3, 4).t(); c.exp_(); b[0] = 5; return a, b, c"},
    {"f32[4,6]", "a.unfold(1, 2, 2).mul_(3); return a"},
    {"f32[4,6]", "a.transpose_(0, 1); a[2].fill_(1); a.unsqueeze_(0); return a.squeeze(0)"},
    {"f32[4,6]", "a.as_strided_([2, 3], [6, 2], 1); a.neg_(); return a"},
    {"f32[4,6]", "b = a.narrow(0, 1, 2); b.copy_(a.narrow(0, 2, 2).clone()); return b + a[:2]"},
    {"f32[4,6]", "b = torch.zeros_like(a); b[1:3, 2:4] = a[:2, :2]; b[0] = a[3]; return b"},
    {"f32[4] i32[4]", "a += b; a *= b; a -= 2; a /= 3; return a"},
    {"i64[5]", "a += 3; a *= -2;a &= 6; a |= 1; a ^= 5; return a"},
    {"f32[3,4]", "a.clamp_(-1, 1).add_(1).sqrt_().mul_(a); return a"},
    {"f32[3,4]", "b = a.detach(); b.add_(1); return a - b"},
    {"f32[2,3,4,4]",
     "b = a.contiguous(memory_format=2); b[:, 1].mul_(2); return b, b.permute(0, 2, 3, 1)"},
    {"f32[6]", "b = a[::2]; c = a[1::2]; b.add_(c); c.mul_(b); return a"},
    {"f32[6]", "b = a.resize_(2, 2); b.zero_(); return b"},
    {"f32[3,4] bool[3,4]", "a.masked_fill_(b, 2); a[b] = -1; return a"},
    {"f32[5,4] i64[3]=0,2,4 f32[3,4]",
     "a.index_copy_(0, b, c); a.index_add_(0, b, c); a.index_fill_(1, b[:2], 9); return a"},
    {"f32[5,4] i64[3]=4,-1,4 f32[3,4]", "a.index_put_([b], c, True); return a"},
    {"f32[5,4] i64[2]=3,1 i64[2]=0,2",
     "a[b, c] = a[c, b]; a[b] *= 2; return a, a[b, c], a[:, c], a[b][:, c]"},
    {"f32[5,4,3] i64[2,1]=3,1 i64[3]=-1,0,2",
     "return a[b, c], a[:, b[:, 0]], a[b, :, c], a[:, :, c]"},

    // ---- Aliases across steps.
    {"f32[4,6]", "b = a[1:3]; glia.step(); b.add_(1); glia.step(); a.mul_(2); return a, b"},
    {"f32[4,6]",
     "b = a.t(); c = b * 2; glia.step(); b[0].copy_(c[1]); glia.step(); return a, b, c"},
    {"f32[8]",
     "b = a[::2]; b.zero_(); glia.step(); c = a[1:5]; c += b; glia.step(); b.copy_(c.clone()); "
     "return a, b, c"},
    {"f32[4]", "b = a + 1; glia.step(); glia.step(); c = b; c.mul_(3); return b, c"},
    {"f32[2,3]",
     "b = a.view(3, 2); glia.step(); a.copy_(a.flip([0])); d = b.t(); glia.step(); d.neg_(); "
     "return a, b"},
    {"f32[4,4]",
     "b = a.diagonal(); glia.step(); b.fill_(1); c = a.triu(); glia.step(); a.zero_(); return a, "
     "b, c"},
    {"i64[6]", "b = a.view(2, 3); glia.step(); b[0] += b[1]; glia.step(); a[5] = 100; return a, b"},

    // ---- Composites.
    {"f32[3,4] f32[4,5]", "return torch.einsum('ij,jk->ik', [a, b])"},
    {"f32[2,3,4] f32[2,4,5]", "return torch.einsum('bij,bjk->bki', [a, b])"},
    {"f32[2,3,4,5] f32[2,3,6,5]", "return torch.einsum('bhid,bhjd->bhij', [a, b])"},
    {"f32[3,4] f32[5]", "return torch.einsum('ij,k->kji', [a, b]), torch.einsum('ij->j', [a])"},
    {"f32[4,4]", "return torch.einsum('ii->i', [a]), torch.einsum('ii', [a])"},
    {"f32[2,3,4] f32[5,4] f32[5]",
     "return torch.linear(a, b, c), torch.linear(a[0, 0], b), torch.linear(a[0], b, c)"},
    {"f32[4] f32[4]", "return torch.matmul(a, b), torch.outer(a, b), torch.inner(a, b)"},
    {"f32[4] f32[2,4,3]", "return torch.matmul(a, b), torch.matmul(b.transpose(1, 2), a)"},
    {"f32[2,1,3,4] f32[5,4,2]", "return torch.matmul(a, b)"},
    {"f32[3,4] f32[2,3]", "return torch.kron(a, b), torch.tensordot(a, b, [0], [1])"},
    {"f32[2,3] f32[4,3]",
     "return torch.cdist(a, b), torch.cosine_similarity(a[0], b[0], 0, 1e-8), "
     "torch.pairwise_distance(a, b[:2])",
     "", 1e-4},
    {"f32[2,3,7] f32[4,3,3] f32[4]", "return torch.conv1d(a, b, c, [2], [1], [1], 1)", "", 1e-4},
    {"f32[2,4,6,7] f32[4,1,3,2] f32[4]", "return torch.conv2d(a, b, c, [2, 1], [1, 0], [1, 2], 4)"},
    {"f32[1,2,4,5,6] f32[3,2,2,3,2]",
     "return torch.conv3d(a, b, None, [1, 2, 1], [1, 1, 0], [1, 1, 2], 1)", "", 1e-4},
    {"f32[2,4,5] f32[4,2,4] f32[4]",
     "return torch.conv_transpose1d(a, b, c, [2], [1], [1], 2, [1])"},
    {"f32[2,4,5,3] f32[4,3,3,3]",
     "return torch.conv_transpose2d(a, b, None, [2, 1], [1, 1], [1, 0], 1, [1, 2])", "", 1e-4},
    {"f32[1,2,3,4,3] f32[2,3,2,2,2] f32[3]", "return torch.conv_transpose3d(a, b, c, [1, 2, 1])",
     "", 1e-4},
    {"f32[3,8,8] f32[4,3,3,3]", "return torch.conv2d(a, b, None, [1, 1], 'same', [1, 1], 1)", "",
     1e-4},
    {"f32[2,3,9]",
     "return torch.max_pool1d(a, [3], [2], [1]), torch.avg_pool1d(a, [3], [2], [1], True, False)"},
    {"f32[2,3,9]", "return torch.adaptive_avg_pool1d(a, [4]), torch.adaptive_max_pool1d(a, [4])"},
    {"f32[2,3,8,8]", "return torch.max_pool2d(a, [3, 2], [2, 2], [1, 1], [1, 1], True)"},
    {"f32[1,2,5,6,7]", "return torch.max_pool3d(a, [2, 2, 2]), torch.avg_pool3d(a, [2, 3, 2])"},
    {"f32[2,3,8,8]",
     "return torch.adaptive_avg_pool2d(a, [3, 5]), torch.adaptive_avg_pool3d(a, [1, 2, 3])"},
    {"f32[2,6,5] f32[6] f32[6]",
     "return torch.group_norm(a, 3, b, c), torch.instance_norm(a, b, c, None, None, True, 0.1, "
     "1e-5, True)"},
    {"f32[2,3,4] f32[4] f32[4]",
     "return torch.layer_norm(a, [4], b, c), torch.layer_norm(a, [3, 4])"},
    {"f32[2,3,4] f32[3] f32[3] f32[3] f32[3]+",
     "return torch.batch_norm(a, b, c, d, e, False, 0.1, 1e-5, True)"},
    {"f32[2,3,4] f32[3] f32[3] f32[3] f32[3]+",
     "return torch.batch_norm(a, b, c, d, e, True, 0.1, 1e-5, True)"},
    {"f32[3,5]",
     "return a / torch.sqrt(torch.mean(a * a, [-1], True) + 1e-6), torch.frobenius_norm(a, [1])"},
    {"f32[3,5]",
     "return torch.softmax(a, 1), torch.log_softmax(a, 0), torch.logsumexp(a, [1]), torch.selu(a), "
     "torch.celu(a)"},
    {"f32[2,3,4]",
     "return torch.std(a), torch.var(a, [1], False), torch.std_mean(a, [0, 2]), torch.norm(a, 1, "
     "[1])"},
    {"f32[3,4]",
     "return torch.meshgrid([a[0], a[1, :3]]), torch.cartesian_prod([a[0], a[1]]), "
     "torch.combinations(a[0], 2)",
     "", 0, "masked_select"},
    {"f32[2,3] f32[4,3]",
     "return torch.vstack([a, b]), torch.hstack([a, a]), torch.dstack([a, a]), "
     "torch.column_stack([a, a])"},
    {"f32[3,4]",
     "return torch.tile(a, [2, 2]), torch.fliplr(a), torch.flipud(a), torch.rot90(a, 1, [0, 1])"},
    {"f32[9,4] i64[2,3]<0:9", "return torch.embedding(a, b), torch.embedding(a, b[0], 1)"},
    {"f32[9,4] i64[6]<0:9 i64[3]=0,2,5",
     "return torch.embedding_bag(a, b, c)[0], torch.embedding_bag(a, b, c, False, 1)[0], "
     "torch.embedding_bag(a, b, c, False, 2)[0]"},
    {"f32[3,5] i64[3]<0:5",
     "return torch.cross_entropy_loss(a, b), torch.nll_loss(torch.log_softmax(a, 1), b)"},
    {"f32[3,4] f32[3,4]u",
     "return torch.binary_cross_entropy_with_logits(a, b), torch.kl_div(a, b), torch.mse_loss(a, "
     "b), torch.l1_loss(a, b), torch.smooth_l1_loss(a, b)"},
    {"f32[2,3,4] f32[2,5,4] f32[2,5,3]",
     "return torch.softmax(torch.bmm(a, b.transpose(1, 2)) * 0.5, -1).bmm(c)"},
    {"f32[3,4] f32[4]", "return torch.where(a > b, a, b), torch.maximum(a, b), torch.fmod(a, b)",
     "", 0, ""},

    // ---- Recurrent layers: input, state, weights.
    {"f32[2,3] f32[2,4] f32[2,4] f32[16,3] f32[16,4] f32[16] f32[16]",
     "return torch.lstm_cell(a, [b, c], d, e, f, g)"},
    {"f32[2,3] f32[2,4] f32[12,3] f32[12,4] f32[12] f32[12]",
     "return torch.gru_cell(a, b, c, d, e, f)"},
    {"f32[2,3] f32[2,4] f32[4,3] f32[4,4] f32[4] f32[4]",
     "return torch.rnn_tanh_cell(a, b, c, d, e, f), torch.rnn_relu_cell(a, b, c, d, e, f)"},
    {"f32[5,2,3] f32[1,2,4] f32[1,2,4] f32[16,3] f32[16,4] f32[16] f32[16]",
     "return torch.lstm(a, [b, c], [d, e, f, g], True, 1, 0.0, False, False, False)"},
    {"f32[2,5,3] f32[1,2,4] f32[12,3] f32[12,4] f32[12] f32[12]",
     "return torch.gru(a, b, [c, d, e, f], True, 1, 0.0, False, False, True)"},
    {"f32[5,2,3] f32[2,2,4] f32[2,2,4] f32[16,3] f32[16,4] f32[16,3] f32[16,4]",
     "return torch.lstm(a, [b, c], [d, e, f, g], False, 1, 0.0, False, True, False)"},
    {"f32[4,2,3] f32[2,2,4] f32[12,3] f32[12,4] f32[12,4] f32[12,4]",
     "return torch.gru(a, b, [c, d, e, f], False, 2, 0.0, False, False, False)"},
    {"f32[4,2,3] f32[1,2,4] f32[4,3] f32[4,4]",
     "return torch.rnn_tanh(a, b, [c, d], False, 1, 0.0, False, False, False), torch.rnn_relu(a, "
     "b, [c, d], False, 1, 0.0, False, False, False)"},

    // ---- Shapes that depend on data: lazy mode runs these on the CPU and goes on.
    {"f32[3,4]", "b = a * 2; return b.nonzero(), b[b > 0].sum(), b + 1", "", 0, "aten::nonzero"},
    {"f32[3,4]", "b = a + 1; return b[b > 1] * 2", "", 0, "aten::index"},
    {"f32[3,4] bool[3,4]", "return torch.masked_select(a * 3, b) - 1", "", 0,
     "aten::masked_select"},
    {"i64[12]<0:5", "return torch._unique2(a + 1, True, True, True)", "", 0, "aten::_unique2"},
    {"i64[12]<0:5", "return torch.unique_consecutive(a), torch.bincount(a) + 1", "", 0,
     "aten::unique_consecutive"},
#if GLIA_TORCH_REPEATS_BY_VIEWS
    {"f32[3,4]", "return torch.repeat_interleave(a + 1, 2, 1)"},
#else
    {"f32[3,4]", "return torch.repeat_interleave(a + 1, 2, 1)", "", 0, "aten::repeat_interleave"},
#endif
    {"i64[3]<0:5", "return torch.one_hot(a, 5), torch.one_hot(a)", "", 0, kByExample},
    {"f32[3,4] i64[3]=2,0,3", "return torch.repeat_interleave(a, b, 0) + 1", "", 0,
     "aten::repeat_interleave"},
    {"f32[4]", "b = a * 2; x = b[0].item(); return b + x", "", 0, kByExample},
    {"f32[4]", "b = a * 2; if bool((b > 0).any()):\n    b = b + 1\nreturn b", "", 0, kByExample},
    {"f32[4] f32[4]", "c = torch.equal(a + b, b + a); return (a + b) * int(c)", "", 0, kByExample},
    {"f32[3,4] bool[3]", "a[b] = a[b] * 2; return a", "", 0, "aten::index"},
    {"f32[3,4] bool[3]", "a[b] += 1; return a", "", 0, "aten::index"},

    // ---- Random operators: what holds whatever they draw.
    {"f32[3,40]",
     "r = torch.rand_like(a); return (r >= 0).all(), (r < 1).all(), (r[1:] != r[:-1]).any()"},
    {"bf16[3,40]", "r = torch.rand_like(a); return (r >= 0).all() & (r < 1).all()"},
    {"f32[3,40]",
     "r = torch.randn_like(a); return (r.abs() < 7).all(), (r > 0).any(), (r < 0).any()"},
    {"f32[3,40]", "b = torch.bernoulli(a.sigmoid()); return (b * (1 - b)).abs().max()"},
    {"$[3,40]", "d = torch.dropout(a, 0.5, True); return ((d == 0) | (d == a * 2)).all()",
     "f32 bf16"},
    {"f32[3,4]", "return torch.dropout(a, 0.5, False)"},
    {"f32[3,4,5]",
     "d = torch.feature_dropout(a, 0.5, True); return ((d == 0) | (d == a * 2)).all()"},
    {"f32[5]", "return torch.sort(torch.randperm(37, device=a.device))[0]"},
    {"i64[400]",
     "r = torch.randint_like(a, -3, 5); s = torch.arange(-4, 6, device=a.device); return "
     "(r.unsqueeze(1) == s).any(0)"},
    {"i32[200]", "r = torch.randint_like(a, 7); return r.min(), r.max()"},
    {"f32[3,9]", "r = torch.multinomial(a.abs() + 0.1, 9); return torch.sort(r, -1)[0]"},
    {"f32[3,4]",
     "m = torch.tensor([0.0, 1.0, 1.0, 0.0], device=a.device); return (torch.multinomial(m, 50, "
     "True) - 1.5).abs()"},
    // Those that draw until a number fits run on the CPU.
    {"f32[3,4]", "return torch.poisson(a * 0)", "", 0, "aten::poisson", 1},
};

}  // namespace

absl::Span<const ProgramCase> ProgramTable() { return kPrograms; }

}  // namespace glia::conformance
