// The NRT C API as its users call it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "nrt/nrt.h"
#include "nrt/nrt_experimental.h"
#include "nrt/nrt_glia.h"
#include "nrt/nrt_version.h"
#include "serialization/isa/testing/programs.h"
#include "serialization/neff/neff.h"

namespace {

using ::testing::HasSubstr;

// y[32,64] = relu(x[16,32]^T . w[16,64]), w[k][n] = k + n / 64 - 8.
constexpr int kK = 16;
constexpr int kM = 32;
constexpr int kN = 64;

float Weight(int k, int n) { return static_cast<float>(k) + static_cast<float>(n) / kN - 8; }

std::string MatmulNeff() {
  glia::neff::Neff neff;
  neff.program = glia::isa::testing::MatmulProgram();
  std::vector<float> w(kK * kN);
  for (int k = 0; k < kK; ++k) {
    for (int n = 0; n < kN; ++n) w[k * kN + n] = Weight(k, n);
  }
  neff.files["w.bin"] = glia::neff::Blob::FromString(
      std::string(reinterpret_cast<const char*>(w.data()), w.size() * sizeof(float)));
  auto bytes = glia::neff::Write(neff);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return *bytes;
}

std::vector<float> Expected(const std::vector<float>& x) {
  std::vector<float> y(kM * kN);
  for (int m = 0; m < kM; ++m) {
    for (int n = 0; n < kN; ++n) {
      float sum = 0;
      for (int k = 0; k < kK; ++k) sum += x[k * kM + m] * Weight(k, n);
      y[m * kN + n] = sum > 0 ? sum : 0;
    }
  }
  return y;
}

std::vector<float> Input(int seed) {
  std::vector<float> x(kK * kM);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>((i * 37 + static_cast<size_t>(seed) * 11) % 17) / 8 - 1;
  }
  return x;
}

class NrtTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"NEURON_RT_VISIBLE_CORES", "NEURON_RT_NUM_CORES", "GLIA_DEVICE",
                             "GLIA_HBM_BYTES", "GLIA_NUM_DEVICES", "NEURON_RT_LOG_LEVEL",
                             "NEURON_RT_INSPECT_ENABLE", "NEURON_RT_INSPECT_OUTPUT_DIR"}) {
      unsetenv(name);
    }
  }
  void TearDown() override { nrt_close(); }

  void Init() {
    ASSERT_EQ(nrt_init(NRT_FRAMEWORK_TYPE_NO_FW, "", ""), NRT_SUCCESS) << glia_nrt_last_error();
  }
  nrt_model_t* Load(int32_t core = -1) {
    const std::string neff = MatmulNeff();
    nrt_model_t* model = nullptr;
    EXPECT_EQ(nrt_load(neff.data(), neff.size(), core, -1, &model), NRT_SUCCESS)
        << glia_nrt_last_error();
    return model;
  }
  static nrt_tensor_t* Tensor(size_t bytes, int core = 0,
                              nrt_tensor_placement_t placement = NRT_TENSOR_PLACEMENT_DEVICE) {
    nrt_tensor_t* tensor = nullptr;
    EXPECT_EQ(nrt_tensor_allocate(placement, core, bytes, "t", &tensor), NRT_SUCCESS)
        << glia_nrt_last_error();
    return tensor;
  }
};

// Both sides of a run, on one core.
struct Io {
  explicit Io(int core) {
    EXPECT_EQ(nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, core, kK * kM * 4, "x", &x),
              NRT_SUCCESS);
    EXPECT_EQ(nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, core, kM * kN * 4, "y", &y),
              NRT_SUCCESS);
    EXPECT_EQ(nrt_allocate_tensor_set(&in), NRT_SUCCESS);
    EXPECT_EQ(nrt_allocate_tensor_set(&out), NRT_SUCCESS);
    EXPECT_EQ(nrt_add_tensor_to_tensor_set(in, "x", x), NRT_SUCCESS);
    EXPECT_EQ(nrt_add_tensor_to_tensor_set(out, "y", y), NRT_SUCCESS);
  }
  ~Io() {
    nrt_destroy_tensor_set(&in);
    nrt_destroy_tensor_set(&out);
    nrt_tensor_free(&x);
    nrt_tensor_free(&y);
  }
  nrt_tensor_t* x = nullptr;
  nrt_tensor_t* y = nullptr;
  nrt_tensor_set_t* in = nullptr;
  nrt_tensor_set_t* out = nullptr;
};

