// Shared by the tests of this package: HLO text that uses every instruction.
#ifndef GLIA_SERIALIZATION_HLO_HLO_TESTING_H_
#define GLIA_SERIALIZATION_HLO_HLO_TESTING_H_

namespace glia::hlo {

// Written as ToString prints it, but for the order.
inline constexpr char kEveryInstruction[] =
    R"(HloModule every, input_output_alias={ {0}: (0, {}, may-alias), {1}: (1, {}, must-alias) }, entry_computation_layout={(f32[2,3]{1,0}, s32[4]{0}, f32[1,8,8,4]{3,2,1,0}, u64[2]{0}, pred[])->(f32[2,3]{1,0}, s32[4]{0})}, frontend_attributes={fingerprint="a\"b",mode="x"}

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%arg_max (v0: f32[], i0: s32[], v1: f32[], i1: s32[]) -> (f32[], s32[]) {
  %v0 = f32[] parameter(0)
  %i0 = s32[] parameter(1)
  %v1 = f32[] parameter(2)
  %i1 = s32[] parameter(3)
  %ge = pred[] compare(%v0, %v1), direction=GE, type=TOTALORDER
  %v = f32[] select(%ge, %v0, %v1)
  %i = s32[] select(%ge, %i0, %i1)
  ROOT %pair = (f32[], s32[]) tuple(%v, %i)
}

%less (p: f32[], q: f32[]) -> pred[] {
  %p = f32[] parameter(0)
  %q = f32[] parameter(1)
  ROOT %lt = pred[] compare(%p, %q), direction=LT
}

%body (s: (s32[], f32[2,3])) -> (s32[], f32[2,3]) {
  %s = (s32[], f32[2,3]{1,0}) parameter(0)
  %n = s32[] get-tuple-element(%s), index=0
  %one = s32[] constant(1)
  %next = s32[] add(%n, %one)
  %x = f32[2,3]{1,0} get-tuple-element(%s), index=1
  ROOT %state = (s32[], f32[2,3]{1,0}) tuple(%next, %x)
}

%condition (s: (s32[], f32[2,3])) -> pred[] {
  %s = (s32[], f32[2,3]{1,0}) parameter(0)
  %n = s32[] get-tuple-element(%s), index=0
  %ten = s32[] constant(10)
  ROOT %go = pred[] compare(%n, %ten), direction=LT, type=SIGNED
}

%negated (y: f32[2,3]) -> f32[2,3] {
  %y = f32[2,3]{1,0} parameter(0)
  ROOT %minus = f32[2,3]{1,0} negate(%y)
}

%same (z: f32[2,3]) -> f32[2,3] {
  ROOT %z = f32[2,3]{1,0} parameter(0)
}

