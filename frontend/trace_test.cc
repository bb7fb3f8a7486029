// The traced mode end to end: model, NEFF, TorchScript file, another process's view of it.
#include "frontend/trace.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/utils.h>

#include <cstring>
#include <sstream>
#include <thread>

#include "frontend/capture/metrics.h"
#include "frontend/testing/errors.h"
#include "frontend/torch_compat.h"
#include "runtime/torch/neuron_model.h"

namespace glia {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

torch::nn::Sequential Mlp() {
  torch::manual_seed(0);
  return torch::nn::Sequential(torch::nn::Linear(20, 12), torch::nn::ReLU(),
                               torch::nn::Linear(12, 5), torch::nn::Softmax(1));
}

std::string Save(const torch::jit::Module& module) {
  std::ostringstream stream;
  module.save(stream);
  return stream.str();
}

torch::jit::Module Load(const std::string& bytes) {
  std::istringstream stream(bytes);
  return torch::jit::load(stream);
}

void ExpectClose(const at::Tensor& got, const at::Tensor& want) {
  ASSERT_EQ(got.sizes(), want.sizes());
  ASSERT_EQ(got.scalar_type(), want.scalar_type());
  EXPECT_LE((got - want).abs().max().item<double>(), 1e-5);
}

TEST(Trace, ANeuralNetworkModuleSavesLoadsAndRuns) {
  torch::nn::Sequential model = Mlp();
  const at::Tensor x = at::rand({3, 20});
  torch::jit::Module traced = trace(model, {x});
  ExpectClose(traced.forward({x}).toTensor(), model->forward(x));
  torch::jit::Module loaded = Load(Save(traced));
  const at::Tensor other = at::rand({3, 20});
  ExpectClose(loaded.forward({other}).toTensor(), model->forward(other));
  // Tracing left the model as it was.
  for (const at::Tensor& p : model->parameters()) EXPECT_TRUE(p.device().is_cpu());
}

TEST(Trace, NothingIsRecordedOrCompiledByACall) {
  torch::nn::Sequential model = Mlp();
  const at::Tensor x = at::rand({3, 20});
  torch::jit::Module traced = trace(model, {x});
  traced.forward({x});
  const auto before = capture::AllCounters();
  traced.forward({x});
  EXPECT_EQ(capture::AllCounters(), before);
}

TEST(Trace, FunctionsAndStridedInputs) {
  auto fn = [](const at::Tensor& a, const at::Tensor& b) { return at::matmul(a, b).relu() + 1; };
  const at::Tensor a = at::randn({7, 5}).t();
  const at::Tensor b = at::randn({7, 14}).slice(1, 0, 14, 2);
  torch::jit::Module traced = trace(fn, {a, b});
  ExpectClose(traced.forward({a, b}).toTensor(), fn(a, b));
}

TEST(Trace, NestedInputsAndOutputsKeepTheirStructure) {
  TraceFunction fn = [](const std::vector<c10::IValue>& arguments) -> c10::IValue {
    const at::Tensor x = arguments[0].toTensor();
    const auto dict = arguments[1].toGenericDict();
    const at::Tensor mask = dict.at("mask").toTensor();
    const auto pair = arguments[2].toTupleRef().elements();
    c10::List<at::Tensor> list;
    list.push_back(x + mask);
    list.push_back(pair[0].toTensor() * pair[1].toTensor());
    c10::Dict<std::string, at::Tensor> result;
    result.insert("sum", x.sum());
    return c10::ivalue::Tuple::create({list, result, c10::IValue(), int64_t{7}});
  };
  auto make = [] {
    c10::Dict<std::string, at::Tensor> dict;
    dict.insert("mask", at::randn({4, 1}));
    return std::vector<c10::IValue>{at::randn({4, 3}), dict,
                                    c10::ivalue::Tuple::create({at::randn({2}), at::randn({2})})};
  };
  TraceOptions options;
  options.input_names = {"x", "extra", "pair"};
  torch::jit::Module traced = Load(Save(trace_function(fn, make(), options)));
  const auto inputs = make();
  const auto got = traced.forward(inputs).toTupleRef().elements();
  const c10::IValue want_value = fn(inputs);
  const auto& want = want_value.toTupleRef().elements();
  ExpectClose(got[0].toTensorVector()[0], want[0].toTensorVector()[0]);
  ExpectClose(got[0].toTensorVector()[1], want[0].toTensorVector()[1]);
  ExpectClose(got[1].toGenericDict().at("sum").toTensor(),
              want[1].toGenericDict().at("sum").toTensor());
  EXPECT_TRUE(got[2].isNone());
  EXPECT_EQ(got[3].toInt(), 7);
  // A dict without the key is refused by name.
  std::vector<c10::IValue> bad = inputs;
  bad[1] = c10::Dict<std::string, at::Tensor>();
  EXPECT_THAT(ErrorOf([&] { traced.forward(bad); }), HasSubstr("extra"));
}

TEST(Trace, TorchScriptModules) {
  torch::jit::Module model("m");
  model.register_parameter("weight", at::randn({5, 4}), false);
  model.define(R"(
    def forward(self, x, n: Tensor):
        return torch.relu(torch.matmul(x, self.weight)) + n
  )");
  const at::Tensor x = at::randn({2, 5});
  const at::Tensor n = at::randn({4});
  torch::jit::Module traced = trace(model, {x, n});
  ExpectClose(traced.forward({x, n}).toTensor(), model.forward({x, n}).toTensor());
  EXPECT_THAT(ErrorOf([&] {
                traced.forward({x, at::randn({3})});
              }),
              AllOf(HasSubstr("'n'"), HasSubstr("[3]"), HasSubstr("[4]")));
  EXPECT_TRUE(model.attr("weight").toTensor().device().is_cpu());
}

TEST(Trace, RefusesOtherInputsAndStaysUsable) {
  torch::nn::Sequential model = Mlp();
  const at::Tensor x = at::rand({3, 20});
  TraceOptions options;
  options.name = "mlp";
  torch::jit::Module traced = trace(model, {x}, options);
  EXPECT_THAT(ErrorOf([&] {
                traced.forward({at::rand({4, 20})});
              }),
              AllOf(HasSubstr("mlp"), HasSubstr("input0"), HasSubstr("[4, 20]"),
                    HasSubstr("[3, 20]"), HasSubstr("dynamic_batch")));
  EXPECT_THAT(ErrorOf([&] { traced.forward({at::rand({60})}); }), HasSubstr("[60]"));
  EXPECT_THAT(ErrorOf([&] { traced.forward({x.to(at::kDouble)}); }),
              AllOf(HasSubstr("f64"), HasSubstr("f32")));
  EXPECT_THAT(ErrorOf([&] {
                traced.forward({at::empty({3, 20}, at::device(at::kMeta))});
              }),
              HasSubstr("device meta"));
  EXPECT_NE(ErrorOf([&] { traced.forward({}); }), "no error");
  EXPECT_NE(ErrorOf([&] { traced.forward({x, x}); }), "no error");
  EXPECT_NE(ErrorOf([&] { traced.forward({at::Tensor()}); }), "no error");
  ExpectClose(traced.forward({x}).toTensor(), model->forward(x));
}

TEST(Trace, AnUnsupportedOperatorIsNamed) {
  auto fft = [](const at::Tensor& x) { return at::fft_fft(x).abs(); };
  EXPECT_THAT(ErrorOf([&] { trace(fft, {at::rand({8})}); }), HasSubstr("fft"));
  auto nonzero = [](const at::Tensor& x) { return at::nonzero(x); };
  EXPECT_THAT(ErrorOf([&] { trace(nonzero, {at::rand({8})}); }), HasSubstr("nonzero"));
  // The next trace is none the worse.
  auto fine = [](const at::Tensor& x) { return x + 1; };
  const at::Tensor x = at::rand({8});
  ExpectClose(trace(fine, {x}).forward({x}).toTensor(), x + 1);
}

TEST(Trace, TheSourceLineOfAnUnsupportedOperatorIsNamed) {
  torch::jit::Module model("m");
  model.define("def forward(self, x):\n    y = x + 1\n    return torch.nonzero(y)\n");
  EXPECT_THAT(ErrorOf([&] { trace(model, {at::rand({8})}); }),
              AllOf(HasSubstr("nonzero"), HasSubstr("forward")));
}

TEST(Trace, OptionsAreChecked) {
  auto fn = [](const at::Tensor& x) { return x + 1; };
  TraceOptions options;
  options.compiler_args = {"--auto-cast", "some"};
  EXPECT_THAT(ErrorOf([&] { trace(fn, {at::rand({8})}, options); }), HasSubstr("auto-cast"));
  options.compiler_args = {"--no-such-option"};
  EXPECT_THAT(ErrorOf([&] { trace(fn, {at::rand({8})}, options); }), HasSubstr("--no-such-option"));
}

TEST(Trace, WeightsBesideTheNeff) {
  torch::nn::Sequential model = Mlp();
  const at::Tensor x = at::rand({3, 20});
  TraceOptions options;
  options.inline_weights_to_neff = false;
  torch::jit::Module traced = Load(Save(trace(model, {x}, options)));
  ExpectClose(traced.forward({x}).toTensor(), model->forward(x));
  EXPECT_EQ(traced.attr("model").toCustomClass<neuron::Model>()->data().weights.size(), 4u);
}

TEST(ReplaceWeights, InPlaceLoadedOrNot) {
  const auto make = [] {
    // The norms' weights are equal at first.
    return torch::nn::Sequential(torch::nn::Linear(20, 12),
                                 torch::nn::LayerNorm(torch::nn::LayerNormOptions({12})),
                                 torch::nn::LayerNorm(torch::nn::LayerNormOptions({12})));
  };
  torch::nn::Sequential model = make(), other = make();
  const at::NoGradGuard no_grad;
  for (const at::Tensor& p : other->parameters()) p.uniform_(-1, 1);
  const at::Tensor x = at::rand({3, 20});
  TraceOptions options;
  options.inline_weights_to_neff = false;
  torch::jit::Module traced = trace(model, {x}, options);
  ExpectClose(traced.forward({x}).toTensor(), model->forward(x));
  replace_weights(traced, *other);
  ExpectClose(traced.forward({x}).toTensor(), other->forward(x));
  torch::jit::Module loaded = Load(Save(traced));
  ExpectClose(loaded.forward({x}).toTensor(), other->forward(x));
  std::unordered_map<std::string, at::Tensor> weights;
  for (const auto& item : model->named_parameters()) weights.emplace(item.key(), item.value());
  replace_weights(loaded, weights);
  ExpectClose(loaded.forward({x}).toTensor(), model->forward(x));

  weights["1.weight"] = at::ones({11});
  EXPECT_THAT(ErrorOf([&] { replace_weights(loaded, weights); }),
              AllOf(HasSubstr("'1.weight' is f32[11]"), HasSubstr("traced with f32[12]")));
  weights.erase("1.weight");
  EXPECT_THAT(ErrorOf([&] { replace_weights(loaded, weights); }),
              HasSubstr("there is no '1.weight'"));
  ExpectClose(loaded.forward({x}).toTensor(), model->forward(x));  // nothing was replaced

  CollectWarnings warnings;
  torch::jit::Module inlined = trace(model, {x});
  replace_weights(inlined, *other);
  ASSERT_EQ(warnings.texts.size(), 1u);
  EXPECT_THAT(warnings.texts[0], HasSubstr("inline_weights_to_neff"));
}

TEST(Trace, ConstantsAndPassThrough) {
  TraceFunction fn = [](const std::vector<c10::IValue>& arguments) -> c10::IValue {
    const at::Tensor x = arguments[0].toTensor();
    return c10::ivalue::Tuple::create({x, at::arange(3), x, x.to(at::kLong)});
  };
  const at::Tensor x = at::randn({2, 3}) * 10;
  torch::jit::Module traced = trace_function(fn, {x});
  const auto got = traced.forward({x}).toTupleRef().elements();
  EXPECT_TRUE(got[0].toTensor().equal(x));
  EXPECT_TRUE(got[1].toTensor().equal(at::arange(3)));
  EXPECT_TRUE(got[2].toTensor().equal(x));
  EXPECT_TRUE(got[3].toTensor().equal(x.to(at::kLong)));
}

TEST(DynamicBatch, AnyBatchSizeAfterSaveAndLoad) {
  torch::nn::Sequential model = Mlp();
  torch::jit::Module traced = trace(model, {at::rand({4, 20})});
  torch::jit::Module any = Load(Save(dynamic_batch(traced)));
  for (int64_t batch : {4, 1, 3, 5, 8, 11, 0}) {
    const at::Tensor x = at::rand({batch, 20});
    const at::Tensor got = any.forward({x}).toTensor();
    ASSERT_EQ(got.size(0), batch);
    if (batch > 0) ExpectClose(got, model->forward(x));
  }
  EXPECT_THAT(ErrorOf([&] {
                any.forward({at::rand({4, 21})});
              }),
              AllOf(HasSubstr("[4, 21]"), HasSubstr("dimension 0")));
  // The module it was made of still has a fixed shape.
  EXPECT_NE(ErrorOf([&] { traced.forward({at::rand({5, 20})}); }), "no error");
}

TEST(DynamicBatch, RefusesModelsWithoutABatch) {
  auto fn = [](const at::Tensor& x) { return x.sum(); };
  EXPECT_THAT(ErrorOf([&] {
                dynamic_batch(trace(fn, {at::rand({4, 2})}));
              }),
              HasSubstr("output 0"));
}

TEST(BucketTrace, ChoosesPadsAndSharesWeights) {
  torch::manual_seed(1);
  torch::nn::Sequential model(torch::nn::Embedding(50, 8), torch::nn::Linear(8, 3));
  torch::jit::Module traced = Load(
      Save(bucket_trace(model, {{at::zeros({1, 4}, at::kLong)}, {at::zeros({2, 8}, at::kLong)}},
                        pad_to_smallest_bucket())));
  const auto inside = traced.attr("model").toCustomClass<neuron::Model>();
  EXPECT_EQ(inside->data().buckets.size(), 2u);
  EXPECT_EQ(inside->data().weights.size(), 3u);
  for (auto [rows, columns, bucket_rows, bucket_columns] :
       {std::tuple<int, int, int, int>{1, 4, 1, 4}, {1, 3, 1, 4}, {2, 8, 2, 8}, {1, 7, 2, 8}}) {
    const at::Tensor ids = at::randint(50, {rows, columns});
    const at::Tensor got = traced.forward({ids}).toTensor();
    ASSERT_EQ(got.sizes(), at::IntArrayRef({bucket_rows, bucket_columns, 3}));
    ExpectClose(got.slice(0, 0, rows).slice(1, 0, columns), model->forward(ids));
  }
  EXPECT_THAT(ErrorOf([&] {
                traced.forward({at::zeros({1, 9}, at::kLong)});
              }),
              HasSubstr("no bucket is large enough"));
}

TEST(BucketTrace, TakesTorchScriptForTheChoice) {
  auto fn = [](const at::Tensor& x) { return x * 2; };
  const BucketFunction by_rows(
      std::string("def bucket(inputs: List[Tensor]) -> Tuple[List[Tensor], int]:\n"
                  "    return (inputs, 0 if inputs[0].size(0) == 2 else 1)\n"));
  torch::jit::Module traced = bucket_trace(fn, {{at::rand({2})}, {at::rand({5})}}, by_rows);
  for (int64_t n : {2, 5}) {
    const at::Tensor x = at::rand({n});
    ExpectClose(traced.forward({x}).toTensor(), x * 2);
  }
  EXPECT_THAT(ErrorOf([&] { traced.forward({at::rand({3})}); }), HasSubstr("[3]"));
  EXPECT_NE(ErrorOf([&] {
              bucket_trace(fn, {{at::rand({2})}},
                           BucketFunction(std::string("def nothing(): pass")));
            }),
            "no error");
}

TEST(SavedModules, DamageIsFoundWhenLoading) {
  auto fn = [](const at::Tensor& x) { return x + 1; };
  const std::string good = Save(trace(fn, {at::rand({8})}));
  EXPECT_NE(ErrorOf([&] { Load(good.substr(0, good.size() / 2)); }), "no error");
  // The NEFF is stored uncompressed: its name stands near its start, its SHA-256 covers the rest.
  std::string altered = good;
  const size_t at = altered.find("sg00/def.json");
  ASSERT_NE(at, std::string::npos);
  altered[at + 600] ^= 1;
  EXPECT_NE(ErrorOf([&] { Load(altered); }), "no error");
}

TEST(SavedModules, NewerFormatsAndNonsenseAreRefused) {
  auto fn = [](const at::Tensor& x) { return x + 1; };
  const auto model = trace(fn, {at::rand({8})}).attr("model").toCustomClass<neuron::Model>();
  const neuron::Model::State good = model->GetState();
  EXPECT_EQ(ErrorOf([&] { neuron::Model::FromState(good); }), "no error");
  auto error = [&](auto change) {
    neuron::Model::State state = good;
    change(state);
    return ErrorOf([&] { neuron::Model::FromState(state); });
  };
  EXPECT_THAT(error([](auto& s) { std::get<0>(s) = 99; }),
              AllOf(HasSubstr("format 99"), HasSubstr("newer")));
  EXPECT_THAT(error([](auto& s) { std::get<1>(s).clear(); }), HasSubstr("damaged"));
  EXPECT_THAT(error([](auto& s) { std::get<2>(s).clear(); }), HasSubstr("no NEFF"));
  EXPECT_THAT(error([](auto& s) { std::get<2>(s).push_back("weight 3"); }), HasSubstr("weight 3"));
  EXPECT_THAT(error([](auto& s) { std::get<2>(s).push_back("input f32[2]"); }),
              HasSubstr("damaged"));
  EXPECT_THAT(error([](auto& s) { std::get<2>(s).push_back("input f33[2]"); }), HasSubstr("f33"));
  EXPECT_THAT(error([](auto& s) { std::get<2>(s).push_back("colour blue"); }),
              HasSubstr("colour blue"));
  // A NEFF of neuronx-cc carries another build version.
  EXPECT_THAT(error([](auto& s) {
                at::Tensor neff = std::get<1>(s)[0].clone();
                std::memcpy(static_cast<char*>(neff.data_ptr()) + 40, "2.12.54.0+f631c2365", 20);
                std::get<1>(s)[0] = neff;
              }),
              HasSubstr("NRT_UNSUPPORTED_NEFF_VERSION"));
}

TEST(Trace, ThreadsCallAndTraceAtOnce) {
  torch::nn::Sequential model = Mlp();
  const at::Tensor x = at::rand({3, 20});
  const at::Tensor want = model->forward(x).detach();
  torch::jit::Module traced = trace(model, {x});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) ExpectClose(traced.forward({x}).toTensor(), want);
      auto fn = [t](const at::Tensor& y) { return y + t; };
      ExpectClose(trace(fn, {x}).forward({x}).toTensor(), x + t);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace glia