void ExpectRun(nrt_model_t* model, Io& io, int seed) {
  const std::vector<float> x = Input(seed);
  ASSERT_EQ(nrt_tensor_write(io.x, x.data(), 0, x.size() * 4), NRT_SUCCESS);
  ASSERT_EQ(nrt_execute(model, io.in, io.out), NRT_SUCCESS) << glia_nrt_last_error();
  std::vector<float> y(kM * kN);
  ASSERT_EQ(nrt_tensor_read(io.y, y.data(), 0, y.size() * 4), NRT_SUCCESS);
  const std::vector<float> want = Expected(x);
  for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], want[i], 1e-4) << i;
}

TEST_F(NrtTest, NothingWorksBeforeInitAndAfterClose) {
  nrt_tensor_t* tensor = nullptr;
  // Another test of this process may have closed the runtime already.
  const NRT_STATUS before = nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_HOST, -1, 4, "", &tensor);
  EXPECT_TRUE(before == NRT_UNINITIALIZED || before == NRT_CLOSED);
  Init();
  nrt_close();
  EXPECT_EQ(nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_HOST, -1, 4, "", &tensor), NRT_CLOSED);
  EXPECT_THAT(glia_nrt_last_error(), HasSubstr("nrt_close"));
  Init();
  EXPECT_EQ(nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_HOST, -1, 4, "", &tensor), NRT_SUCCESS);
  nrt_tensor_free(&tensor);
}

TEST_F(NrtTest, RunsAModel) {
  Init();
  nrt_model_t* model = Load();
  ASSERT_NE(model, nullptr);
  {
    Io io(0);
    ExpectRun(model, io, 1);
    ExpectRun(model, io, 2);
    ASSERT_EQ(nrt_execute_repeat(model, io.in, io.out, 3), NRT_SUCCESS);
    EXPECT_EQ(nrt_tensor_check_output_completion(io.y, 0, 5), NRT_SUCCESS);
    EXPECT_EQ(nrt_tensor_check_output_completion(io.y, 1000, 6), NRT_TIMEOUT);
    EXPECT_EQ(nrt_tensor_reset_output_completion(io.y), NRT_SUCCESS);
    EXPECT_EQ(nrt_tensor_check_output_completion(io.y, 0, 1), NRT_TIMEOUT);
    EXPECT_EQ(nrt_execute_repeat(model, io.in, io.out, 0), NRT_INVALID);
  }
  glia_nrt_model_statistics_t s = {};
  ASSERT_EQ(glia_nrt_get_model_statistics(model, &s), NRT_SUCCESS);
  EXPECT_EQ(s.executions, 5u);
  EXPECT_GT(s.last_simulated_ps, 0u);
  EXPECT_EQ(s.hbm_constant_bytes, static_cast<uint64_t>(kK * kN * 4));
  EXPECT_EQ(s.hbm_io_bytes, static_cast<uint64_t>((kK * kM + kM * kN) * 4));
  EXPECT_EQ(nrt_unload(model), NRT_SUCCESS);
  EXPECT_EQ(nrt_unload(model), NRT_INVALID_HANDLE);
}

