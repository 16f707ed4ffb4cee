// The program `ev3`: finds the subcommand, runs it, and turns what it throws into one line and an exit code.
#include <algorithm>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "autodiff/tensor/text.h"
#include "ev3/cli/commands.h"

namespace {

using namespace ev3::cli;

constexpr const char* footer =
    "Examples:\n"
    "  ev3 run                                        EV3 on handwritten digits, no files needed\n"
    "  ev3 run configs/mnist.toml --out runs/mnist    an experiment of one's own\n"
    "  ev3 sweep --grid assess.alpha=0.5,1 --seeds 1..5    several settings, several seeds\n"
    "  ev3 report runs/mnist --html report.html       what came of it, with charts\n"
    "  ev3 eval runs/mnist/model.safetensors --data runs/mnist/config.toml    its accuracy on the test set\n"
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

/// What to say of arguments that no command and no option took; `rest` is not empty.
std::string unexpected(const CLI::App& command, const std::vector<std::string>& rest) {
  std::vector<std::string> known;
  for (const CLI::App* sub : command.get_subcommands({})) known.push_back(sub->get_name());
  std::string word = rest.front();
  const char* what = "command";
  // Among what is left over are the values of an unknown option: look for the option first, except for a
  // command.
  const auto option =
      std::find_if(rest.begin(), rest.end(), [](const auto& s) { return s.starts_with('-'); });
  if (option != rest.end() && (known.empty() || option == rest.begin())) {
    what = "option";
    word = option->substr(0, option->find('='));
    known.clear();
    for (const CLI::Option* o : command.get_options()) {
      for (const std::string& name : o->get_lnames()) known.push_back("--" + name);
    }
  }
  if (known.empty()) return "too many arguments, beginning with " + autodiff::in_quotes(word);
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
  add_run(app);
  add_logits(app);
  add_sweep(app);
  add_report(app);
  add_replay(app);
  add_eval(app);
  add_show(app);
  add_data(app);
  add_doctor(app);
  add_completion(app);

  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) std::cout << app.help();
    if (!std::cout.flush()) return complain(app, "cannot write to standard output: is the disk full?");
    return ok;
  } catch (const CLI::RuntimeError& answer) {
    return answer.get_exit_code();
  } catch (const CLI::Success& wish) {  // --help, --version
    return app.exit(wish);
  } catch (const CLI::ParseError& error) {
    const std::vector<std::string> rest =
        app.remaining(true);  // a misspelled option before one that is missing
    return complain_of_arguments(app, rest.empty() ? error.what() : unexpected(named(app), rest));
  } catch (const std::bad_alloc&) {
    return complain(app, "not enough memory");
  } catch (const std::exception& error) {
    return complain(app, error.what());
  }
}
