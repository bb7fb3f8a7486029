#include <sstream>

#include "frontend/capture/record.h"

namespace glia::capture {
namespace {

// "Float(2, 3, strides=[3, 1], requires_grad=0, device=cpu)".
std::string TensorType(const at::Tensor& t) {
  std::ostringstream os;
  os << c10::toString(t.scalar_type()) << "(";
  for (int64_t size : t.sizes()) os << size << ", ";
  if (t.layout() == at::kStrided) os << "strides=" << t.strides() << ", ";
  os << "requires_grad=0, device=cpu)";
  return os.str();
}

class Printer {
 public:
  std::string Argument(const std::string& name, const c10::IValue& v) {
    const std::string value = "%" + name;
    if (v.isTensor() && v.toTensor().defined()) {
      inputs_ += (inputs_.empty() ? "" : ",\n      ") + value + " : " + TensorType(v.toTensor());
    } else if (v.isTensor() || v.isNone()) {
      body_ << "  " << value << " : NoneType = prim::Constant()\n";
    } else if (v.isList() && HasTensor(v)) {
      std::string elements;
      size_t i = 0;
      for (const c10::IValue& e : v.toListRef()) {
        elements += (i > 0 ? ", " : "") + Argument(name + "." + std::to_string(i), e);
        ++i;
      }
      body_ << "  " << value << " : Tensor[] = prim::ListConstruct(" << elements << ")\n";
    } else {
      body_ << "  " << value << " : " << v.type()->str() << " = prim::Constant[value=";
      if (v.isString()) {
        body_ << '"' << v.toStringRef() << '"';
      } else {
        body_ << v;
      }
      body_ << "]()\n";
    }
    return value;
  }

  std::string Finish(const std::string& call, size_t results) {
    std::string names = "%result";
    for (size_t i = 1; i < results; ++i) names += ", %result." + std::to_string(i);
    return "graph(" + inputs_ + "):\n" + body_.str() + "  " + names + " = " + call +
           "\n  return (" + names + ")\n";
  }

 private:
  static bool HasTensor(const c10::IValue& list) {
    for (const c10::IValue& e : list.toListRef()) {
      if (e.isTensor()) return true;
    }
    return false;
  }

  std::string inputs_;
  std::ostringstream body_;
};

}  // namespace

std::string PrintCall(const c10::FunctionSchema& schema,
                      c10::ArrayRef<const c10::IValue> arguments) {
  Printer printer;
  std::string call = schema.name() + "(";
  for (size_t i = 0; i < arguments.size() && i < schema.arguments().size(); ++i) {
    call += (i > 0 ? ", " : "") + printer.Argument(schema.arguments()[i].name(), arguments[i]);
  }
  return printer.Finish(call + ")", schema.returns().size());
}

}  // namespace glia::capture