TEST_F(NrtTest, BothExecutorsAgreeAndTakeTheSameSimulatedTime) {
  uint64_t simulated[2] = {};
  int i = 0;
  for (const char* kind : {"fast", "interpreter"}) {
    setenv("GLIA_DEVICE", kind, 1);
    Init();
    nrt_model_t* model = Load();
    {
      Io io(0);
      ExpectRun(model, io, 3);
    }
    glia_nrt_model_statistics_t s = {};
    ASSERT_EQ(glia_nrt_get_model_statistics(model, &s), NRT_SUCCESS);
    simulated[i++] = s.last_simulated_ps;
    nrt_close();
  }
  EXPECT_EQ(simulated[0], simulated[1]);
}

TEST_F(NrtTest, TellsTheModelsTensors) {
  Init();
  nrt_model_t* model = Load();
  nrt_tensor_info_array_t* info = nullptr;
  ASSERT_EQ(nrt_get_model_tensor_info(model, &info), NRT_SUCCESS);
  ASSERT_EQ(info->tensor_count, 2u);
  EXPECT_STREQ(info->tensor_array[0].name, "x");
  EXPECT_EQ(info->tensor_array[0].usage, NRT_TENSOR_USAGE_INPUT);
  EXPECT_EQ(info->tensor_array[0].dtype, NRT_DTYPE_FLOAT32);
  EXPECT_STREQ(info->tensor_array[1].name, "y");
  ASSERT_EQ(info->tensor_array[1].ndim, 2u);
  EXPECT_EQ(info->tensor_array[1].shape[0], 32u);
  EXPECT_EQ(info->tensor_array[1].shape[1], 64u);
  EXPECT_EQ(nrt_free_model_tensor_info(info), NRT_SUCCESS);
}

TEST_F(NrtTest, RefusesBadInputsAndStaysUsable) {
  Init();
  nrt_model_t* model = Load(0);
  Io io(0);
  nrt_tensor_set_t* empty = nullptr;
  ASSERT_EQ(nrt_allocate_tensor_set(&empty), NRT_SUCCESS);
  EXPECT_EQ(nrt_execute(model, empty, io.out), NRT_EXEC_BAD_INPUT);
  EXPECT_THAT(glia_nrt_last_error(), HasSubstr("no tensor 'x'"));

  nrt_tensor_t* small = Tensor(8);
  ASSERT_EQ(nrt_add_tensor_to_tensor_set(empty, "x", small), NRT_SUCCESS);
  EXPECT_EQ(nrt_execute(model, empty, io.out), NRT_EXEC_BAD_INPUT);
  EXPECT_THAT(glia_nrt_last_error(), HasSubstr("8 bytes; the model wants 2048"));

  nrt_tensor_t* elsewhere = Tensor(kK * kM * 4, 1);
  ASSERT_EQ(nrt_add_tensor_to_tensor_set(empty, "x", elsewhere), NRT_SUCCESS);
  EXPECT_EQ(nrt_execute(model, empty, io.out), NRT_EXEC_BAD_INPUT);
  EXPECT_THAT(glia_nrt_last_error(), HasSubstr("lies on core 1"));

  nrt_tensor_t* none = nullptr;
  ASSERT_EQ(nrt_tensor_allocate_empty("x", &none), NRT_SUCCESS);
  ASSERT_EQ(nrt_add_tensor_to_tensor_set(empty, "x", none), NRT_SUCCESS);
  EXPECT_EQ(nrt_execute(model, empty, io.out), NRT_EXEC_BAD_INPUT);

  // A tensor that was freed while a set still names it.
  nrt_tensor_free(&none);
  EXPECT_EQ(nrt_execute(model, empty, io.out), NRT_INVALID_HANDLE);
  EXPECT_EQ(nrt_execute(nullptr, io.in, io.out), NRT_INVALID_HANDLE);
  EXPECT_EQ(nrt_execute(model, nullptr, io.out), NRT_INVALID_HANDLE);

  ExpectRun(model, io, 4);
  nrt_destroy_tensor_set(&empty);
  nrt_tensor_free(&small);
  nrt_tensor_free(&elsewhere);
}

