#include "compiler/cache/neff_cache.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "serialization/testing/seed.h"

namespace glia::compiler {
namespace {

namespace fs = std::filesystem;

// A fresh directory for each test.
std::string NewDirectory() {
  static std::atomic<int> count{0};
  const std::string path = absl::StrCat(testing::TempDir(), "/cache.", getpid(), ".", count++);
  fs::remove_all(path);
  return path;
}

neff::Neff SomeNeff(const std::string& tag) {
  neff::Neff neff;
  neff.program.name = "sample";
  neff.program.segments.resize(1);
  neff.info["tag"] = tag;
  return neff;
}

// A compile function that counts its calls.
struct Compiler {
  std::atomic<int> calls{0};
  std::string tag = "a";
  NeffCache::CompileFn function() {
    return [this]() -> absl::StatusOr<neff::Neff> {
      ++calls;
      return SomeNeff(tag);
    };
  }
};

std::string Tag(const CachedNeff& cached) {
  auto neff = neff::Read(cached.neff);
  return neff.ok() ? (*neff)->info.at("tag") : std::string(neff.status().message());
}

std::string NeffPath(const std::string& directory) {
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.path().filename() == "model.neff") return entry.path();
  }
  return "";
}

TEST(NeffCacheTest, CompilesOnceAndFindsItAgain) {
  const std::string directory = NewDirectory();
  Compiler compiler;
  {
    NeffCache cache(directory);
    auto first = cache.GetOrCompile("abc123", Options(), compiler.function());
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_FALSE(first->hit);
    EXPECT_TRUE(first->warning.ok()) << first->warning;
  }
  NeffCache cache(directory);  // as another process would
  auto second = cache.GetOrCompile("abc123", Options(), compiler.function());
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->hit);
  EXPECT_EQ(second->disk_accesses, 1);
  EXPECT_EQ(Tag(*second), "a");
  EXPECT_EQ(compiler.calls, 1);
  EXPECT_EQ(cache.counters().hits, 1);
  EXPECT_EQ(cache.counters().compilations, 0);
  // The layout of neuronx's cache.
  const fs::path entry = fs::path(NeffPath(directory)).parent_path();
  EXPECT_EQ(entry.filename().string().rfind("MODULE_abc123+", 0), 0u);
  EXPECT_EQ(entry.parent_path().filename().string().rfind("neuronxcc-", 0), 0u);
  EXPECT_TRUE(fs::exists(entry / "model.done"));
  EXPECT_TRUE(fs::exists(entry / "compile_flags.json"));
}

TEST(NeffCacheTest, GraphsAndOptionsHaveEntriesOfTheirOwn) {
  NeffCache cache(NewDirectory());
  Compiler compiler;
  Options fp32;
  ASSERT_TRUE(fp32.Parse({"--auto-cast=none"}).ok());
  for (const char* hash : {"g1", "g2", "../evil/../../name"}) {
    for (const Options& options : {Options(), fp32}) {
      EXPECT_FALSE(cache.GetOrCompile(hash, options, compiler.function())->hit);
      EXPECT_TRUE(cache.GetOrCompile(hash, options, compiler.function())->hit);
    }
  }
  EXPECT_EQ(compiler.calls, 6);
}

TEST(NeffCacheTest, DamagedEntriesAreReplaced) {
  const auto seed = static_cast<uint32_t>(TestSeed());
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  const std::string directory = NewDirectory();
  Compiler compiler;
  ASSERT_TRUE(NeffCache(directory).GetOrCompile("g", Options(), compiler.function()).ok());
  const std::string path = NeffPath(directory);
  const auto size = fs::file_size(path);
  for (int i = 0; i < 20; ++i) {
    if (i % 2 == 0) {
      fs::resize_file(path, i == 0 ? 0 : random() % size);
    } else {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(1024 + static_cast<int64_t>(random() % (size - 1024)));
      file.put(static_cast<char>(0x5a ^ i));
    }
    NeffCache cache(directory);
    auto result = cache.GetOrCompile("g", Options(), compiler.function());
    ASSERT_TRUE(result.ok()) << result.status();
    if (result->hit) continue;  // the byte written was the one that was there
    EXPECT_EQ(result->warning.code(), absl::StatusCode::kDataLoss) << result->warning;
    EXPECT_EQ(cache.warning(), result->warning);
    EXPECT_EQ(cache.counters().damaged, 1);
    auto again = cache.GetOrCompile("g", Options(), compiler.function());
    EXPECT_TRUE(again->hit);
    EXPECT_EQ(Tag(*again), "a");
  }
  EXPECT_GT(compiler.calls, 10);
}

