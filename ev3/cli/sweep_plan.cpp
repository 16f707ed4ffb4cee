#include "ev3/cli/sweep_plan.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <sstream>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"
#include "autodiff/tensor/text.h"
#include "ev3/cli/config_toml.h"
#include "ev3/cli/report_study.h"

namespace ev3::cli {
namespace {

using autodiff::fail;

constexpr std::size_t most_runs = 10000, longest_name = 150;

// Pieces between the commas that stand outside of brackets, braces and quotes.
std::vector<std::string> split_values(const std::string& text, const std::string& where) {
  std::vector<std::string> out{""};
  int depth = 0;
  char quote = 0;
  for (const char c : text) {
    if (quote) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      if (--depth < 0) break;
    } else if (c == ',' && depth == 0) {
      out.emplace_back();
      continue;
    }
    out.back() += c;
  }
  if (depth != 0 || quote) fail(where, ": a bracket or a quote has no partner");
  return out;
}

std::int64_t whole_number(std::string_view text, const std::string& where) {
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || out < 0) {
    fail(where, ": want seeds such as 1..5 or 1,4,9, whole numbers from 0, got ", autodiff::in_quotes(text));
  }
  return out;
}

template <class T>
void want_each_once(const std::vector<T>& values, const std::string& where) {
  std::vector<T> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) fail(where, ": want each value once, ", *twice, " is there twice");
}

// Text fit for the name of a folder.
std::string plain(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ' || c == '"' || c == '\'') continue;
    const bool fits = std::isalnum(static_cast<unsigned char>(c)) ||
                      std::string_view("._+-=,[]").find(c) != std::string_view::npos;
    out += fits ? c : '_';
  }
  return out;
}

std::string folder_name(const std::vector<GridAxis>& grid, const std::vector<std::size_t>& choice,
                        std::int64_t seed) {
  std::vector<std::string> keys;
  for (const GridAxis& axis : grid) keys.push_back(axis.key);
  std::string out;
  for (std::size_t a = 0; a < grid.size(); ++a) {
    out += plain(short_key(keys[a], keys)) + '=' + plain(grid[a].values[choice[a]]) + ',';
  }
  if (out.size() > longest_name) {
    out = out.substr(0, longest_name - 20) + '-' + autodiff::hex(autodiff::fnv1a64(out)) + ',';
  }
  return out + "seed=" + std::to_string(seed);
}

// The config of a run. What is wrong with it is said of --grid.
Experiment resolve(const std::string& text, const std::string& where,
                   const std::vector<std::string>& overrides, const std::vector<std::string>& chosen,
                   std::int64_t seed) {
  std::vector<std::string> all = overrides;
  all.insert(all.end(), chosen.begin(), chosen.end());
  all.push_back("seed=" + std::to_string(seed));
  try {
    return parse_experiment(text, where, all);
  } catch (const autodiff::Error& error) {
    // The config alone is right: it is the choice.
    std::string what = error.what(), choice;
    for (const std::string& assignment : chosen) {
      choice += (choice.empty() ? "" : " ") + assignment;
      const std::string said_of_it = "--set " + assignment + ": ";
      if (what.starts_with(said_of_it)) fail("--grid ", what.substr(6));
    }
    if (choice.empty()) throw;
    fail("--grid ", choice, ": ", what.starts_with("config: ") ? what.substr(8) : what);
  }
}

// TOML's multi-line text, read back as it was.
std::string long_text(const std::string& text) {
  std::string out = "\"\"\"\n";
  for (const char c : text) out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return out + "\"\"\"";
}

std::string definition(const Experiment& base, const std::vector<GridAxis>& grid,
                       const std::vector<std::int64_t>& seeds) {
  std::ostringstream out;
  out << "# A sweep: a run for every combination of the values below and every seed, in the folders beside "
         "this\n"
         "# file. The same `ev3 sweep` goes on with it.\nseeds = [";
  for (std::size_t i = 0; i < seeds.size(); ++i) out << (i ? ", " : "") << seeds[i];
  out << "]\n";
  for (const GridAxis& axis : grid) {
    out << "\n[[grid]]\nkey = " << toml_string(axis.key) << "\nvalues = [";
    for (std::size_t i = 0; i < axis.values.size(); ++i)
      out << (i ? ", " : "") << toml_string(axis.values[i]);
    out << "]\n";
  }
  out << "\n[base]\nconfig = " << long_text(to_toml(base)) << "\n";
  return out.str();
}