TEST_F(NrtTest, RefusesOutputsThatOverlapInputs) {
  Init();
  nrt_model_t* model = Load(0);
  Io io(0);
  nrt_tensor_t* arena = Tensor(kM * kN * 4);
  nrt_tensor_t* x = nullptr;
  ASSERT_EQ(nrt_tensor_allocate_slice(arena, 4096, kK * kM * 4, "x", &x), NRT_SUCCESS);
  ASSERT_EQ(nrt_add_tensor_to_tensor_set(io.in, "x", x), NRT_SUCCESS);
  ASSERT_EQ(nrt_add_tensor_to_tensor_set(io.out, "y", arena), NRT_SUCCESS);
  EXPECT_EQ(nrt_execute(model, io.in, io.out), NRT_EXEC_BAD_INPUT);
  EXPECT_THAT(glia_nrt_last_error(), HasSubstr("overlap"));
  nrt_tensor_free(&x);
  nrt_tensor_free(&arena);
}

TEST_F(NrtTest, HostBuffersOfTheCallerServeAsTensors) {
  Init();
  nrt_model_t* model = Load(1);
  Io io(1);
  std::vector<float> x = Input(5);
  std::vector<float> y(kM * kN);
  nrt_tensor_t* tx = nullptr;
  nrt_tensor_t* ty = nullptr;
  ASSERT_EQ(nrt_tensor_allocate_empty("x", &tx), NRT_SUCCESS);
  ASSERT_EQ(nrt_tensor_allocate_empty("y", &ty), NRT_SUCCESS);
  ASSERT_EQ(nrt_tensor_attach_buffer(tx, x.data(), x.size() * 4), NRT_SUCCESS);
  ASSERT_EQ(nrt_tensor_attach_buffer(ty, y.data(), y.size() * 4), NRT_SUCCESS);
  ASSERT_EQ(nrt_add_tensor_to_tensor_set(io.in, "x", tx), NRT_SUCCESS);
  ASSERT_EQ(nrt_add_tensor_to_tensor_set(io.out, "y", ty), NRT_SUCCESS);
  ASSERT_EQ(nrt_execute(model, io.in, io.out), NRT_SUCCESS) << glia_nrt_last_error();
  const std::vector<float> want = Expected(x);
  for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], want[i], 1e-4);
  EXPECT_EQ(nrt_tensor_get_va(tx), x.data());
  nrt_tensor_free(&tx);
  nrt_tensor_free(&ty);
}

TEST_F(NrtTest, DamagedNeffs) {
  Init();
  const std::string good = MatmulNeff();
  nrt_model_t* model = nullptr;
  EXPECT_EQ(nrt_load(good.data(), 0, -1, -1, &model), NRT_INVALID);
  EXPECT_EQ(nrt_load(good.data(), good.size() / 2, -1, -1, &model), NRT_INVALID);
  std::string altered = good;
  altered[good.size() / 2] ^= 1;
  EXPECT_EQ(nrt_load(altered.data(), altered.size(), -1, -1, &model), NRT_INVALID);
  const std::string text(4000, 'x');
  EXPECT_EQ(nrt_load(text.data(), text.size(), -1, -1, &model), NRT_INVALID);
  std::string foreign = good;
  std::memcpy(&foreign[40], "2.12.54.0+f631c2365\0\0\0\0\0", 24);
  EXPECT_EQ(nrt_load(foreign.data(), foreign.size(), -1, -1, &model), NRT_UNSUPPORTED_NEFF_VERSION)
      << glia_nrt_last_error();
  EXPECT_EQ(nrt_load(nullptr, 0, -1, -1, &model), NRT_INVALID);
  EXPECT_EQ(nrt_load(good.data(), good.size(), 2, -1, &model), NRT_LOAD_NOT_ENOUGH_NC);
  EXPECT_EQ(nrt_load(good.data(), good.size(), -2, -1, &model), NRT_INVALID);
  EXPECT_EQ(model, nullptr);
}