TEST(NeffCacheTest, ThreadsShareOneCompilation) {
  for (const std::string& directory : {NewDirectory(), std::string()}) {
    NeffCache cache(directory);
    std::atomic<int> calls{0};
    std::atomic<int> started{0};
    auto compile = [&]() -> absl::StatusOr<neff::Neff> {
      ++calls;
      while (started < 4) std::this_thread::yield();
      // Time for the others to arrive in GetOrCompile.
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return SomeNeff("shared");
    };
    std::vector<std::thread> threads;
    std::atomic<int> misses{0};
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        ++started;
        auto result = cache.GetOrCompile("g", Options(), compile);
        ASSERT_TRUE(result.ok()) << result.status();
        EXPECT_EQ(Tag(*result), "shared");
        if (!result->hit) ++misses;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(misses, 1);
  }
}

TEST(NeffCacheTest, ProcessesShareOneCompilation) {
  const std::string directory = NewDirectory();
  ASSERT_TRUE(fs::create_directory(directory));
  const std::string log = directory + "/log";
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      NeffCache cache(directory);
      auto result = cache.GetOrCompile("g", Options(), [&]() -> absl::StatusOr<neff::Neff> {
        const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
        const bool written = write(fd, "x", 1) == 1;
        close(fd);
        usleep(200000);
        return written ? SomeNeff("one") : absl::StatusOr<neff::Neff>(absl::InternalError("log"));
      });
      _exit(result.ok() && Tag(*result) == "one" ? 0 : 1);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  EXPECT_EQ(fs::file_size(log), 1u);
}

TEST(NeffCacheTest, AKilledCompilerLeavesTheEntryToOthers) {
  const std::string directory = NewDirectory();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    NeffCache cache(directory);
    (void)cache.GetOrCompile("g", Options(), []() -> absl::StatusOr<neff::Neff> {
      _exit(9);  // with the lock held
    });
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(WEXITSTATUS(status), 9);
  NeffCache cache(directory);
  Compiler compiler;
  auto result = cache.GetOrCompile("g", Options(), compiler.function());
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->hit);
  EXPECT_TRUE(result->warning.ok()) << result->warning;
}

// The system kills a process that writes past its limit: here, in the middle of the entry.
TEST(NeffCacheTest, AProcessKilledWhileWritingLeavesNothing) {
  const std::string directory = NewDirectory();
  const auto large = [] { return SomeNeff(std::string(100000, 'x')); };
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    signal(SIGXFSZ, SIG_DFL);
    const rlimit none = {0, 0}, limit = {50000, 50000};
    setrlimit(RLIMIT_CORE, &none);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
    NeffCache cache(directory);
    (void)cache.GetOrCompile("g", Options(), large);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  const auto files = [&] {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (entry.is_regular_file()) names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  };
  EXPECT_EQ(files().size(), 2u);  // the lock, and half an entry
  NeffCache cache(directory);
  auto result = cache.GetOrCompile("g", Options(), large);
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->hit);
  EXPECT_TRUE(result->warning.ok()) << result->warning;
  EXPECT_EQ(files(), (std::vector<std::string>{"compile_flags.json", "model.done", "model.lock",
                                               "model.neff"}));
}

TEST(NeffCacheTest, ErrorsOfTheCompilerAreNotCached) {
  NeffCache cache(NewDirectory());
  auto fail = []() -> absl::StatusOr<neff::Neff> { return absl::UnimplementedError("no such op"); };
  EXPECT_EQ(cache.GetOrCompile("g", Options(), fail).status(),
            absl::UnimplementedError("no such op"));
  auto thrower = []() -> absl::StatusOr<neff::Neff> { throw std::runtime_error("oops"); };
  EXPECT_THROW((void)cache.GetOrCompile("g", Options(), thrower), std::runtime_error);
  Compiler compiler;
  EXPECT_FALSE(cache.GetOrCompile("g", Options(), compiler.function())->hit);
}

