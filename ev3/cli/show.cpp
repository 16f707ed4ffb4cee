// ev3 show: the layers of a network, and the program that a training step compiles to.
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <vector>

#include "autodiff/kernels/backend.h"
#include "autodiff/tensor/random.h"
#include "ev3/cli/commands.h"
#include "ev3/cli/config_build.h"
#include "ev3/cli/data_arguments.h"
#include "ev3/cli/device_option.h"
#include "ev3/cli/run_report.h"
#include "ev3/cli/text_table.h"
#include "nn/model_file.h"
#include "nn/training.h"

namespace ev3::cli {
namespace {

using autodiff::text;

struct ShowArguments {
  std::string what, backends;
  std::vector<std::string> overrides;
  int batch = 0;  ///< 0: that of the experiment, 32 for a model
  bool profile = false;
  DeviceArguments device;
};

/// What is shown: a network with its parameters, and how it is trained.
struct Subject {
  nn::Network network;
  nn::Parameters parameters;
  std::vector<nn::Loss> losses = {nn::CrossEntropy{}};
  std::vector<nn::Optimizer> optimizers = {};
  nn::Teachers teachers = {};
  int batch = 32;
};

Subject read_subject(const std::string& path, const std::vector<std::string>& overrides) {
  if (!is_experiment(path)) {
    if (!overrides.empty()) autodiff::fail("--set changes an experiment .toml, but ", path, " is a model");
    nn::ModelFile model = nn::read_model(path);
    return {.network = model.network, .parameters = std::move(model.parameters)};
  }
  const Experiment experiment = read_experiment(path, overrides);
  const std::optional<ExperimentData> known = known_data(experiment);
  const ExperimentData data = known ? *known : load_data(experiment);
  const Settings settings = cli::settings(experiment, data);
  return {.network = settings.model,
          .parameters = nn::initialize(settings.model, settings.seed),
          .losses = settings.losses,
          .optimizers = settings.optimizers,
          .teachers = settings.teachers,
          .batch = experiment.data.batch};
}

std::string count(std::size_t n) { return grouped(static_cast<std::int64_t>(n)); }

std::string layers(const Subject& subject) {
  const nn::Layout& layout = subject.parameters.layout();
  TextTable table("llrr");
  table.row({"name", "shape", "parameters", "bytes"});
  for (const nn::ParameterInfo& info : layout.entries()) {
    table.row(
        {info.name, info.shape.str(), count(info.shape.size()), count(info.shape.size() * sizeof(float))});
  }
  return text(nn::describe(subject.network), ": ", count(layout.size()), " parameters, ",
              bytes_text(layout.size() * sizeof(float)), "; samples ", nn::input_shape(subject.network), ", ",
              nn::classes(subject.network), " classes\n", table.str("  "));
}

/// What the optimizers keep between steps.
std::string optimizers(const Subject& subject) {
  std::string out;
  for (const nn::Optimizer& optimizer : subject.optimizers) {
    const auto moments = static_cast<std::size_t>(nn::moment_count(optimizer));
    out += text("optimizer ", nn::describe(optimizer), ": state ",
                bytes_text(moments * subject.parameters.size() * sizeof(float)), '\n');
  }
  return out;
}

/// Runs a program on random samples for about a quarter of a second, and takes the time of its steps.
autodiff::Profile profile(nn::LossGradient& gradient, const nn::Network& net, const nn::Loss& loss,
                          const nn::Parameters& parameters) {
  const auto classes = static_cast<std::size_t>(nn::classes(net));
  const auto batch = static_cast<std::size_t>(gradient.batch());
  const auto random_values = [](std::size_t n, const char* stream) {
    const autodiff::Random random(autodiff::Seed{1}.stream(stream));
    std::vector<float> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>(random.normal(i));
    return values;
  };
  const std::vector<float> features = random_values(batch * nn::input_shape(net).size(), "features");
  const std::vector<float> logits = random_values(batch * classes, "logits");
  std::vector<std::int32_t> labels(batch);
  for (std::size_t i = 0; i < batch; ++i) labels[i] = static_cast<std::int32_t>(i % classes);
  nn::Target target = std::span<const std::int32_t>(labels);
  if (nn::wants_logits(loss)) target = std::span<const float>(logits);

  std::vector<float> gradients(parameters.size());
  gradient(parameters.values(), features, target, gradients);  // warm-up; and binds what the program reads
  autodiff::Profile profile;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(250);
  do {
    gradient.program().run_profiled(profile);
  } while (std::chrono::steady_clock::now() < end);
  return profile;
}

void print(const ShowArguments& arguments) {
  namespace kernels = autodiff::kernels;
  Subject subject = read_subject(arguments.what, arguments.overrides);
  if (arguments.batch > 0) subject.batch = arguments.batch;
  use_device(arguments.device, false);
  autodiff::CompileOptions options;
  if (!arguments.backends.empty()) options.backends = kernels::parse_backends(arguments.backends);

  std::cout << layers(subject) << optimizers(subject);
  for (std::size_t i = 0; i < subject.losses.size(); ++i) {
    const nn::Loss& loss = subject.losses[i];
    nn::LossGradient gradient(subject.network, loss, subject.batch,
                              {.compile = options, .teachers = subject.teachers});
    const autodiff::Program& program = gradient.program();
    std::cout << text("\ntraining step ", nn::describe(loss), ", batch ", subject.batch, ": workspace ",
                      bytes_text(program.workspace_bytes()), ", ");
    std::cout << fmt::format("{:.0f} FLOPs ({:.0f} a sample)\n", program.flops(),
                             program.flops() / subject.batch);
    if (i > 0) continue;  // programs of other losses differ in their last steps only
    if (!device_text().empty()) {
      std::cout << "device " << device_text() << '\n';
    } else {
      std::cout << "backends " << kernels::describe(options.backends) << "; threads " << options.threads
                << '\n';
    }
    if (arguments.profile) {
      const autodiff::Profile times = profile(gradient, subject.network, loss, subject.parameters);
      std::cout << autodiff::table(program, &times);
    } else {
      std::cout << program;
    }
  }
}

}  // namespace

void add_show(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "show", "Show a model or an experiment: layers, the compiled training step, its memory.");
  const auto arguments = std::make_shared<ShowArguments>();
  command->add_option("WHAT", arguments->what, "a model.safetensors, or an experiment .toml")->required();
  command->add_option("--set", arguments->overrides, "change a value of the experiment")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--batch", arguments->batch, "samples a step; the experiment's, or 32, if not given")
      ->check(CLI::Range(1, 1000000));
  command->add_flag("--profile", arguments->profile,
                    "run the step on random samples and print the time of each op");
  command->add_option("--backends", arguments->backends,
                      "who is asked for a kernel, in this order, such as portable or blas,simd");
  add_device(*command, arguments->device);
  command->footer(
      "Examples:\n"
      "  ev3 show configs/digits.toml\n"
      "  ev3 show configs/distill-fixed.toml --set model.blocks=[16,16,16]\n"
      "  ev3 show model.safetensors --batch 128 --profile");
  command->callback([arguments] { print(*arguments); });
}

}  // namespace ev3::cli
