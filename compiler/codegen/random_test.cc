// Random graphs of all kinds of operations: fusion, views, reuse of memory and synchronization
// together.
#include <random>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/codegen_testing.h"
#include "serialization/hlo/builder.h"
#include "serialization/hlo/text.h"

namespace glia::compiler {
namespace {

using hlo::Op;
using hlo::Opcode;
using hlo::Shape;

class Generator {
 public:
  Generator(uint64_t seed, int64_t max_elements)
      : random_(seed), builder_("random"), max_elements_(max_elements) {
    for (int i = 0; i < 3; ++i) Parameter();
  }

  absl::StatusOr<std::unique_ptr<hlo::Module>> Build(int operations) {
    for (int i = 0; i < operations; ++i) Step();
    std::vector<Op> results;
    for (int i = 0; i < 3; ++i) results.push_back(Any());
    results.push_back(values_.back());
    return builder_.Build(results);
  }
  const std::vector<hlo::Literal>& arguments() const { return arguments_; }

 private:
  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  Op Any() { return values_[Below(static_cast<int64_t>(values_.size()))]; }

  void Parameter() {
    static const int64_t kSizes[] = {1, 2, 3, 5, 7, 16, 33, 130};
    std::vector<int64_t> dims(1 + Below(3));
    int64_t elements = 1;
    for (int64_t& d : dims) {
      d = kSizes[Below(std::size(kSizes))];
      if (elements * d > max_elements_) d = 1;
      elements *= d;
    }
    const Shape shape(hlo::kF32, dims);
    values_.push_back(hlo::Parameter(&builder_, static_cast<int64_t>(arguments_.size()), shape));
    arguments_.push_back(RandomLiteral(shape, random_()));
  }

  // Keeps values small, so that sums of products do not lose digits.
  Op Small(Op x) { return Tanh(x); }

  void Step() {
    const Op x = Any();
    const std::vector<int64_t>& dims = x.shape().dims;
    const int64_t rank = x.shape().rank(), dim = rank == 0 ? 0 : Below(rank);
    Op y;
    switch (Below(13)) {
      case 0:
        y = Small(x);
        break;
      case 1:
        y = Add(x, Small(x));
        break;
      case 2:
        y = Select(Lt(x, Filled(&builder_, x.shape(), 0.1)), Neg(x), x);
        break;
      case 3: {  // with another value of the same dims, if there is one
        Op other = x;
        for (int i = 0; i < 8; ++i) {
          const Op candidate = Any();
          if (hlo::SameDims(candidate.shape(), x.shape())) other = candidate;
        }
        y = Sub(Max(x, other), Small(other));
        break;
      }
      case 4: {
        std::vector<int64_t> permutation(rank);
        for (int64_t i = 0; i < rank; ++i) permutation[i] = i;
        std::shuffle(permutation.begin(), permutation.end(), random_);
        y = Transpose(x, permutation);
        break;
      }
      case 5:
        y = Reshape(x, {x.shape().elements()});
        break;
      case 6: {
        if (rank == 0) return;
        const int64_t start = Below(dims[dim] + 1), limit = start + Below(dims[dim] - start + 1);
        if (limit == start && Below(4) != 0) return;
        y = SliceInDim(x, start, limit, 1 + Below(2), dim);
        break;
      }
      case 7: {
        if (rank == 0 || x.shape().elements() * 2 > max_elements_) return;
        const Op parts[] = {x, Small(x)};
        y = Concatenate(parts, dim);
        break;
      }
      case 8: {
        if (rank == 0) return;
        std::vector<hlo::PaddingDim> padding(rank);
        padding[dim] = {Below(4) - 1, Below(4) - 1, Below(2)};
        const int64_t size = dims[dim] + padding[dim].low + padding[dim].high +
                             std::max<int64_t>(0, dims[dim] - 1) * padding[dim].interior;
        if (size < 0) return;
        y = Pad(x, hlo::ConstantR0<float>(&builder_, 0.5f), padding);
        break;
      }
      case 9: {
        std::vector<int64_t> over;
        for (int64_t i = 0; i < rank; ++i) {
          if (Below(2) == 0) over.push_back(i);
        }
        const bool add = Below(2) == 0;
        y = Reduce(Small(x), hlo::ConstantR0<float>(&builder_, add ? 0.0f : -INFINITY),
                   builder_.ScalarComputation(add ? Opcode::kAdd : Opcode::kMaximum, hlo::kF32),
                   over);
        y = Small(y);
        break;
      }
      case 10: {
        const int64_t size = 1 + Below(40);
        if (x.shape().elements() * size > max_elements_ || rank > 5) return;
        std::vector<int64_t> result(dims), at;
        const int64_t where = Below(rank + 1);
        result.insert(result.begin() + where, size);
        for (int64_t i = 0; i < rank; ++i) at.push_back(i < where ? i : i + 1);
        y = BroadcastInDim(x, result, at);
        break;
      }
      case 11: {
        if (rank == 0) return;
        const int64_t reverse[] = {dim};
        y = Rev(x, reverse);
        break;
      }
      default: {  // dot of x with itself over one dim
        if (rank == 0) return;
        const int64_t rest = dims[dim] == 0 ? 0 : x.shape().elements() / dims[dim];
        if (rest * rest > max_elements_) return;
        y = Small(DotGeneral(Small(x), Small(x), {{dim}, {dim}, {}, {}}));
      }
    }
    if (y.valid()) values_.push_back(y);
  }

  std::mt19937_64 random_;
  hlo::Builder builder_;
  const int64_t max_elements_;
  std::vector<Op> values_;
  std::vector<hlo::Literal> arguments_;
};

TEST(RandomTest, GraphsOfAllOperations) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Generator generator(seed, seed % 10 == 0 ? 40000 : 3000);
    auto module = generator.Build(30);
    ASSERT_TRUE(module.ok()) << module.status().message();
    CodegenOptions options;
    if (seed % 3 == 0) options.sbuf_partition_bytes = 100 * 1024;
    const absl::Status status = CheckModule(**module, generator.arguments(), {1e-3, 1e-3}, options);
    ASSERT_TRUE(status.ok()) << status.message() << "\n" << hlo::ToString(**module);
  }
}

}  // namespace
}  // namespace glia::compiler