TEST_F(NrtTest, ReleasesAViewOnce) {
  Init();
  static std::atomic<int> released{0};
  auto release = [](void*) { ++released; };
  const std::string good = MatmulNeff();
  nrt_model_t* model = nullptr;
  ASSERT_EQ(glia_nrt_load_view(good.data(), good.size(), -1, release, nullptr, &model),
            NRT_SUCCESS);
  EXPECT_EQ(released, 0);
  EXPECT_EQ(nrt_unload(model), NRT_SUCCESS);
  EXPECT_EQ(released, 1);
  EXPECT_NE(glia_nrt_load_view(good.data(), 100, -1, release, nullptr, &model), NRT_SUCCESS);
  EXPECT_EQ(released, 2);
}

TEST_F(NrtTest, MemoryIsAccountedPerCore) {
  setenv("GLIA_HBM_BYTES", "1000000", 1);
  Init();
  nrt_vnc_memory_stats_t stats = {};
  size_t size = 0;
  ASSERT_EQ(nrt_get_vnc_memory_stats(0, &stats, sizeof(stats), &size), NRT_SUCCESS);
  EXPECT_EQ(size, sizeof(stats));
  EXPECT_EQ(stats.bytes_used, 0u);
  EXPECT_EQ(stats.bytes_limit, 1000000u);
  nrt_tensor_t* big = Tensor(900000);
  nrt_tensor_t* more = nullptr;
  EXPECT_EQ(nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, 0, 200000, "more", &more),
            NRT_RESOURCE);
  EXPECT_THAT(glia_nrt_last_error(), HasSubstr("1000000"));
  nrt_tensor_t* other_core = Tensor(200000, 1);
  nrt_tensor_t* host = Tensor(200000, -1, NRT_TENSOR_PLACEMENT_HOST);
  // A slice keeps the memory.
  nrt_tensor_t* slice = nullptr;
  ASSERT_EQ(nrt_tensor_allocate_slice(big, 0, 16, "slice", &slice), NRT_SUCCESS);
  nrt_tensor_free(&big);
  EXPECT_EQ(nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, 0, 200000, "more", &more),
            NRT_RESOURCE);
  nrt_tensor_free(&slice);
  EXPECT_EQ(nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, 0, 200000, "more", &more),
            NRT_SUCCESS);
  for (nrt_tensor_t* t : {more, other_core, host}) nrt_tensor_free(&t);
  ASSERT_EQ(nrt_get_vnc_memory_stats(0, &stats, sizeof(stats), nullptr), NRT_SUCCESS);
  EXPECT_EQ(stats.bytes_used, 0u);
}

TEST_F(NrtTest, AModelThatDoesNotFitIsRefused) {
  setenv("GLIA_HBM_BYTES", "4095", 1);  // its weights have 4096
  Init();
  const std::string neff = MatmulNeff();
  nrt_model_t* model = nullptr;
  EXPECT_EQ(nrt_load(neff.data(), neff.size(), -1, -1, &model), NRT_RESOURCE);
  EXPECT_EQ(model, nullptr);
}

