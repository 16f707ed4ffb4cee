// `ev3 completion bash`: a completion script, written from the commands and options that there are.
#include <iostream>
#include <memory>
#include <string>

#include "ev3/cli/commands.h"

namespace ev3::cli {
namespace {

/// "--data --split --json": the long names of the options of a command, those without one by their short
/// name.
std::string option_words(const CLI::App& command) {
  std::string words;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) words += (words.empty() ? "--" : " --") + name;
  }
  return words;
}

std::string bash_script(const CLI::App& app) {
  std::string names, cases;
  for (const CLI::App* command : app.get_subcommands({})) {
    names += (names.empty() ? "" : " ") + command->get_name();
    cases += "    " + command->get_name() + ") words=\"" + option_words(*command) + "\" ;;\n";
  }
  return "# Completion of ev3 for bash, written by `ev3 completion bash`.\n"
         "_ev3() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} words\n"
         "  if ((COMP_CWORD == 1)); then\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"" +
         names + " " + option_words(app) +
         "\" -- \"$current\")\n"
         "    return\n"
         "  fi\n"
         "  case ${COMP_WORDS[1]} in\n" +
         cases +
         "    *) return ;;\n"
         "  esac\n"
         "  if [[ $current == -* ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "  else\n"
         "    mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
         "  fi\n"
         "}\n"
         "complete -o filenames -F _ev3 ev3\n";
}

}  // namespace

void add_completion(CLI::App& app) {
  CLI::App* sub = app.add_subcommand("completion", "Print a script that completes commands and options.");
  const auto shell = std::make_shared<std::string>();
  sub->add_option("SHELL", *shell, "bash is the only one")->required()->check(CLI::IsMember({"bash"}));
  sub->footer("Example:\n  source <(ev3 completion bash)");
  sub->callback([&app, shell] { std::cout << bash_script(app); });
}

}  // namespace ev3::cli
