// What no single value can tell: contradictions between the values of an experiment.
#pragma once

#include <toml++/toml.h>

#include "ev3/cli/config.h"

namespace ev3::cli {

/// Throws Error at the place in `root` that is at fault.
void check(const Experiment& experiment, const toml::table& root);

}  // namespace ev3::cli