TEST_F(NrtTest, TensorRangesAreChecked) {
  Init();
  nrt_tensor_t* t = Tensor(16);
  char bytes[16] = {};
  EXPECT_EQ(nrt_tensor_write(t, bytes, 8, 9), NRT_INVALID);
  EXPECT_EQ(nrt_tensor_read(t, bytes, SIZE_MAX, 2), NRT_INVALID);
  EXPECT_EQ(nrt_tensor_write(t, nullptr, 0, 1), NRT_INVALID);
  EXPECT_EQ(nrt_tensor_memset(t, 4, 0x5a, 4), NRT_SUCCESS);
  EXPECT_EQ(nrt_tensor_copy(t, 4, t, 6, 4), NRT_SUCCESS);
  EXPECT_EQ(nrt_tensor_read(t, bytes, 0, 16), NRT_SUCCESS);
  EXPECT_EQ(std::string(bytes, 12), std::string("\0\0\0\0ZZZZZZ\0\0", 12));
  EXPECT_EQ(nrt_tensor_get_size(t), 16u);
  nrt_tensor_t* other = Tensor(16, 1);
  EXPECT_EQ(nrt_tensor_copy(t, 0, other, 0, 4), NRT_INVALID);
  EXPECT_THAT(glia_nrt_last_error(), HasSubstr("cores 0 and 1"));

  nrt_tensor_batch_op_t ops[2] = {{0, 4, bytes}, {12, 8, bytes}};
  nrt_tensor_batch_t batch = {t, ops, 2};
  std::memset(bytes, 7, sizeof(bytes));
  EXPECT_EQ(nrt_tensor_write_batch(&batch, 1, false), NRT_INVALID);
  char first = 1;
  EXPECT_EQ(nrt_tensor_read(t, &first, 0, 1), NRT_SUCCESS);
  EXPECT_EQ(first, 0) << "a batch that fails moves nothing";
  ops[1].size = 4;
  EXPECT_EQ(nrt_tensor_write_batch(&batch, 1, false), NRT_SUCCESS);
  EXPECT_EQ(nrt_tensor_read_batch(&batch, 1, false), NRT_SUCCESS);

  nrt_tensor_t* copy = t;
  nrt_tensor_free(&t);
  EXPECT_EQ(t, nullptr);
  EXPECT_EQ(nrt_tensor_read(copy, bytes, 0, 1), NRT_INVALID_HANDLE);
  EXPECT_EQ(nrt_tensor_get_size(copy), 0u);
  nrt_tensor_free(&other);
}

