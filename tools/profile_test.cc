// Analysis and reports, on HLO compiled for the purpose.
#include <memory>
#include <numeric>
#include <string>

#include "compiler/compile.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "serialization/hlo/text.h"
#include "tools/profile_analysis.h"
#include "tools/profile_report.h"

namespace glia::tools {
namespace {

constexpr char kMlp[] = R"(
HloModule mlp
ENTRY main {
  x = f32[64,300] parameter(0)
  w = f32[300,700] parameter(1)
  h = f32[64,700] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}, metadata={op_type="aten::mm" source_file="net.py" source_line=7}
  t = f32[64,700] tanh(h), metadata={op_type="aten::tanh"}
  v = f32[700,10] parameter(2)
  ROOT y = f32[64,10] dot(t, v), lhs_contracting_dims={1}, rhs_contracting_dims={0}, metadata={op_type="aten::mm"}
})";

constexpr char kLoop[] = R"(
HloModule loop
body {
  s = (s32[], f32[256]) parameter(0)
  n = s32[] get-tuple-element(s), index=0
  one = s32[] constant(1)
  m = s32[] subtract(n, one)
  x = f32[256] get-tuple-element(s), index=1
  e = f32[256] sine(x)
  ROOT r = (s32[], f32[256]) tuple(m, e)
}
cond {
  s = (s32[], f32[256]) parameter(0)
  n = s32[] get-tuple-element(s), index=0
  zero = s32[] constant(0)
  ROOT c = pred[] compare(n, zero), direction=GT
}
ENTRY main {
  n = s32[] parameter(0)
  x = f32[256] parameter(1)
  s = (s32[], f32[256]) tuple(n, x)
  w = (s32[], f32[256]) while(s), condition=cond, body=body
  ROOT y = f32[256] get-tuple-element(w), index=1
})";

struct FreeProfile {
  void operator()(glia_nrt_profile_t* p) const { glia_nrt_free_profile(p); }
};

struct Profiled {
  isa::Program program;
  std::unique_ptr<glia_nrt_profile_t, FreeProfile> profile;
  ProfileAnalysis analysis;
};

Profiled ProfileHlo(const char* text) {
  Profiled p;
  auto module = hlo::ParseModule(text);
  EXPECT_TRUE(module.ok()) << module.status();
  auto result = compiler::Compile(*std::move(module), compiler::Options());
  EXPECT_TRUE(result.ok()) << result.status();
  const std::string bytes = *neff::Write(result->neff);
  glia_nrt_profile_t* profile = nullptr;
  EXPECT_EQ(glia_nrt_profile_neff(bytes.data(), bytes.size(), &profile), NRT_SUCCESS)
      << glia_nrt_last_error();
  p.profile.reset(profile);
  p.program = (*neff::Read(neff::Blob::FromString(bytes)))->program;
  p.analysis = Analyze(p.program, *profile);
  return p;
}

google::protobuf::Struct ParseJson(const std::string& text) {
  google::protobuf::Struct json;
  const auto status = google::protobuf::util::JsonStringToMessage(text, &json);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return json;
}

class ProfileTest : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Programs, ProfileTest, testing::Values(kMlp, kLoop));

TEST_P(ProfileTest, PathCoversEachSegmentWithoutAGap) {
  const Profiled p = ProfileHlo(GetParam());
  ASSERT_EQ(p.analysis.path.size(), p.program.segments.size());
  for (size_t s = 0; s < p.analysis.path.size(); ++s) {
    uint64_t now = 0;
    for (const PathPart& part : p.analysis.path[s]) {
      EXPECT_EQ(part.start_ps, now);
      EXPECT_GT(part.end_ps, part.start_ps);
      now = part.end_ps;
    }
    EXPECT_EQ(now, p.profile->segments[s].duration_ps);
  }
}

TEST_P(ProfileTest, EverythingAddsUp) {
  const Profiled p = ProfileHlo(GetParam());
  const ProfileAnalysis& a = p.analysis;
  EXPECT_GT(a.total_ps, 0);
  EXPECT_EQ(a.total_ps, static_cast<int64_t>(p.profile->statistics.last_simulated_ps));
  int64_t path = 0;
  for (const auto& lanes : a.path_ps) path = std::accumulate(lanes.begin(), lanes.end(), path);
  EXPECT_EQ(path, a.total_ps);
  for (const EngineProfile& e : a.engines) {
    const int64_t waits = std::accumulate(e.semaphore_ps.begin(), e.semaphore_ps.end(), int64_t{0});
    EXPECT_EQ(e.busy_ps + waits + e.result_ps + e.port_ps + e.done_ps, a.total_ps);
  }
  for (const auto* ops : {&a.hlo_ops, &a.source_ops}) {
    int64_t bytes = 0, flops = 0, instructions = 0, busy = 0;
    for (const OpProfile& op : *ops) {
      bytes += op.hbm_bytes;
      flops += op.flops;
      instructions += op.instructions;
      busy = std::accumulate(op.busy_ps.begin(), op.busy_ps.end(), busy);
    }
    EXPECT_EQ(bytes, a.hbm_read_bytes + a.hbm_write_bytes);
    EXPECT_EQ(flops, a.flops);
    int64_t want_instructions = 0, want_busy = 0;
    for (const EngineProfile& e : a.engines) {
      want_instructions += e.instructions;
      want_busy += e.busy_ps;
    }
    EXPECT_EQ(instructions, want_instructions);
    EXPECT_EQ(busy, want_busy);
  }
}

