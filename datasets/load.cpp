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

Dataset load_folder(const std::filesystem::path& folder, const LoadOptions& options) {
  const CifarOptions cifar{.part = options.part, .labels = options.labels};
  const bool ten = !find_cifar10(folder).empty(), hundred = !find_cifar100(folder).empty();
  if (ten && hundred) {
    autodiff::fail("data ", folder.string(), ": want the folder of one data set, it holds CIFAR-10 (",
                   find_cifar10(folder).string(), ") and CIFAR-100 (", find_cifar100(folder).string(), ")");
  }
  if (ten) return cifar10(folder, cifar);
  if (hundred) return cifar100(folder, cifar);
  for (const std::string part : {"train", "t10k"}) {
    for (const std::string file : {"-images-idx3-ubyte", "-labels-idx1-ubyte"}) {
      for (const char* end : {"", ".gz"}) {
        if (std::filesystem::exists(folder / (part + file + end))) return mnist(folder, options.part);
      }
    }
  }
  autodiff::fail("data ", folder.string(),
                 ": want a folder with the files of MNIST (train-images-idx3-ubyte, ...), CIFAR-10 "
                 "(data_batch_1.bin, ...) or CIFAR-100 (train.bin, test.bin), got none of them");
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
  if (std::filesystem::is_directory(what)) return load_folder(what, options);
  if (std::filesystem::exists(what)) {
    if (what.ends_with(".npz")) return read_npz(what);
    if (what.ends_with(".csv") || what.ends_with(".csv.gz")) return read_csv(what, options.csv);
    autodiff::fail("data ", what,
                   ": want a folder with MNIST's or CIFAR's files or a file .csv, .csv.gz or .npz");
  }
  std::string list;
  for (const std::string& name : names()) list += name + ", ";
  autodiff::fail("data ", autodiff::in_quotes(what), ": no such file, and not one of the names ", list,
                 "of which '", autodiff::nearest(what, names()), "' is nearest");
}

}  // namespace datasets
