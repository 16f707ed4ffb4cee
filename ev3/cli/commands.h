// The subcommands of the program `ev3`, one file each.
//
// Every add_* registers its subcommand with options, help and an example; the subcommand's callback does the
// work, reading what it needs from options that it owns. What goes wrong is thrown, as autodiff::Error or any
// other std::exception: main() prints it as one line, `ev3 NAME: what`, and exits with `unusable`.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace ev3::cli {

/// Exit codes. A callback that ends is `ok`. One whose answer is no (a replay outside its tolerance, a kernel
/// that fails its check) has printed why and throws CLI::RuntimeError(answer_is_no).
enum ExitCode { ok = 0, answer_is_no = 1, unusable = 2, interrupted = 130 };

/// "ev3 0.1.0 (commit 78c4f98aaaaa, GNU 12.2.0, Release)"
std::string version_text();

void add_run(CLI::App& app);
void add_logits(CLI::App& app);
void add_sweep(CLI::App& app);
void add_report(CLI::App& app);
void add_replay(CLI::App& app);
void add_eval(CLI::App& app);
void add_show(CLI::App& app);
void add_data(CLI::App& app);
void add_doctor(CLI::App& app);
/// `app` must be complete when the subcommand runs: the script is generated from it.
void add_completion(CLI::App& app);

}  // namespace ev3::cli
