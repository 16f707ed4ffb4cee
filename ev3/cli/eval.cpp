// ev3 eval: how good a model is on labelled samples.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "autodiff/tensor/hash.h"
#include "autodiff/tensor/text.h"
#include "datasets/describe.h"
#include "ev3/cli/commands.h"
#include "ev3/cli/data_arguments.h"
#include "ev3/cli/device_option.h"
#include "ev3/cli/run_report.h"
#include "ev3/cli/text_table.h"
#include "ev3/outputs.h"
#include "nn/evaluate.h"
#include "nn/model_file.h"

namespace ev3::cli {
namespace {

using autodiff::fail;
using datasets::Dataset;

struct EvalArguments {
  std::string model;
  DataArguments data{.what = {}, .fallback = "test"};
  int batch = 1000, errors = 5;
  bool json = false;
  DeviceArguments device;
};

/// A sample that is taken for another class, and the probability that the network gives to that.
struct Mistake {
  int sample = 0, label = 0, predicted = 0;
  double probability = 0;
};

void check_fit(const std::string& path, const nn::Network& net, const Dataset& data) {
  const std::string who = path + ": " + nn::describe(net);
  if (data.sample().size() != nn::input_shape(net).size()) {
    fail(who, " wants samples of shape ", nn::input_shape(net), ", but those of ", data.name, " are ",
         data.sample());
  }
  if (data.classes > nn::classes(net)) {
    fail(who, " knows ", nn::classes(net), " classes, but ", data.name, " has ", data.classes);
  }
}

void check_finite(const std::string& path, const nn::Predictions& predictions) {
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    for (const float x : predictions[i]) {
      if (!std::isfinite(x))
        fail(path, ": the outputs for sample ", i, " are not finite: did the training diverge?");
    }
  }
}

/// The `most` mistakes with the highest probabilities, highest first.
std::vector<Mistake> most_confident_mistakes(const nn::Predictions& predictions, int most) {
  std::vector<Mistake> mistakes;
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const auto z = predictions[i];
    const auto best = std::max_element(z.begin(), z.end());
    const auto predicted = static_cast<int>(best - z.begin());
    if (predicted == predictions.labels[i]) continue;
    double sum = 0;
    for (const float x : z) sum += std::exp(static_cast<double>(x) - static_cast<double>(*best));
    mistakes.push_back({static_cast<int>(i), predictions.labels[i], predicted, 1 / sum});
  }
  std::stable_sort(mistakes.begin(), mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.probability > b.probability; });
  mistakes.resize(std::min(mistakes.size(), static_cast<std::size_t>(most)));
  return mistakes;
}

/// What to call a class in a table: its name, cut after `most` characters.
std::string short_name(const Dataset& data, std::size_t c, std::size_t most = 8) {
  const bool known = c < static_cast<std::size_t>(data.classes);
  return known ? data.class_name(static_cast<int>(c)).substr(0, most) : std::to_string(c);
}

std::string confusion_matrix(const Dataset& data, const nn::Evaluation& e) {
  const auto classes = static_cast<std::size_t>(e.classes);
  TextTable table("r" + std::string(classes, 'r') + "r");
  std::vector<std::string> head{""};
  for (std::size_t c = 0; c < classes; ++c) head.push_back(short_name(data, c, 4));
  head.push_back("right");
  table.row(head);
  for (std::size_t label = 0; label < classes; ++label) {
    std::vector<std::string> row{short_name(data, label)};
    std::int64_t sum = 0;
    for (std::size_t c = 0; c < classes; ++c) {
      const std::int64_t count = e.confusion[label * classes + c];
      row.push_back(count ? std::to_string(count) : ".");
      sum += count;
    }
    const auto hits = static_cast<double>(e.confusion[label * classes + label]);
    row.push_back(sum ? fmt::format("{:.1f} %", 100 * hits / static_cast<double>(sum)) : "-");
    table.row(row);
  }
  return "confusion: a row for the class of a sample, a column for what it is taken for\n" + table.str("  ");
}

/// For many classes: the pairs that are confused most often, at most ten.
std::string confused_pairs(const Dataset& data, const nn::Evaluation& e) {
  const auto classes = static_cast<std::size_t>(e.classes);
  struct Pair {
    std::size_t label, predicted;
    std::int64_t count;
  };
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < e.confusion.size(); ++i) {
    if (i / classes != i % classes && e.confusion[i])
      pairs.push_back({i / classes, i % classes, e.confusion[i]});
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& a, const Pair& b) { return a.count > b.count; });
  pairs.resize(std::min<std::size_t>(pairs.size(), 10));
  std::string out =
      fmt::format("classes: {}; confused most often{}\n", classes, pairs.empty() ? ": none" : "");
  for (const Pair& pair : pairs) {
    out += fmt::format("  {} taken for {}: {} times\n", short_name(data, pair.label),
                       short_name(data, pair.predicted), pair.count);
  }
  return out;
}

