// What --auto-cast rounds, and that it rounds nothing else and nothing twice: the device against
// the evaluator of the module with its roundings written out.
#include "compiler/codegen/precision.h"

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/codegen_testing.h"
#include "compiler/codegen/rounding_testing.h"
#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/text.h"

namespace glia::compiler {
namespace {

// Uniform in [-1, 1): no bf16 holds them.
hlo::Literal Fractions(const hlo::Shape& shape, uint64_t seed) {
  hlo::Literal literal = hlo::Literal::Zero(shape);
  std::mt19937_64 random(seed);
  for (int64_t i = 0; i < literal.elements(); ++i) {
    literal.SetFromDouble(i, std::ldexp(static_cast<double>(random() >> 11), -52) - 1);
  }
  return literal;
}

double Rms(const hlo::Literal& a, const hlo::Literal* b = nullptr) {
  double sum = 0;
  for (int64_t i = 0; i < a.elements(); ++i) {
    const double d = a.GetAsDouble(i) - (b == nullptr ? 0 : b->GetAsDouble(i));
    sum += d * d;
  }
  return std::sqrt(sum / static_cast<double>(a.elements()));
}

// Compiles the text, with the parameters named w… as constants, and holds both executors to the
// model: within 2^-18 of the result's rms if one product follows no other; behind products, sums in
// another order tip a rounding now and then.
void ExpectRounded(const std::string& text, double bound, const CodegenOptions& options) {
  auto parsed = hlo::ParseModule(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  hlo::Computation* entry = (*parsed)->entry();
  std::vector<hlo::Literal> arguments;
  for (int64_t i = 0; i < entry->parameter_count(); ++i) {
    hlo::Instruction* parameter = entry->parameter(i);
    arguments.push_back(Fractions(parameter->shape, static_cast<uint64_t>(i) + 1));
    if (parameter->name()[0] == 'w') {
      parameter->ReplaceAllUsesWith(entry->AddConstant(arguments.back()));
    }
  }
  entry->Sort();
  const auto want = hlo::Evaluate(*WithRoundedOperands(**parsed, options), arguments);
  ASSERT_TRUE(want.ok()) << want.status().message();
  const auto exact = hlo::Evaluate(**parsed, arguments);
  ASSERT_TRUE(exact.ok()) << exact.status().message();
  const auto neff = Generate(**parsed, options);
  ASSERT_TRUE(neff.ok()) << neff.status().message();
  for (const auto kind : {device::ExecutorKind::kInterpreter, device::ExecutorKind::kFast}) {
    const auto got = RunNeff(*neff, **parsed, arguments, kind);
    ASSERT_TRUE(got.ok()) << got.status().message();
    const double rms = Rms(*want), difference = Rms((*got)[0], &*want);
    EXPECT_LE(difference, bound * rms);
    if (options.auto_cast == AutoCast::kNone) continue;
    // What the rounding does is far more than what the model leaves open.
    EXPECT_GE(Rms(*exact, &*want), 5 * bound * rms);
  }
}

constexpr double kOne = 0x1p-18, kSeveral = 2e-4;

CodegenOptions Matmult(AutoCastType type = AutoCastType::kBf16) {
  CodegenOptions options;
  options.auto_cast = AutoCast::kMatmult;
  options.auto_cast_type = type;
  return options;
}

constexpr char kDot[] = R"(
ENTRY e {
 x = f32[33,70] parameter(0)
 w = f32[70,50] parameter(1)
 ROOT d = f32[33,50] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
})";

constexpr char kConv[] = R"(
ENTRY e {
 x = f32[2,13,9,8] parameter(0)
 w = f32[20,13,3,3] parameter(1)
 ROOT c = f32[2,20,9,8] convolution(x, w), window={size=3x3 pad=1_1x1_1}, dim_labels=bf01_oi01->bf01
})";

TEST(PrecisionTest, OperandsOfOneProduct) {
  for (const char* text : {kDot, kConv}) {
    ExpectRounded(text, kOne, Matmult());
    ExpectRounded(text, kOne, {});
  }
  // The range of fp16 suffices here; it rounds eight times finer.
  ExpectRounded(kDot, kOne, Matmult(AutoCastType::kFp16));
}

std::string Replaced(std::string text, const std::string& what, const std::string& by) {
  const size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos);
  return text.replace(at, what.size(), by);
}

// Interpolation, say, asks for it.
TEST(PrecisionTest, HigherOperandPrecisionIsNotRounded) {
  for (const char* precision : {"{highest,highest}", "{high,default}"}) {
    for (std::string text : {kDot, kConv}) {
      text = Replaced(text, "\n}", absl::StrCat(", operand_precision=", precision, "\n}"));
      auto module = hlo::ParseModule(text);
      ASSERT_TRUE(module.ok()) << module.status().message();
      std::vector<hlo::Literal> arguments;
      for (const hlo::Instruction* p : (*module)->entry()->parameters()) {
        arguments.push_back(Fractions(p->shape, arguments.size() + 1));
      }
      GLIA_EXPECT_OK(CheckModule(**module, arguments, {1e-5, 1e-5}, Matmult()));
    }
  }
}

