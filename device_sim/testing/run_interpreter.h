// Validates, checks and interprets the program of a builder.
#ifndef GLIA_DEVICE_SIM_TESTING_RUN_INTERPRETER_H_
#define GLIA_DEVICE_SIM_TESTING_RUN_INTERPRETER_H_

#include <string>
#include <vector>

#include "device_sim/testing/program_builder.h"
#include "serialization/isa/validate.h"

namespace glia::device {

inline absl::StatusOr<std::vector<std::string>> Interpret(ProgramBuilder* builder) {
  const isa::Program program = builder->Build();
  if (absl::Status s = isa::Validate(program); !s.ok()) return s;
  if (absl::Status s = CheckRaces(program); !s.ok()) return s;
  auto executor = MakeInterpreter(program, ComputeTiming(program));
  if (!executor.ok()) return executor.status();
  return RunOnce(program, executor->get(), builder->input_data(), builder->constants());
}

}  // namespace glia::device

#endif  // GLIA_DEVICE_SIM_TESTING_RUN_INTERPRETER_H_
