#include "ev3/cli/build_info.h"
#include "ev3/cli/commands.h"

namespace ev3::cli {

std::string version_text() {
  return std::string("ev3 ") + version + " (commit " + git_hash + ", " + compiler + ", " + build_type + ")";
}

}  // namespace ev3::cli