TEST(PrecisionTest, TinyProductsOfTheVectorEnginesAreNotRounded) {
  const char text[] = R"(
ENTRY e {
 x = f32[16,4,8] parameter(0)
 y = f32[16,8,4] parameter(1)
 z = f32[16,4,8] parameter(2)
 a = f32[16,4,8] multiply(x, z)
 ROOT d = f32[16,4,4] dot(a, y), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}, rhs_contracting_dims={1}
})";
  const auto module = hlo::ParseModule(text);
  ASSERT_TRUE(module.ok()) << module.status().message();
  std::vector<hlo::Literal> arguments;
  for (const hlo::Instruction* p : (*module)->entry()->parameters()) {
    arguments.push_back(Fractions(p->shape, arguments.size() + 1));
  }
  GLIA_EXPECT_OK(CheckModule(**module, arguments, {1e-5, 1e-5}, Matmult()));
}

// What only products read may be stored rounded; not so if one of them wants all bits.
TEST(PrecisionTest, ReadersOfBothKinds) {
  ExpectRounded(R"(
ENTRY e {
 x = f32[33,70] parameter(0)
 w1 = f32[70,50] parameter(1)
 w2 = f32[50,40] parameter(2)
 w3 = f32[50,40] parameter(3)
 d = f32[33,50] dot(x, w1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
 t = f32[33,50] tanh(d)
 a = f32[33,40] dot(t, w2), lhs_contracting_dims={1}, rhs_contracting_dims={0}, operand_precision={highest,highest}
 b = f32[33,40] dot(t, w3), lhs_contracting_dims={1}, rhs_contracting_dims={0}
 ROOT s = f32[33,40] subtract(a, b)
})",
                kSeveral, Matmult());
}

// A residual stream and a normalisation stay in fp32.
TEST(PrecisionTest, ChainOfDots) {
  ExpectRounded(R"(
add { a = f32[] parameter(0)
 b = f32[] parameter(1)
 ROOT r = f32[] add(a, b) }
ENTRY e {
 x = f32[40,64] parameter(0)
 w1 = f32[64,96] parameter(1)
 w2 = f32[96,64] parameter(2)
 w3 = f32[64,24] parameter(3)
 d = f32[40,96] dot(x, w1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
 t = f32[40,96] tanh(d)
 f = f32[40,64] dot(t, w2), lhs_contracting_dims={1}, rhs_contracting_dims={0}
 s = f32[40,64] add(f, x)
 zero = f32[] constant(0)
 q = f32[40,64] multiply(s, s)
 m = f32[40] reduce(q, zero), dimensions={1}, to_apply=add
 n = f32[40] rsqrt(m)
 nb = f32[40,64] broadcast(n), dimensions={0}
 y = f32[40,64] multiply(s, nb)
 ROOT o = f32[40,24] dot(y, w3), lhs_contracting_dims={1}, rhs_contracting_dims={0}
})",
                kSeveral, Matmult());
}

// Two convolutions with the factors and offsets of a batch norm, `between` them what makes p of r1,
// and a residual.
std::string Block(int64_t c, const std::string& between) {
  const std::string x = absl::StrCat(" = f32[2,", c, ",9,8] "),
                    k = absl::StrCat(" = f32[", c, ",", c, ",3,3] "),
                    conv = ", window={size=3x3 pad=1_1x1_1}, dim_labels=bf01_oi01->bf01\n";
  std::string factors;
  for (int64_t i = 0; i < c; ++i) {
    absl::StrAppend(&factors, i == 0 ? "" : ", ", static_cast<double>(i % 7 + 3) / 7.3);
  }
  std::string text = R"(
max { a = f32[] parameter(0)
 b = f32[] parameter(1)
 ROOT r = f32[] maximum(a, b) }
ENTRY e {
)";
  absl::StrAppend(&text, "x", x, "parameter(0)\nw1", k, "parameter(1)\nw2", k, "parameter(2)\n");
  absl::StrAppend(&text, "w3 = f32[", c, ",1,3,3] parameter(3)\n");
  absl::StrAppend(&text, "s = f32[", c, "] constant({", factors, "})\n");
  absl::StrAppend(&text, "bs", x, "broadcast(s), dimensions={1}\nzero = f32[] constant(0)\n");
  absl::StrAppend(&text, "low = f32[] constant(-inf)\nz", x, "broadcast(zero), dimensions={}\n");
  absl::StrAppend(&text, "c1", x, "convolution(x, w1)", conv, "m1", x, "multiply(c1, bs)\n");
  absl::StrAppend(&text, "a1", x, "add(m1, bs)\nr1", x, "maximum(a1, z)\n");
  absl::StrAppend(&text, "p", x, between, "\nc2", x, "convolution(p, w2)", conv);
  absl::StrAppend(&text, "m2", x, "multiply(c2, bs)\nROOT o", x, "add(m2, r1)\n}\n");
  return text;
}

TEST(PrecisionTest, ChainOfConvolutions) {
  for (const int64_t c : {8, 40}) {
    for (const std::string& between :
         {std::string("negate(r1)"), std::string("add(r1, x)"),
          std::string("reduce-window(r1, low), window={size=1x1x3x3 pad=0_0x0_0x1_1x1_1}, "
                      "to_apply=max"),
          absl::StrCat("convolution(r1, w3), window={size=3x3 pad=1_1x1_1}, "
                       "dim_labels=bf01_oi01->bf01, feature_group_count=",
                       c)}) {
      SCOPED_TRACE(absl::StrCat(c, " channels, ", between));
      ExpectRounded(Block(c, between), kSeveral, Matmult());
    }
  }
}

}  // namespace
}  // namespace glia::compiler