TEST_F(NrtTest, CoresFollowTheEnvironment) {
  uint32_t count = 0;
  EXPECT_EQ(nrt_get_total_nc_count(&count), NRT_SUCCESS);
  EXPECT_EQ(count, 2u);
  setenv("GLIA_NUM_DEVICES", "2", 1);
  setenv("NEURON_RT_VISIBLE_CORES", "1,3", 1);
  EXPECT_EQ(nrt_get_visible_nc_count(&count), NRT_SUCCESS);
  EXPECT_EQ(count, 2u);
  Init();
  // Round robin: the third model is on the first core again.
  uint32_t cores[3];
  for (uint32_t& core : cores) {
    nrt_model_info_t info = {};
    ASSERT_EQ(nrt_get_model_info(Load(), &info, sizeof(info), nullptr), NRT_SUCCESS);
    core = info.vnc;
  }
  EXPECT_THAT(cores, ::testing::ElementsAre(0, 1, 0));
  nrt_close();

  const std::pair<const char*, const char*> bad[] = {
      {"NEURON_RT_VISIBLE_CORES", "0-9"}, {"NEURON_RT_VISIBLE_CORES", "0,0"},
      {"NEURON_RT_VISIBLE_CORES", "two"}, {"NEURON_RT_NUM_CORES", "0"},
      {"NEURON_RT_NUM_CORES", "7"},       {"GLIA_DEVICE", "quick"},
      {"NEURON_RT_LOG_LEVEL", "LOUD"},    {"NEURON_RT_INSPECT_ENABLE", "yes"},
  };
  for (const auto& [name, value] : bad) {
    SetUp();
    setenv(name, value, 1);
    EXPECT_EQ(nrt_init(NRT_FRAMEWORK_TYPE_NO_FW, "", ""), NRT_INVALID) << name;
    EXPECT_THAT(glia_nrt_last_error(), HasSubstr(name));
    EXPECT_THAT(glia_nrt_last_error(), HasSubstr(value));
  }
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST_F(NrtTest, InspectKeepsModelsAndRuns) {
  const std::string directory = ::testing::TempDir() + "/inspect/deep";
  setenv("NEURON_RT_INSPECT_ENABLE", "1", 1);
  setenv("NEURON_RT_INSPECT_OUTPUT_DIR", directory.c_str(), 1);
  Init();
  nrt_model_t* model = Load(1);
  glia_nrt_model_statistics_t s = {};
  ASSERT_EQ(glia_nrt_get_model_statistics(model, &s), NRT_SUCCESS);
  {
    Io io(1);
    ExpectRun(model, io, 1);
    ASSERT_EQ(nrt_execute_repeat(model, io.in, io.out, 2), NRT_SUCCESS);
  }
  nrt_close();
  const std::string own = directory + "/pid_" + std::to_string(getpid());
  EXPECT_EQ(ReadFile(own + "/model_0_vnc_1.neff"), MatmulNeff());
  std::istringstream runs(ReadFile(own + "/runs.jsonl"));
  int count = 0;
  for (std::string line; std::getline(runs, line); ++count) {
    char model_name[32] = "";
    double start = -1, host = -1, simulated = -1;
    ASSERT_EQ(std::sscanf(line.c_str(),
                          "{\"model\":\"%31[^\"]\",\"start_us\":%lf,\"host_us\":%lf,"
                          "\"simulated_us\":%lf}",
                          model_name, &start, &host, &simulated),
              4)
        << line;
    EXPECT_STREQ(model_name, "model_0_vnc_1");
    EXPECT_GE(start, 0);
    EXPECT_GT(host, 0);
    EXPECT_NEAR(simulated, static_cast<double>(s.last_simulated_ps) * 1e-6, 1e-6);
  }
  EXPECT_EQ(count, 3);

  setenv("NEURON_RT_INSPECT_OUTPUT_DIR", "/dev/null/no", 1);
  EXPECT_NE(nrt_init(NRT_FRAMEWORK_TYPE_NO_FW, "", ""), NRT_SUCCESS);
  EXPECT_THAT(glia_nrt_last_error(), HasSubstr("/dev/null/no"));
}

TEST_F(NrtTest, ThreadsShareModelsAndCores) {
  Init();
  nrt_model_t* models[2] = {Load(0), Load(1)};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Io io(t % 2);
      for (int i = 0; i < 20; ++i) ExpectRun(models[t % 2], io, t * 100 + i);
      nrt_model_t* own = Load(t % 2);
      ExpectRun(own, io, t);
      EXPECT_EQ(nrt_unload(own), NRT_SUCCESS);
    });
  }
  for (std::thread& thread : threads) thread.join();
  glia_nrt_model_statistics_t s = {};
  ASSERT_EQ(glia_nrt_get_model_statistics(models[0], &s), NRT_SUCCESS);
  EXPECT_EQ(s.executions, 40u);
}

TEST_F(NrtTest, NamesAndVersion) {
  EXPECT_STREQ(nrt_get_status_as_str(NRT_EXEC_OOB), "NRT_EXEC_OOB");
  EXPECT_STREQ(nrt_get_status_as_str(static_cast<NRT_STATUS>(-5)), "NRT_UNKNOWN");
  nrt_version_t version = {};
  ASSERT_EQ(nrt_get_version(&version, sizeof(version)), NRT_SUCCESS);
  EXPECT_EQ(version.rt_major, 2u);
  EXPECT_THAT(version.rt_detail, HasSubstr("glia"));
  EXPECT_EQ(nrt_get_version(nullptr, 4), NRT_INVALID);
  nrt_instance_info_t info = {};
  ASSERT_EQ(nrt_get_instance_info(&info, sizeof(info)), NRT_SUCCESS);
  EXPECT_EQ(info.family, static_cast<uint32_t>(NRT_INSTANCE_INF2));
}

}  // namespace
