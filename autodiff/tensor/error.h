// The one exception type of the library.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace autodiff {

/// Thrown at the boundary of graphs, files and configurations. The text is complete as it stands: who
/// refuses, what was wanted, what came and, where it helps, what to do. Kernels do not throw: they assume
/// checked input.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The parts streamed one after the other into one string: text("want ", shape, ", got ", 3).
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws Error(text(parts...)).
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(text(parts...));
}

}  // namespace autodiff
