// Nested tuples, lists and dicts of tensors: what a traced model takes and returns. The structure is part
// of a trace's type; the tensors in it, in order, are the inputs and outputs of the compiled graph.
#ifndef GLIA_FRONTEND_STRUCTURE_H_
#define GLIA_FRONTEND_STRUCTURE_H_

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <functional>
#include <string>
#include <vector>

namespace glia {

struct Structure {
  enum class Kind { kTensor, kTuple, kList, kDict, kConstant };
  Kind kind = Kind::kTensor;
  std::vector<Structure> children;   // of a dict: in the order of its keys
  std::vector<c10::IValue> keys;     // kDict: str, int, float or bool
  c10::IValue constant;              // kConstant: None, bool, int, float or str
  c10::TypePtr type;                 // of the value, where TorchScript needs it spelled out
};

// The structure of `value`; its tensors are appended to `leaves` in order (dicts in insertion order).
// Throws c10::Error naming `what` and the type for anything else than tensors, tuples, lists, dicts
// and, if `constants`, None, bool, int, float and str.
Structure Flatten(const c10::IValue& value, const std::string& what, bool constants,
                  std::vector<at::Tensor>* leaves);

// The value again, of other tensors. `next` advances over `leaves`.
c10::IValue Unflatten(const Structure& structure, const std::vector<at::Tensor>& leaves,
                      size_t* next);

// One name for each tensor: "x", "x.1", "x['mask']".
std::vector<std::string> LeafNames(const Structure& structure, const std::string& root);

// TorchScript. `TypeOf`: "Tuple[Tensor, Dict[str, Tensor]]". `Take`: the expressions that read each tensor
// of the value `root`, with statements in `checks` that refuse a list or dict of another size. `Make`: the
// expression of the value, its tensors taken from `leaf(i)`.
std::string TypeOf(const Structure& structure);
std::vector<std::string> Take(const Structure& structure, const std::string& root,
                              std::vector<std::string>* checks);
std::string Make(const Structure& structure, const std::function<std::string(size_t)>& leaf,
                 size_t* next);

}  // namespace glia

#endif  // GLIA_FRONTEND_STRUCTURE_H_
