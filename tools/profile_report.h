// A profile as a table for people, as JSON, and as a timeline. Times are in microseconds.
#ifndef GLIA_TOOLS_PROFILE_REPORT_H_
#define GLIA_TOOLS_PROFILE_REPORT_H_

#include <string>

#include "nrt/nrt_glia.h"
#include "serialization/isa/program.h"
#include "tools/json.h"
#include "tools/profile_analysis.h"

namespace glia::tools {

// `top`: rows of the tables of operations and instructions.
std::string ProfileText(const isa::Program& program, const glia_nrt_profile_t& profile,
                        const ProfileAnalysis& analysis, int top);

// One object; "operations" and "source_operators" are whole, "top_instructions" has `top`.
void WriteProfileJson(const isa::Program& program, const glia_nrt_profile_t& profile,
                      const ProfileAnalysis& analysis, int top, JsonWriter* json);

// Chrome's trace-event format, which Perfetto opens: a track for each engine, each queue, and the
// critical path; the segments one after the other.
std::string ProfileTimeline(const isa::Program& program, const glia_nrt_profile_t& profile,
                            const ProfileAnalysis& analysis);

}  // namespace glia::tools

#endif  // GLIA_TOOLS_PROFILE_REPORT_H_