// Expects a compilation that succeeds each time, with one warning.
void ExpectUnusable(const std::string& directory) {
  NeffCache cache(directory);
  Compiler compiler;
  for (int i = 1; i <= 2; ++i) {
    auto result = cache.GetOrCompile("g", Options(), compiler.function());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_FALSE(result->hit);
    EXPECT_FALSE(result->warning.ok());
    EXPECT_EQ(Tag(*result), "a");
    EXPECT_EQ(compiler.calls, i);
  }
  EXPECT_NE(std::string(cache.warning().message()).find(directory), std::string::npos)
      << cache.warning();
}

TEST(NeffCacheTest, ADirectoryThatIsAFile) {
  const std::string path = NewDirectory();
  std::ofstream(path) << "not a directory";
  ExpectUnusable(path);
}

TEST(NeffCacheTest, ADirectoryThatCannotBeMade) { ExpectUnusable("/proc/self/no-such-cache"); }

TEST(NeffCacheTest, AReadOnlyDirectory) {
  const std::string directory = NewDirectory();
  Compiler compiler;
  ASSERT_TRUE(NeffCache(directory).GetOrCompile("g", Options(), compiler.function()).ok());
  ASSERT_EQ(chmod(directory.c_str(), 0555), 0);
  ASSERT_EQ(chmod(fs::path(NeffPath(directory)).parent_path().parent_path().c_str(), 0555), 0);
  // What is there is still found.
  EXPECT_TRUE(NeffCache(directory).GetOrCompile("g", Options(), compiler.function())->hit);
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  NeffCache cache(directory);
  auto result = cache.GetOrCompile("other", Options(), compiler.function());
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->hit);
  EXPECT_FALSE(cache.warning().ok());
}

// A limit on the size of files stands for a full disk.
TEST(NeffCacheTest, AFullDisk) {
  const std::string directory = NewDirectory();
  ASSERT_TRUE(fs::create_directory(directory));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {100, 100};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
    NeffCache cache(directory);
    auto result = cache.GetOrCompile("g", Options(),
                                     []() -> absl::StatusOr<neff::Neff> { return SomeNeff("f"); });
    const bool good = result.ok() && !result->hit && Tag(*result) == "f" && !result->warning.ok() &&
                      cache.counters().write_failures == 1;
    _exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  // Nothing half-written stays behind.
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    EXPECT_TRUE(entry.is_directory() || entry.path().filename() == "model.lock") << entry.path();
  }
}

class EnvironmentTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : kNames) unsetenv(name);
  }
  void TearDown() override { SetUp(); }
  static constexpr const char* kNames[] = {"NEURON_CC_FLAGS", "NEURON_COMPILE_CACHE_URL",
                                           "XDG_CACHE_HOME", "HOME"};
};

TEST_F(EnvironmentTest, Precedence) {
  EXPECT_EQ(CacheDirectory().status().code(), absl::StatusCode::kFailedPrecondition);
  auto disabled = NeffCache::FromEnvironment();
  EXPECT_FALSE(disabled->enabled());
  EXPECT_NE(std::string(disabled->warning().message()).find("NEURON_COMPILE_CACHE_URL"),
            std::string::npos);
  setenv("HOME", "/h", 1);
  EXPECT_EQ(*CacheDirectory(), "/h/.cache/glia/neff");
  setenv("XDG_CACHE_HOME", "/x", 1);
  EXPECT_EQ(*CacheDirectory(), "/x/glia/neff");
  setenv("NEURON_COMPILE_CACHE_URL", "/n/", 1);
  EXPECT_EQ(*CacheDirectory(), "/n");
  setenv("NEURON_CC_FLAGS", "--cache_dir=/f", 1);
  EXPECT_EQ(*CacheDirectory(), "/f");
}

TEST_F(EnvironmentTest, Urls) {
  const std::pair<const char*, const char*> good[] = {
      {"file:///a/b", "/a/b"}, {"file://localhost/a", "/a"}, {"relative/dir", "relative/dir"}};
  for (const auto& [url, directory] : good) {
    setenv("NEURON_COMPILE_CACHE_URL", url, 1);
    EXPECT_EQ(*CacheDirectory(), directory);
  }
  setenv("NEURON_COMPILE_CACHE_URL", "s3://bucket/x", 1);
  EXPECT_EQ(CacheDirectory().status().code(), absl::StatusCode::kUnimplemented);
  setenv("NEURON_COMPILE_CACHE_URL", "file://relative", 1);
  EXPECT_EQ(CacheDirectory().status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace glia::compiler