ENTRY %main (x: f32[2,3], idx: s32[4], image: f32[1,8,8,4], seed: u64[2], flag: pred[]) -> (f32[2,3], s32[4]) {
  %x = f32[2,3]{1,0} parameter(0)
  %idx = s32[4]{0} parameter(1)
  %image = f32[1,8,8,4]{3,2,1,0} parameter(2)
  %seed = u64[2]{0} parameter(3)
  %flag = pred[] parameter(4)
  %zero = f32[] constant(0)
  %c = f32[2,3]{1,0} constant({ { 1, -2.5, inf }, { nan, -nan, 1e-45 } })
  %bits = pred[3]{0} constant({1, 0, 1})
  %half = bf16[2]{0} constant({0.5, -3})
  %cplx = c64[2]{0} constant({(1, 2), (3, -4)})
  %big = u64[1]{0} constant({18446744073709551615})
  %empty = f32[0,3]{1,0} constant({})
  %nested = (f32[], s32[2]{0}) constant((1.5, {1, 2}))
  %abs = f32[2,3]{1,0} abs(%x)
  %cbrt = f32[2,3]{1,0} cbrt(%abs)
  %ceil = f32[2,3]{1,0} ceil(%cbrt)
  %clz = s32[4]{0} count-leading-zeros(%idx)
  %copy = f32[2,3]{0,1} copy(%ceil)
  %cos = f32[2,3]{1,0} cosine(%copy)
  %erf = f32[2,3]{1,0} erf(%cos)
  %exp = f32[2,3]{1,0} exponential(%erf)
  %expm1 = f32[2,3]{1,0} exponential-minus-one(%exp)
  %floor = f32[2,3]{1,0} floor(%expm1)
  %finite = pred[2,3]{1,0} is-finite(%floor)
  %log = f32[2,3]{1,0} log(%floor)
  %log1p = f32[2,3]{1,0} log-plus-one(%log)
  %logistic = f32[2,3]{1,0} logistic(%log1p)
  %neg = f32[2,3]{1,0} negate(%logistic)
  %not = pred[2,3]{1,0} not(%finite)
  %pop = s32[4]{0} popcnt(%clz)
  %rp = f32[2,3]{1,0} reduce-precision(%neg), exponent_bits=8, mantissa_bits=7
  %afz = f32[2,3]{1,0} round-nearest-afz(%rp)
  %even = f32[2,3]{1,0} round-nearest-even(%afz)
  %rsqrt = f32[2,3]{1,0} rsqrt(%even)
  %sign = f32[2,3]{1,0} sign(%rsqrt)
  %sin = f32[2,3]{1,0} sine(%sign)
  %sqrt = f32[2,3]{1,0} sqrt(%sin)
  %tan = f32[2,3]{1,0} tan(%sqrt)
  %tanh = f32[2,3]{1,0} tanh(%tan), metadata={op_type="aten::tanh" op_name="a/b" source_file="m.py" source_line=7}
  %half_too = bf16[2,3]{1,0} convert(%tanh)
  %as_int = s32[2,3]{1,0} bitcast-convert(%tanh)
  %sub = f32[2,3]{1,0} subtract(%tanh, %c)
  %mul = f32[2,3]{1,0} multiply(%sub, %x)
  %div = f32[2,3]{1,0} divide(%mul, %x)
  %rem = f32[2,3]{1,0} remainder(%div, %x)
  %pow = f32[2,3]{1,0} power(%rem, %x)
  %max = f32[2,3]{1,0} maximum(%pow, %x)
  %min = f32[2,3]{1,0} minimum(%max, %x)
  %atan2 = f32[2,3]{1,0} atan2(%min, %x)
  %and = pred[2,3]{1,0} and(%finite, %not)
  %or = pred[2,3]{1,0} or(%and, %not)
  %xor = pred[2,3]{1,0} xor(%or, %not)
  %shl = s32[4]{0} shift-left(%idx, %pop)
  %sra = s32[4]{0} shift-right-arithmetic(%shl, %pop)
  %srl = s32[4]{0} shift-right-logical(%sra, %pop)
  %clamp = f32[2,3]{1,0} clamp(%zero, %atan2, %x)
  %select = f32[2,3]{1,0} select(%xor, %clamp, %x)
  %bitcast = f32[6]{0} bitcast(%select)
  %broadcast = f32[5,6]{1,0} broadcast(%bitcast), dimensions={1}
  %splat = f32[2,2]{1,0} broadcast(%zero), dimensions={}
  %concat = f32[4,3]{1,0} concatenate(%select, %x), dimensions={0}
  %start = s32[] constant(1)
  %ds = f32[2,2]{1,0} dynamic-slice(%concat, %start, %start), dynamic_slice_sizes={2,2}
  %dus = f32[4,3]{1,0} dynamic-update-slice(%concat, %ds, %start, %start)
  %gather = f32[4,3]{1,0} gather(%dus, %idx), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,3}, indices_are_sorted=true
  %pad = f32[7,4]{1,0} pad(%gather, %zero), padding=1_2_0x-1_0_1
  %reshape = f32[28]{0} reshape(%pad)
  %reverse = f32[28]{0} reverse(%reshape), dimensions={0}
  %slice = f32[9]{0} slice(%reverse), slice={[1:28:3]}
  %transpose = f32[3,2]{1,0} transpose(%x), dimensions={1,0}
  %bn_vector = f32[3]{0} constant({1, 2, 3})
  %bn = f32[2,3]{1,0} batch-norm-inference(%x, %bn_vector, %bn_vector, %bn_vector, %bn_vector), epsilon=1e-05, feature_index=1
  %kernel = f32[3,3,2,6]{3,2,1,0} broadcast(%zero), dimensions={}
  %conv = f32[1,4,4,6]{3,2,1,0} convolution(%image, %kernel), window={size=3x3 stride=2x2 pad=1_1x1_1 rhs_reversal=1x0}, dim_labels=b01f_01io->b01f, feature_group_count=2, operand_precision={highest,default}
  %dot = f32[2,2]{1,0} dot(%x, %transpose), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %batch = f32[4,2,2]{2,1,0} broadcast(%dot), dimensions={1,2}
  %bmm = f32[4,2,2]{2,1,0} dot(%batch, %batch), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}, rhs_contracting_dims={1}
  %map = f32[2,3]{1,0} map(%x, %bn), dimensions={0,1}, to_apply=%add
  %reduce = f32[2]{0} reduce(%map, %zero), dimensions={1}, to_apply=%add
  %iota = s32[2,3]{1,0} iota(), iota_dimension=1
  %izero = s32[] constant(0)
  %argmax = (f32[2]{0}, s32[2]{0}) reduce(%map, %iota, %zero, %izero), dimensions={1}, to_apply=%arg_max
  %rw = f32[1,4,4,4]{3,2,1,0} reduce-window(%image, %zero), window={size=1x2x2x1 stride=1x2x2x1}, to_apply=%add
  %scatter = f32[4,3]{1,0} scatter(%dus, %idx, %gather), update_window_dims={1}, inserted_window_dims={0}, scatter_dims_to_operand_dims={0}, index_vector_dim=1, unique_indices=true, to_apply=%add
  %sas = f32[1,8,8,4]{3,2,1,0} select-and-scatter(%image, %rw, %zero), window={size=1x2x2x1 stride=1x2x2x1}, select=%less, scatter=%add
  %sort = f32[2,3]{1,0} sort(%map), dimensions={1}, is_stable=true, to_apply=%less
  %topk = (f32[2,2]{1,0}, s32[2,2]{1,0}) topk(%sort), k=2, largest=false
  %rng = f32[5]{0} rng(%zero, %zero), distribution=rng_uniform
  %rbg = (u64[2]{0}, u32[5]{0}) rng-bit-generator(%seed), algorithm=rng_three_fry
  %call = f32[2,3]{1,0} call(%map), to_apply=%negated
  %cond = f32[2,3]{1,0} conditional(%flag, %call, %map), true_computation=%negated, false_computation=%same
  %switch = f32[2,3]{1,0} conditional(%start, %cond, %map, %call), branch_computations={%negated, %same, %negated}
  %custom = f32[2,3]{1,0} custom-call(%switch), custom_call_target="Foo", custom_call_has_side_effect=true, api_version=API_VERSION_STATUS_RETURNING, backend_config="{\"k\": 1}"
  %fusion = f32[2,3]{1,0} fusion(%custom), kind=kLoop, calls=%negated, frontend_attributes={a="1"}
  %barrier = f32[2,3]{1,0} opt-barrier(%fusion)
  %state = (s32[], f32[2,3]{1,0}) tuple(%start, %barrier)
  %while = (s32[], f32[2,3]{1,0}) while(%state), condition=%condition, body=%body
  %out = f32[2,3]{1,0} get-tuple-element(%while), index=1
  ROOT %result = (f32[2,3]{1,0}, s32[4]{0}) tuple(%out, %srl)
}
)";

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_HLO_TESTING_H_