// The next choice of values, the last axis first; false after the last one.
bool advance(std::vector<std::size_t>& choice, const std::vector<GridAxis>& grid) {
  for (std::size_t a = grid.size(); a-- > 0;) {
    if (++choice[a] < grid[a].values.size()) return true;
    choice[a] = 0;
  }
  return false;
}

}  // namespace

GridAxis parse_axis(const std::string& text) {
  const std::string where = "--grid " + text;
  const std::size_t equals = text.find('=');
  if (equals == text.npos || equals == 0) {
    fail(where, ": want KEY=VALUE,VALUE,..., such as assess.alpha=0.5,1");
  }
  GridAxis axis{text.substr(0, equals), split_values(text.substr(equals + 1), where)};
  for (const std::string& value : axis.values) {
    if (value.find_first_not_of(' ') == value.npos) fail(where, ": a value is empty");
  }
  want_each_once(axis.values, where);
  if (axis.key == "seed") fail(where, ": seeds are given as --seeds 1..5");
  return axis;
}

std::vector<std::int64_t> parse_seeds(const std::string& text) {
  const std::string where = "--seeds " + text;
  std::vector<std::int64_t> out;
  for (const std::string& piece : split_values(text, where)) {
    const std::size_t dots = piece.find("..");
    const std::int64_t first = whole_number(std::string_view(piece).substr(0, dots), where);
    const std::int64_t last =
        dots == piece.npos ? first : whole_number(std::string_view(piece).substr(dots + 2), where);
    if (last < first) fail(where, ": want the first seed at most the last, got ", piece);
    if (last - first >= static_cast<std::int64_t>(most_runs)) {
      fail(where, ": want at most ", most_runs, " seeds");
    }
    for (std::int64_t seed = first; seed <= last; ++seed) out.push_back(seed);
  }
  want_each_once(out, where);
  return out;
}

SweepPlan make_plan(const SweepRequest& request) {
  const bool own = !request.config.empty();
  const std::string text = own ? autodiff::read_file(request.config) : digits_toml;
  const std::string where = own ? request.config : "the digits experiment";
  const Experiment base = parse_experiment(text, where, request.overrides);

  std::vector<GridAxis> grid;
  std::vector<std::string> keys;
  for (const std::string& axis : request.grid) keys.push_back(grid.emplace_back(parse_axis(axis)).key);
  want_each_once(keys, "--grid");
  const auto seeds = request.seeds ? parse_seeds(*request.seeds) : std::vector{base.seed};
  std::size_t runs = seeds.size();
  for (const GridAxis& axis : grid) {
    runs *= axis.values.size();
    if (runs > most_runs) fail("--grid: want at most ", most_runs, " runs, got more; split the sweep");
  }

  SweepPlan plan{.runs = {}, .definition = definition(base, grid, seeds)};
  std::map<std::string, std::string> known;  // config to name
  std::map<std::string, int> names;
  std::vector<std::size_t> choice(grid.size());
  do {
    std::vector<std::string> chosen;
    for (std::size_t a = 0; a < grid.size(); ++a) chosen.push_back(keys[a] + '=' + grid[a].values[choice[a]]);
    for (const std::int64_t seed : seeds) {
      SweepRun run{folder_name(grid, choice, seed), resolve(text, where, request.overrides, chosen, seed)};
      if (const int count = ++names[run.name]; count > 1) run.name += '-' + std::to_string(count);
      const auto [same, is_new] = known.emplace(to_toml(run.experiment), run.name);
      if (!is_new)
        fail("--grid: the runs ", same->second, " and ", run.name, " are the same; want each once");
      plan.runs.push_back(std::move(run));
    }
  } while (advance(choice, grid));
  return plan;
}

std::string definition_difference(const std::string& there, const std::string& here) {
  std::istringstream left(there), right(here);
  while (left || right) {
    std::string a, b;
    std::getline(left, a);
    std::getline(right, b);
    if (a != b) return (a.empty() ? "nothing" : a) + " there, " + (b.empty() ? "nothing" : b) + " here";
  }
  return "";
}

}  // namespace ev3::cli
