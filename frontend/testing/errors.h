// What tests of the frontend have in common.
#ifndef GLIA_FRONTEND_TESTING_ERRORS_H_
#define GLIA_FRONTEND_TESTING_ERRORS_H_

#include <c10/util/Exception.h>

#include <exception>
#include <string>

namespace glia {

// The message of what `f` throws.
template <typename F>
std::string ErrorOf(F f) {
  try {
    f();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace glia

#endif  // GLIA_FRONTEND_TESTING_ERRORS_H_
