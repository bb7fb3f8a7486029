#include "tools/messages.h"

#include <gtest/gtest.h>

namespace glia::tools {
namespace {

constexpr char kFrames[] =
    "Traceback of TorchScript, serialized code (most recent call last):\n"
    "  File \"code/__torch__.py\", line 9, in forward\n"
    "    y = ops.neuron.forward(x, model)\n"
    "        ~~~~~~~~~~~~~~~~~~ <--- HERE\n"
    "\n"
    "Traceback of TorchScript, original code (most recent call last):\n"
    "  File \"<string>\", line 3, in forward\n"
    "def forward(self, x: Tensor) -> Tensor:\n"
    "    y = neuron.forward(x, self.model)\n"
    "        ~~~~~~~~~~~~~~ <--- HERE\n"
    "    return y[0]";

std::string Failure(const std::string& reason) {
  return std::string("The following operation failed in the TorchScript interpreter.\n") + kFrames +
         "\n" + reason + "\n";
}

TEST(ReasonFirstTest, PutsTheReasonBeforeTheTraceback) {
  EXPECT_EQ(ReasonFirst(Failure("RuntimeError: input 0 has shape [1, 2]")),
            std::string("input 0 has shape [1, 2]\n\n") + kFrames);
}

TEST(ReasonFirstTest, KeepsEveryLineOfTheReason) {
  const std::string reason = "unknown option; the options are\n  --a: one\nb: two";
  EXPECT_EQ(ReasonFirst(Failure("RuntimeError: " + reason)), reason + "\n\n" + kFrames);
}

TEST(ReasonFirstTest, NamesTheClassThatAScriptRaised) {
  EXPECT_EQ(ReasonFirst(Failure("builtins.ValueError: too long")),
            std::string("builtins.ValueError: too long\n\n") + kFrames);
}

TEST(ReasonFirstTest, LeavesOtherMessagesAlone) {
  EXPECT_EQ(ReasonFirst(""), "");
  EXPECT_EQ(ReasonFirst("\n"), "");
  EXPECT_EQ(ReasonFirst("a: cannot be opened\n"), "a: cannot be opened");
  EXPECT_EQ(ReasonFirst("Traceback of TorchScript, cut"), "Traceback of TorchScript, cut");
  EXPECT_EQ(ReasonFirst("Traceback of TorchScript\n  x <--- HERE\n  no reason"),
            "Traceback of TorchScript\n  x <--- HERE\n  no reason");
}

}  // namespace
}  // namespace glia::tools