/// A row holds a name, a cell of up to four digits per class, and the share: more classes do not fit 80
/// columns.
constexpr int most_in_matrix = 10;

void print_table(const EvalArguments& arguments, const nn::ModelFile& model, const Dataset& data,
                 const nn::Evaluation& e, const std::vector<Mistake>& mistakes) {
  std::cout << fmt::format("{}, {} parameters, on {}: {} samples {}\n", nn::describe(model.network),
                           grouped(static_cast<std::int64_t>(model.parameters.size())), data.name,
                           grouped(data.size()), data.sample().str())
            << e << "\n\n"
            << (e.classes <= most_in_matrix ? confusion_matrix(data, e) : confused_pairs(data, e));
  if (!mistakes.empty()) {
    std::cout << "\nmost confident errors\n";
    std::vector<int> samples;
    for (const Mistake& m : mistakes) {
      std::cout << fmt::format("  sample {}: {} taken for {}, probability {:.3f}\n", m.sample,
                               data.class_name(m.label),
                               short_name(data, static_cast<std::size_t>(m.predicted)), m.probability);
      samples.push_back(m.sample);
    }
    if (data.sample().rank() == 3) std::cout << '\n' << datasets::gallery(data, samples, 80);
  }
  const auto config = std::filesystem::path(arguments.model).parent_path() / "config.toml";
  if (!is_experiment(arguments.data.what) && std::filesystem::exists(config)) {
    std::cout << "\nnote: these samples may be among those it was trained on; --data " << config.string()
              << " takes the test set of its run\n";
  }
}

void print_json(const EvalArguments& arguments, const nn::ModelFile& model, const Dataset& data,
                const nn::Evaluation& e, const std::vector<Mistake>& mistakes) {
  using Json = nlohmann::ordered_json;
  Json confusion = Json::array(), errors = Json::array();
  const auto classes = static_cast<std::ptrdiff_t>(e.classes);
  for (auto row = e.confusion.begin(); row != e.confusion.end(); row += classes) {
    confusion.push_back(std::vector<std::int64_t>(row, row + classes));
  }
  for (const Mistake& m : mistakes) {
    errors.push_back({{"sample", m.sample},
                      {"label", m.label},
                      {"predicted", m.predicted},
                      {"probability", m.probability}});
  }
  const nn::Interval interval = e.interval();
  const Json out{{"model", arguments.model},
                 {"network", Json::parse(nn::to_json(model.network))},
                 {"data", data.name},
                 {"content", autodiff::hex(datasets::content_hash(data))},
                 {"samples", e.samples},
                 {"hits", e.hits},
                 {"accuracy", e.accuracy()},
                 {"interval", {interval.low, interval.high}},
                 {"loss", e.loss},
                 {"confusion", confusion},
                 {"most_confident_errors", errors}};
  std::cout << out.dump() << '\n';
}

void evaluate(const EvalArguments& arguments) {
  use_device(arguments.device, arguments.json);
  const nn::ModelFile model = nn::read_model(arguments.model);
  const Dataset data = load_for(arguments.data, model, arguments.model);
  check_fit(arguments.model, model.network, data);
  const std::vector<float> values = outputs(model.network, model.parameters, data, arguments.batch);
  const nn::Predictions predictions{
      values, nn::classes(model.network), {data.labels.data(), data.labels.size()}};
  check_finite(arguments.model, predictions);
  (arguments.json ? print_json : print_table)(arguments, model, data, nn::evaluate(predictions),
                                              most_confident_mistakes(predictions, arguments.errors));
}

}  // namespace

void add_eval(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("eval", "Evaluate a model: accuracy with its interval, confusion matrix, loss.");
  const auto arguments = std::make_shared<EvalArguments>();
  command->add_option("MODEL", arguments->model, "a model.safetensors that ev3 run wrote")->required();
  command
      ->add_option(
          "--data", arguments->data.what,
          "digits, gaussian, moons, spirals, xor; a folder with MNIST's or CIFAR's files; a file .csv, "
          ".csv.gz, .npz; or an experiment .toml")
      ->required();
  add_data_options(*command, arguments->data);
  command->add_option("--batch", arguments->batch, "samples computed at a time, 1000 if not given")
      ->check(CLI::Range(1, 1000000));
  command
      ->add_option("--errors", arguments->errors,
                   "how many of the most confident errors to list, 5 if not given")
      ->check(CLI::Range(0, 1000000));
  add_device(*command, arguments->device);
  command->add_flag("--json", arguments->json, "print one line of JSON instead");
  command->footer(
      "Examples:\n"
      "  ev3 eval runs/first/model.safetensors --data runs/first/config.toml    the test set of its run\n"
      "  ev3 eval model.safetensors --data data/mnist --split test --json");
  command->callback([arguments] { evaluate(*arguments); });
}

}  // namespace ev3::cli
