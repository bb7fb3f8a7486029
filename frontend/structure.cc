#include "frontend/structure.h"

#include <cmath>
#include <cstdio>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace glia {
namespace {

bool IsConstant(const c10::IValue& value) {
  return value.isNone() || value.isBool() || value.isInt() || value.isDouble() || value.isString();
}

std::string Quote(const std::string& text) { return absl::StrCat("\"", absl::CEscape(text), "\""); }

// TorchScript source of a constant or a dict's key.
std::string Literal(const c10::IValue& value) {
  if (value.isNone()) return "None";
  if (value.isBool()) return value.toBool() ? "True" : "False";
  if (value.isInt()) return absl::StrCat(value.toInt());
  if (value.isString()) return Quote(value.toStringRef());
  const double number = value.toDouble();
  if (std::isnan(number)) return "float('nan')";
  if (std::isinf(number)) return number > 0 ? "float('inf')" : "float('-inf')";
  char text[40];
  std::snprintf(text, sizeof(text), "%.17g", number);
  std::string result = text;
  if (result.find_first_of(".en") == std::string::npos) result += ".0";
  return result;
}

std::string LiteralType(const c10::IValue& value) {
  if (value.isNone()) return "None";
  if (value.isBool()) return "bool";
  if (value.isInt()) return "int";
  if (value.isString()) return "str";
  return "float";
}

}  // namespace

Structure Flatten(const c10::IValue& value, const std::string& what, bool constants,
                  std::vector<at::Tensor>* leaves) {
  Structure s;
  if (value.isTensor()) {
    TORCH_CHECK(value.toTensor().defined(), what, " is an undefined tensor");
    leaves->push_back(value.toTensor());
    return s;
  }
  s.type = value.type();
  if (value.isTuple()) {
    s.kind = Structure::Kind::kTuple;
    size_t i = 0;
    for (const c10::IValue& element : value.toTupleRef().elements()) {
      s.children.push_back(Flatten(element, absl::StrCat(what, ".", i++), constants, leaves));
    }
    return s;
  }
  if (value.isList()) {
    s.kind = Structure::Kind::kList;
    size_t i = 0;
    for (const c10::IValue& element : value.toListRef()) {
      s.children.push_back(Flatten(element, absl::StrCat(what, ".", i++), constants, leaves));
    }
    return s;
  }
  if (value.isTensorList()) {
    s.kind = Structure::Kind::kList;
    for (const at::Tensor& t : value.toTensorVector()) {
      s.children.emplace_back();
      leaves->push_back(t);
    }
    return s;
  }
  if (value.isGenericDict()) {
    s.kind = Structure::Kind::kDict;
    for (const auto& entry : value.toGenericDict()) {
      TORCH_CHECK(IsConstant(entry.key()), what, ": a dict's keys must be str, int, float or bool");
      s.keys.push_back(entry.key());
      s.children.push_back(Flatten(entry.value(), absl::StrCat(what, "[", Literal(entry.key()), "]"),
                                   constants, leaves));
    }
    return s;
  }
  TORCH_CHECK(constants && IsConstant(value), what, " is of type ", value.type()->str(),
              "; a traced model takes and returns tensors, and tuples, lists and dicts of them");
  s.kind = Structure::Kind::kConstant;
  s.constant = value;
  return s;
}

c10::IValue Unflatten(const Structure& s, const std::vector<at::Tensor>& leaves, size_t* next) {
  switch (s.kind) {
    case Structure::Kind::kTensor:
      return leaves.at((*next)++);
    case Structure::Kind::kConstant:
      return s.constant;
    case Structure::Kind::kTuple: {
      std::vector<c10::IValue> elements;
      for (const Structure& child : s.children) {
        elements.push_back(Unflatten(child, leaves, next));
      }
      return c10::ivalue::Tuple::create(std::move(elements));
    }
    case Structure::Kind::kList: {
      c10::impl::GenericList list(s.type->expectRef<c10::ListType>().getElementType());
      for (const Structure& child : s.children) list.push_back(Unflatten(child, leaves, next));
      return list;
    }
    case Structure::Kind::kDict: {
      const auto& type = s.type->expectRef<c10::DictType>();
      c10::impl::GenericDict dict(type.getKeyType(), type.getValueType());
      for (size_t i = 0; i < s.children.size(); ++i) {
        dict.insert(s.keys[i], Unflatten(s.children[i], leaves, next));
      }
      return dict;
    }
  }
  return {};
}

