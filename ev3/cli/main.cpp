// The program `ev3`: finds the subcommand, runs it, and turns what it throws into one line and an exit code.
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "autodiff/tensor/text.h"
#include "ev3/cli/commands.h"

namespace {

using namespace ev3::cli;

constexpr const char* footer =
    "Examples:\n"
    "  ev3 run                                        EV3 on handwritten digits, no files needed\n"
    "  ev3 run configs/mnist.toml --out runs/mnist    an experiment of one's own\n"
    "  ev3 eval runs/mnist/model.safetensors --data digits\n"
    "  ev3 doctor                                     what this machine has and whether it computes right\n"
    "\n"
    "`ev3 COMMAND --help` explains a command. Exit codes: 0 done, 1 the answer is no, 2 unusable input.";

/// The innermost subcommand that was named: the app itself when there was none.
const CLI::App& named(const CLI::App& app) {
  const auto subcommands = app.get_subcommands();
  return subcommands.empty() ? app : named(*subcommands.front());
}

/// "ev3", "ev3 eval"
std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent ? full_name(*parent) + " " + command.get_name() : "ev3";
}

/// What to say of an argument that no command and no option took.
std::string unexpected(const CLI::App& app) {
  const CLI::App& command = named(app);
  const std::vector<std::string> rest = app.remaining(true);
  std::string word = rest.empty() ? "" : rest.front();
  for (auto it = rest.rbegin(); it != rest.rend(); ++it) {
    if (it->starts_with('-')) word = *it;  // the first option: its values may stand among the rest
  }
  std::vector<std::string> known;
  const char* what = "option";
  if (word.starts_with('-')) {
    word = word.substr(0, word.find('='));
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  } else {
    what = "command";
    for (const CLI::App* sub : command.get_subcommands({})) known.push_back(sub->get_name());
    if (known.empty()) return "too many arguments, beginning with " + autodiff::in_quotes(word);
  }
  return std::string("unknown ") + what + " " + autodiff::in_quotes(word) + ": did you mean '" +
         autodiff::nearest(word, known) + "'?";
}

int complain(const CLI::App& app, const std::string& what) {
  std::cout.flush();
  std::cerr << full_name(named(app)) << ": " << what << '\n';
  return unusable;
}

int complain_of_arguments(const CLI::App& app, const std::string& what) {
  return complain(app, what + " (see " + full_name(named(app)) + " --help)");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("EV3: training and growing neural networks by explore, assess and adapt.", "ev3");
  app.set_help_flag("-h,--help", "print this help");
  app.set_version_flag("--version", version_text(), "print version and commit");
  app.footer(footer);
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(32);
#if __has_include("ev3/cli/run.cpp")
  add_run(app);
#endif
#if __has_include("ev3/cli/replay.cpp")
  add_replay(app);
#endif
#if __has_include("ev3/cli/eval.cpp")
  add_eval(app);
#endif
#if __has_include("ev3/cli/show.cpp")
  add_show(app);
#endif
#if __has_include("ev3/cli/data.cpp")
  add_data(app);
#endif
#if __has_include("ev3/cli/doctor.cpp")
  add_doctor(app);
#endif
#if __has_include("ev3/cli/completion.cpp")
  add_completion(app);
#endif

  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) std::cout << app.help();
    if (!std::cout.flush()) return complain(app, "cannot write to standard output: is the disk full?");
    return ok;
  } catch (const CLI::ExtrasError&) {
    return complain_of_arguments(app, unexpected(app));
  } catch (const CLI::RuntimeError& answer) {
    return answer.get_exit_code();
  } catch (const CLI::Success& wish) {  // --help, --version
    return app.exit(wish);
  } catch (const CLI::ParseError& error) {
    return complain_of_arguments(app, error.what());
  } catch (const std::bad_alloc&) {
    return complain(app, "not enough memory");
  } catch (const std::exception& error) {
    return complain(app, error.what());
  }
}
