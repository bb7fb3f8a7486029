#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compiler/codegen/codegen_testing.h"
#include "serialization/hlo/builder.h"
#include "serialization/isa/cost.h"

namespace glia::compiler {
namespace {

using hlo::DotDims;
using hlo::PrimitiveType;
using hlo::Shape;

struct DotCase {
  std::vector<int64_t> lhs, rhs;
  DotDims dims;
  PrimitiveType type = hlo::kF32;
  PrimitiveType result = hlo::kInvalid;
};

std::unique_ptr<hlo::Module> Build(const DotCase& c) {
  hlo::Builder b("dot");
  const hlo::Op x = Parameter(&b, 0, Shape(c.type, c.lhs)),
                y = Parameter(&b, 1, Shape(c.type, c.rhs));
  auto module = b.Build(DotGeneral(x, y, c.dims, c.result));
  EXPECT_TRUE(module.ok()) << module.status().message();
  return module.ok() ? *std::move(module) : nullptr;
}

absl::Status Check(const DotCase& c, const Tolerance& tolerance = {},
                   const CodegenOptions& options = {}) {
  const auto module = Build(c);
  return CheckModule(
      *module, {RandomLiteral(Shape(c.type, c.lhs), 1), RandomLiteral(Shape(c.type, c.rhs), 2)},
      tolerance, options);
}

// Contracts dims of every kind: inner and outer, with and without batch, of awkward sizes.
const DotCase kCases[] = {
    {{1, 1}, {1, 1}, {{1}, {0}, {}, {}}},
    {{1, 784}, {784, 120}, {{1}, {0}, {}, {}}},
    {{1, 784}, {120, 784}, {{1}, {1}, {}, {}}},
    {{130, 131}, {131, 257}, {{1}, {0}, {}, {}}},
    {{131, 130}, {131, 257}, {{0}, {0}, {}, {}}},
    {{131, 130}, {257, 131}, {{0}, {1}, {}, {}}},
    {{600, 300}, {300, 700}, {{1}, {0}, {}, {}}},
    {{400, 1000}, {3, 1000}, {{1}, {1}, {}, {}}},
    {{64}, {64}, {{0}, {0}, {}, {}}},
    {{3, 200}, {200}, {{1}, {0}, {}, {}}},
    {{2, 5, 33}, {2, 33, 7}, {{2}, {1}, {0}, {0}}},
    {{5, 2, 33}, {33, 2, 7}, {{2}, {0}, {1}, {1}}},
    {{4, 12, 17, 64}, {4, 12, 19, 64}, {{3}, {3}, {0, 1}, {0, 1}}},
    {{2, 17, 3, 64}, {2, 19, 3, 64}, {{3}, {3}, {0, 2}, {0, 2}}},
    {{40, 1, 9}, {40, 9, 1}, {{2}, {1}, {0}, {0}}},
    {{3, 4, 5, 6}, {5, 7, 4}, {{1, 2}, {2, 0}, {}, {}}},
    {{6, 5}, {3, 4, 5}, {{1}, {2}, {}, {}}},
    {{3, 4}, {5, 6}, {{}, {}, {}, {}}},
    {{3, 0}, {0, 4}, {{1}, {0}, {}, {}}},
    {{0, 3}, {3, 4}, {{1}, {0}, {}, {}}},
    {{20, 9000}, {9000, 30}, {{1}, {0}, {}, {}}},
    {{5, 37}, {37, 9}, {{1}, {0}, {}, {}}, hlo::kS32},
    {{5, 37}, {37, 9}, {{1}, {0}, {}, {}}, hlo::kS64},
    {{130, 5000}, {5000, 3}, {{1}, {0}, {}, {}}, hlo::kS32},
    {{5, 37}, {9, 37}, {{1}, {1}, {}, {}}, hlo::kS8, hlo::kS32},
    {{5, 37}, {9, 37}, {{1}, {1}, {}, {}}, hlo::kS8},
    {{5, 37}, {9, 37}, {{1}, {1}, {}, {}}, hlo::kU8, hlo::kU32},
};

TEST(DotTest, MatchesEvaluator) {
  for (const DotCase& c : kCases) {
    SCOPED_TRACE(absl::StrCat("[", absl::StrJoin(c.lhs, ","), "] . [", absl::StrJoin(c.rhs, ","),
                              "] ", std::string(hlo::Name(c.type))));
    GLIA_EXPECT_OK(Check(c, {1e-4, 1e-5}));
  }
}

TEST(DotTest, HalfPrecision) {
  for (PrimitiveType type : {hlo::kBF16, hlo::kF16}) {
    for (const bool wide : {false, true}) {
      DotCase c = {
          {33, 130}, {140, 130}, {{1}, {1}, {}, {}}, type, wide ? hlo::kF32 : hlo::kInvalid};
      GLIA_EXPECT_OK(Check(c, wide ? Tolerance{1e-4, 1e-5} : Tolerance{1e-2, 1e-2}));
    }
  }
}

TEST(DotTest, AutoCastGivesHalfPrecisionProducts) {
  CodegenOptions options;
  options.auto_cast = AutoCast::kMatmult;
  // The test values are exact in bf16.
  for (const DotCase& c : {kCases[3], kCases[5], kCases[12]})
    GLIA_EXPECT_OK(Check(c, {1e-4, 1e-5}, options));
}

// x . constant, or constant . x.
std::unique_ptr<hlo::Module> WithConstant(const DotCase& c, bool left) {
  hlo::Builder b("dot");
  const auto operand = [&](const std::vector<int64_t>& dims, bool constant) {
    const Shape shape(c.type, dims);
    return constant ? Constant(&b, RandomLiteral(shape, 3)) : Parameter(&b, 0, shape);
  };
  const hlo::Op x = operand(c.lhs, left), y = operand(c.rhs, !left);
  auto module = b.Build(DotGeneral(x, y, c.dims, c.result));
  EXPECT_TRUE(module.ok()) << module.status().message();
  return module.ok() ? *std::move(module) : nullptr;
}

TEST(DotTest, ConstantOperands) {
  for (const bool cast : {false, true}) {
    CodegenOptions options;
    if (cast) options.auto_cast = AutoCast::kMatmult;
    for (const bool left : {false, true}) {
      for (const DotCase& c : kCases) {
        SCOPED_TRACE(absl::StrCat(left ? "constant " : "", "[", absl::StrJoin(c.lhs, ","), "] . [",
                                  absl::StrJoin(c.rhs, ","), "] ", std::string(hlo::Name(c.type))));
        const auto module = WithConstant(c, left);
        const Shape shape(c.type, left ? c.rhs : c.lhs);
        GLIA_EXPECT_OK(CheckModule(*module, {RandomLiteral(shape, 4)}, {1e-4, 1e-5}, options));
      }
    }
  }
}

// The weight of a linear layer, [out, in], is in the NEFF as the tensor engine reads it.
TEST(DotTest, ConstantsAreLaidOutWhileCompiling) {
  CodegenOptions options;
  options.auto_cast = AutoCast::kMatmult;
  const DotCase c = {{64, 768}, {768, 768}, {{1}, {1}, {}, {}}};
  const auto neff = Generate(*WithConstant(c, false), options);
  ASSERT_TRUE(neff.ok()) << neff.status().message();
  int64_t constant_bytes = 0;
  for (const isa::Variable& v : neff->program.variables) {
    if (v.kind == isa::VariableKind::kFile) constant_bytes += v.bytes;
  }
  EXPECT_EQ(constant_bytes, 768 * 768 * 2);  // once, as bf16
  for (const isa::DmaDescriptor& dma : neff->program.dmas) {
    if (neff->program.variables[dma.src_var].kind != isa::VariableKind::kFile) continue;
    const isa::DmaRows rows = isa::DmaRowStructure(neff->program, dma).src;
    EXPECT_GE(rows.row_bytes, 4096);
  }
}

TEST(DotTest, OperandsThatAreViews) {
  GLIA_EXPECT_OK(CheckText(R"(
ENTRY main {
  x = f32[70,90] parameter(0)
  y = f32[50,140] parameter(1)
  xt = f32[90,70] transpose(x), dimensions={1,0}
  ys = f32[50,70] slice(y), slice={[0:50], [1:140:2]}
  yr = f32[50,70] reverse(ys), dimensions={1}
  ROOT d = f32[90,50] dot(xt, yr), lhs_contracting_dims={1}, rhs_contracting_dims={1}
})",
                           1, {1e-4, 1e-5}));
}

}  // namespace
}  // namespace glia::compiler
