#include "datasets/load.h"

#include <filesystem>
#include <map>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/text.h"
#include "datasets/digits.h"
#include "datasets/npz.h"

namespace datasets {
namespace {

using Make = Dataset (*)(const LoadOptions&);

const std::map<std::string, Make>& makers() {
  static const std::map<std::string, Make> table{
      {"digits", [](const LoadOptions&) { return digits(); }},
      {"gaussian", [](const LoadOptions& options) { return gaussian(options.gaussian); }},
      {"moons", [](const LoadOptions& options) { return moons(options.plane); }},
      {"spirals", [](const LoadOptions& options) { return spirals(options.plane); }},
      {"xor", [](const LoadOptions& options) { return exclusive_or(options.plane); }},
  };
  return table;
}

}  // namespace

const std::vector<std::string>& names() {
  static const std::vector<std::string> list = [] {
    std::vector<std::string> out;
    for (const auto& [name, make] : makers()) out.push_back(name);
    return out;
  }();
  return list;
}

Dataset load(const std::string& what, const LoadOptions& options) {
  if (const auto known = makers().find(what); known != makers().end()) return known->second(options);
  if (std::filesystem::is_directory(what)) return mnist(what, options.part);
  if (std::filesystem::exists(what)) {
    if (what.ends_with(".npz")) return read_npz(what);
    if (what.ends_with(".csv") || what.ends_with(".csv.gz")) return read_csv(what, options.csv);
    autodiff::fail("data ", what, ": want a folder with MNIST's files or a file .csv, .csv.gz or .npz");
  }
  std::string list;
  for (const std::string& name : names()) list += name + ", ";
  autodiff::fail("data ", autodiff::in_quotes(what), ": no such file, and not one of the names ", list,
                 "of which '", autodiff::nearest(what, names()), "' is nearest");
}

}  // namespace datasets
