// ev3 logits: what a model says of augmented batches of a data set, recorded for students to learn from.
#include <fmt/core.h>

#include <algorithm>
#include <memory>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/text.h"
#include "datasets/sample_reader.h"
#include "datasets/stream.h"
#include "ev3/cli/commands.h"
#include "ev3/cli/data_arguments.h"
#include "ev3/cli/device_option.h"
#include "ev3/cli/interrupt.h"
#include "ev3/cli/progress.h"
#include "ev3/cli/run_report.h"
#include "ev3/logits_writer.h"
#include "nn/evaluate.h"

namespace ev3::cli {
namespace {

using autodiff::fail;
using datasets::Dataset;

struct LogitsArguments {
  std::string model, out;
  DataArguments data{.what = {}, .fallback = "train"};
  int batches = 100, batch = 128, pad = 0;
  bool flip = false, overwrite = false, quiet = false;
  std::int64_t seed = 1;
  DeviceArguments device;
};

/// The bytes of a batch that was read with the scaling `unit`: v / 255 times 255 rounds back to v.
datasets::Pixels bytes_of(const autodiff::Tensor& features) {
  datasets::Pixels out(features.shape());
  std::transform(features.begin(), features.end(), out.begin(),
                 [](float x) { return static_cast<std::uint8_t>(x * 255 + 0.5f); });
  return out;
}

void check_fit(const LogitsArguments& a, const nn::ModelFile& model, const Dataset& data) {
  if (!data.is_bytes() || data.sample().rank() != 3) {
    fail("--data ", a.data.what,
         ": want images of bytes (MNIST, CIFAR, an .npz with uint8), as the file keeps them");
  }
  if (data.sample().size() != nn::input_shape(model.network).size() ||
      data.classes > nn::classes(model.network)) {
    fail(a.model, ": ", nn::describe(model.network), " wants samples ", nn::input_shape(model.network),
         " in ", nn::classes(model.network), " classes, but those of ", data.name, " are ", data.sample(),
         " in ", data.classes);
  }
  if (std::filesystem::exists(a.out) && !a.overwrite) {
    fail("-o ", a.out, ": the file is there already; name another one, or add --overwrite");
  }
}

void record(const LogitsArguments& a) {
  use_device(a.device, a.quiet);
  const nn::ModelFile model = nn::read_model(a.model);
  Dataset data = load_for(a.data, model, a.model);
  check_fit(a, model, data);
  const datasets::Scaling scaling = data.scaling;
  data.scaling = {};
  const datasets::Augmentation augmentation{.pad = a.pad, .flip = a.flip};
  const datasets::Stream batches(
      std::move(data),
      {.batch = a.batch, .seed = static_cast<std::uint64_t>(a.seed), .augmentation = augmentation});
  LogitsWriter writer(a.out, {.rows = a.batches * a.batch,
                              .sample = batches.data().sample(),
                              .classes = nn::classes(model.network),
                              .metadata = {{"teacher", nn::to_json(model.network)},
                                           {"scale", datasets::to_text(scaling)},
                                           {"content", autodiff::hex(datasets::content_hash(batches.data()))},
                                           {"augment", fmt::format("pad {} flip {}", a.pad, a.flip)},
                                           {"seed", std::to_string(a.seed)}}});
  Progress progress;
  const Interrupt interrupt(progress.stop);
  std::int64_t hits = 0;
  {
    ProgressBar bar(progress, ProgressBar::style(a.quiet), 1);
    bar.begin(1, a.batches, "");
    nn::Evaluator teacher(model.network, a.batch);
    teacher.load(model.parameters.values());
    datasets::Batch batch;
    std::vector<float> features(static_cast<std::size_t>(a.batch) * batches.data().sample().size());
    for (int k = 0; k < a.batches && !progress.stop; ++k, ++progress.steps) {
      batches.read(k, batch);
      const datasets::Pixels pixels = bytes_of(batch.features);
      const datasets::SampleReader reader(pixels.data(), batches.data().sample(), scaling,
                                          batches.data().name);
      for (std::size_t i = 0; i < batch.labels.size(); ++i) {
        reader.read(i, features.data() + i * reader.sample().size());
      }
      const std::span<const float> logits = teacher(features);
      const std::span<const std::int32_t> labels{batch.labels.data(), batch.labels.size()};
      hits += nn::evaluate({logits, nn::classes(model.network), labels}).hits;
      writer.append({pixels.data(), pixels.size()}, logits, labels);
    }
    bar.end();
  }
  if (progress.stop) {
    fmt::print(stderr, "ev3 logits: interrupted; nothing is left of {}\n", a.out);
    throw CLI::RuntimeError(interrupted);
  }
  writer.finish();
  const std::int64_t rows = std::int64_t{a.batches} * a.batch;
  fmt::print(
      "{0}  {1} rows of {2}, {3} right ({5:.3f})\nnext  {4} data {0}    {4} run CONFIG.toml --set "
      "data.logits={0}\n",
      a.out, grouped(rows), nn::describe(model.network), grouped(hits), program_name(),
      static_cast<double>(hits) / static_cast<double>(rows));
}

}  // namespace

void add_logits(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "logits", "Record a model's logits on augmented batches, for students to learn from");
  const auto a = std::make_shared<LogitsArguments>();
  command->add_option("MODEL", a->model, "the teacher: a model.safetensors")->required();
  command->add_option("--data", a->data.what, "a folder with MNIST's or CIFAR's files, or an .npz")
      ->required();
  add_data_options(*command, a->data);
  command->add_option("-o,--out", a->out, "the file to write (.safetensors)")->required();
  command->add_option("--batches", a->batches, "how many, 100 if not given")->check(CLI::Range(1, 10000000));
  command->add_option("--batch", a->batch, "samples of each, 128 if not given")->check(CLI::Range(1, 100000));
  command->add_option("--pad", a->pad, "random crops after padding by so many pixels")
      ->check(CLI::Range(0, 1000));
  command->add_flag("--flip", a->flip, "mirror half of the images");
  command->add_option("--seed", a->seed, "of order and augmentation, 1 if not given")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--overwrite", a->overwrite, "replace a file that is there");
  add_device(*command, a->device);
  command->add_flag("--quiet", a->quiet, "print the result only");
  command->footer(
      "The file holds the augmented images (`feature`), the logits (`label`) and the true classes "
      "(`class`).\n"
      "Example:\n"
      "  ev3 logits teacher.safetensors --data cifar-10-batches-bin --pad 4 --flip --batches 1000 -o "
      "teacher-logits.safetensors");
  command->callback([a] {
    if (static_cast<std::int64_t>(a->batches) * a->batch > 2147483647) {
      fail("--batches ", a->batches, " of ", a->batch, " samples: want at most 2^31 - 1 rows");
    }
    record(*a);
  });
}

}  // namespace ev3::cli