std::vector<std::string> LeafNames(const Structure& s, const std::string& root) {
  if (s.kind == Structure::Kind::kTensor) return {root};
  std::vector<std::string> names;
  for (size_t i = 0; i < s.children.size(); ++i) {
    const std::string child = s.kind == Structure::Kind::kDict
                                  ? absl::StrCat(root, "[", Literal(s.keys[i]), "]")
                                  : absl::StrCat(root, ".", i);
    for (std::string& name : LeafNames(s.children[i], child)) names.push_back(std::move(name));
  }
  return names;
}

std::string TypeOf(const Structure& s) {
  switch (s.kind) {
    case Structure::Kind::kTensor:
      return "Tensor";
    case Structure::Kind::kConstant:
      return LiteralType(s.constant);
    case Structure::Kind::kTuple: {
      std::vector<std::string> types;
      for (const Structure& child : s.children) types.push_back(TypeOf(child));
      return types.empty() ? "Tuple[()]" : absl::StrCat("Tuple[", absl::StrJoin(types, ", "), "]");
    }
    case Structure::Kind::kList:
      return absl::StrCat("List[", s.children.empty() ? "Tensor" : TypeOf(s.children[0]), "]");
    case Structure::Kind::kDict:
      return absl::StrCat("Dict[", s.keys.empty() ? "str" : LiteralType(s.keys[0]), ", ",
                          s.children.empty() ? "Tensor" : TypeOf(s.children[0]), "]");
  }
  return {};
}

std::vector<std::string> Take(const Structure& s, const std::string& root,
                              std::vector<std::string>* checks) {
  if (s.kind == Structure::Kind::kTensor) return {root};
  const bool dict = s.kind == Structure::Kind::kDict;
  if (dict || s.kind == Structure::Kind::kList) {
    checks->push_back(absl::StrCat(
        "assert len(", root, ") == ", s.children.size(), ", ",
        Quote(absl::StrCat(root, " must have ", s.children.size(), " elements, as in the trace"))));
  }
  std::vector<std::string> leaves;
  for (size_t i = 0; i < s.children.size(); ++i) {
    const std::string key = dict ? Literal(s.keys[i]) : absl::StrCat(i);
    if (dict) {
      checks->push_back(absl::StrCat("assert ", key, " in ", root, ", ",
                                     Quote(absl::StrCat(root, " lacks the key ", key))));
    }
    for (std::string& leaf : Take(s.children[i], absl::StrCat(root, "[", key, "]"), checks)) {
      leaves.push_back(std::move(leaf));
    }
  }
  return leaves;
}

std::string Make(const Structure& s, const std::function<std::string(size_t)>& leaf, size_t* next) {
  if (s.kind == Structure::Kind::kTensor) return leaf((*next)++);
  if (s.kind == Structure::Kind::kConstant) return Literal(s.constant);
  std::vector<std::string> parts;
  for (size_t i = 0; i < s.children.size(); ++i) {
    std::string part = Make(s.children[i], leaf, next);
    if (s.kind == Structure::Kind::kDict) part = absl::StrCat(Literal(s.keys[i]), ": ", part);
    parts.push_back(std::move(part));
  }
  const std::string inside = absl::StrJoin(parts, ", ");
  switch (s.kind) {
    case Structure::Kind::kTuple:
      return parts.size() == 1 ? absl::StrCat("(", inside, ",)") : absl::StrCat("(", inside, ")");
    case Structure::Kind::kDict:
      return parts.empty() ? absl::StrCat("torch.jit.annotate(", TypeOf(s), ", {})")
                           : absl::StrCat("{", inside, "}");
    default:
      return parts.empty() ? absl::StrCat("torch.jit.annotate(", TypeOf(s), ", [])")
                           : absl::StrCat("[", inside, "]");
  }
}

}  // namespace glia