TEST(Profile, NamesOperatorsAndCountsFlops) {
  const Profiled p = ProfileHlo(kMlp);
  EXPECT_EQ(p.analysis.flops, 2 * 64 * 300 * 700 + 2 * 64 * 700 * 10);
  EXPECT_EQ(p.analysis.must_move_bytes, 4 * (64 * 300 + 300 * 700 + 700 * 10 + 64 * 10));
  EXPECT_FALSE(p.analysis.has_loops);
  const std::string text = ProfileText(p.program, *p.profile, p.analysis, 20);
  for (const char* part :
       {"aten::mm", "aten::tanh", "net.py:7", "roofline", "critical path", "DMA start"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

TEST(Profile, TransfersAndSemaphoresAreOnThePath) {
  const ProfileAnalysis a = ProfileHlo(kMlp).analysis;
  const auto dma = [&](PathCause cause) {
    return a.path_ps[static_cast<size_t>(cause)][kLanes - 1];
  };
  EXPECT_GT(dma(PathCause::kDmaStart), 0);
  EXPECT_GT(dma(PathCause::kDmaBandwidth), 0);
  EXPECT_EQ(dma(PathCause::kEngineBusy), 0);
}

TEST_P(ProfileTest, JsonAndTimelineParse) {
  const Profiled p = ProfileHlo(GetParam());
  JsonWriter writer;
  WriteProfileJson(p.program, *p.profile, p.analysis, 5, &writer);
  const google::protobuf::Struct json = ParseJson(writer.Take());
  EXPECT_DOUBLE_EQ(json.fields().at("simulated_us").number_value(),
                   static_cast<double>(p.analysis.total_ps) * 1e-6);
  EXPECT_EQ(json.fields().at("operations").list_value().values_size(),
            static_cast<int>(p.analysis.hlo_ops.size()));
  EXPECT_EQ(json.fields().at("top_instructions").list_value().values_size(), 5);

  const google::protobuf::Struct timeline =
      ParseJson(ProfileTimeline(p.program, *p.profile, p.analysis));
  uint64_t slices = 0, parts = 0;
  for (const auto& value : timeline.fields().at("traceEvents").list_value().values()) {
    const auto& fields = value.struct_value().fields();
    if (fields.at("ph").string_value() != "X") continue;
    ++slices;
    EXPECT_GE(fields.at("dur").number_value(), 0);
  }
  for (const auto& path : p.analysis.path) parts += path.size();
  EXPECT_EQ(slices, p.profile->event_count + parts);
}

TEST(Json, EscapesWhatItMust) {
  JsonWriter json;
  json.BeginObject()
      .Key("a\"b")
      .String("\\\n")
      .Key("c")
      .BeginArray()
      .Integer(1)
      .Bool(true)
      .EndArray()
      .EndObject();
  EXPECT_EQ(json.text(), "{\"a\\\"b\":\"\\\\\\u000a\",\"c\":[1,true]}");
}

TEST(Profile, LoopsAreSaid) {
  const Profiled p = ProfileHlo(kLoop);
  EXPECT_TRUE(p.analysis.has_loops);
  EXPECT_NE(ProfileText(p.program, *p.profile, p.analysis, 3).find("each segment once"),
            std::string::npos);
}

TEST(Profile, RefusesWhatIsNoNeff) {
  glia_nrt_profile_t* profile = nullptr;
  const std::string bytes(2000, 'x');
  EXPECT_EQ(glia_nrt_profile_neff(bytes.data(), bytes.size(), &profile), NRT_INVALID);
  EXPECT_EQ(profile, nullptr);
  EXPECT_NE(std::string(glia_nrt_last_error()).find("not a NEFF"), std::string::npos);
  EXPECT_EQ(glia_nrt_profile_neff(nullptr, 0, &profile), NRT_INVALID);
  EXPECT_EQ(glia_nrt_free_profile(nullptr), NRT_SUCCESS);
}

}  // namespace
}  // namespace glia::tools
