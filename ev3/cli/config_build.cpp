#include "ev3/cli/config_build.h"

#include <array>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/hash.h"
#include "datasets/load.h"
#include "datasets/sample_reader.h"
#include "datasets/shrink.h"
#include "datasets/split.h"
#include "ev3/cli/config_fields.h"
#include "nn/model_file.h"

namespace ev3::cli {
namespace {

using autodiff::fail;
using datasets::Dataset;

struct Source {
  Dataset all;
  std::optional<Dataset> test;  // where the data bring one
};

Dataset first_of(const Dataset& data, int count) {
  if (count > data.size()) {
    fail(data.name, ": want ", count, " samples, but there are only ", data.size());
  }
  std::vector<int> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return datasets::take(data, indices);
}

// One of the two parts of data that come with a test set.
Dataset load_part(const DataConfig& d, datasets::Part part) {
  const bool train = part == datasets::Part::train;
  const std::optional<int> count = train ? d.first : d.first_test;
  const datasets::CifarOptions cifar{.part = part, .labels = d.granularity, .samples = count.value_or(0)};
  const datasets::LoadOptions file{
      .csv = {.label = d.label, .header = d.header, .separator = d.separator[0]}};
  switch (d.name) {
    case DataKind::cifar10:
      return datasets::cifar10(d.path, cifar);
    case DataKind::cifar100:
      return datasets::cifar100(d.path, cifar);
    case DataKind::mnist: {
      Dataset data = datasets::mnist(d.path, part);
      return count ? first_of(data, *count) : data;
    }
    default:
      return datasets::load(train ? d.path : d.test_path, file);
  }
}

Dataset load_prepared(const DataConfig& d, datasets::Part part) {
  Dataset data = load_part(d, part);
  if (d.shrink > 1) data = datasets::shrink(data, d.shrink);
  data.scaling = d.scaling;
  const datasets::SampleReader refuses_what_cannot_be_scaled(data);
  return data;
}

Source load(const DataConfig& d) {
  const auto seed = static_cast<std::uint64_t>(d.seed);
  const datasets::PlaneOptions plane{.samples = d.samples, .noise = d.noise, .seed = seed};
  switch (d.name) {
    case DataKind::digits:
      return {datasets::load("digits"), {}};
    case DataKind::gaussian:
      return {datasets::gaussian(
                  {.samples = d.samples, .features = d.features, .labels = d.labels, .seed = seed}),
              {}};
    case DataKind::moons:
      return {datasets::moons(plane), {}};
    case DataKind::spirals:
      return {datasets::spirals(plane), {}};
    case DataKind::exclusive_or:
      return {datasets::exclusive_or(plane), {}};
    default:
      break;
  }
  Source out{load_prepared(d, datasets::Part::train), {}};
  if (has_test_set(d)) out.test = load_prepared(d, datasets::Part::test);
  return out;
}

nn::Network network(const ModelConfig& m, const autodiff::Shape& sample, int classes) {
  switch (m.family) {
    case Family::mlp:
      break;
    case Family::cnn:
      return nn::Cnn{.inputs = sample, .stages = m.stages, .hidden = m.dense, .classes = classes};
    case Family::resnet_cifar:
    case Family::resnet_imagenet:
      return nn::ResNet{
          .inputs = sample,
          .filters = m.filters,
          .blocks = m.blocks,
          .classes = classes,
          .form = m.family == Family::resnet_cifar ? nn::ResNet::Form::cifar : nn::ResNet::Form::imagenet,
          .bottleneck = m.bottleneck};
    case Family::vit: {
      nn::Vit net = m.vit;
      net.inputs = sample;
      net.classes = classes;
      return net;
    }
    case Family::sequential:
      return nn::Sequential{.inputs = sample, .layers = m.layers, .classes = classes};
  }
  return nn::Mlp{.inputs = sample, .hidden = m.hidden, .classes = classes};
}

// The teacher's file of data.logits, fit for the data that the other phases draw from.
std::shared_ptr<const LogitsFile> load_logits(const DataConfig& d, const Dataset& all) {
  if (d.logits.empty()) return {};
  auto file = std::make_shared<const LogitsFile>(d.logits);
  if (!all.is_bytes() || file->sample() != all.sample() || file->classes() != all.classes) {
    fail(d.logits, ": has images ", file->sample(), " of bytes and logits for ", file->classes(),
         " classes, but ", all.name, " has samples ", all.sample(), all.is_bytes() ? " of bytes" : "", " in ",
         all.classes, " classes");
  }
  return file;
}

// A model that losses learn from, fit for the data.
std::shared_ptr<const nn::Teacher> load_teacher(const std::string& path, const std::string& name,
                                                const autodiff::Shape& sample, int classes) {
  nn::ModelFile model = nn::read_model(path);
  if (nn::input_shape(model.network).size() != sample.size() || nn::classes(model.network) != classes) {
    fail("teacher ", path, ": ", nn::describe(model.network), " wants samples ",
         nn::input_shape(model.network), " in ", nn::classes(model.network), " classes, but those of ", name,
         " are ", sample, " in ", classes);
  }
  return std::make_shared<nn::Teacher>(nn::Teacher{model.network, std::move(model.parameters)});
}

// How many samples each pool gets: explore, assess, adapt, test. None: it is not asked for, because it is
// explore's (shared), comes from the teacher's file, or is the data's own test set.
std::vector<int> pool_sizes(const PoolsConfig& p, int n) {
  const std::vector<double> fractions{p.explore, p.shared ? 0 : p.assess, p.shared ? 0 : p.adapt, p.test};
  std::vector<int> sizes = datasets::pool_sizes(n, fractions);
  const std::array<const char*, 4> names{"explore", "assess", "adapt", "test"};
  for (std::size_t i = 0; i < 4; ++i) {
    if (fractions[i] > 0 && sizes[i] == 0) {
      fail("pools.", names[i], ": ", fractions[i], " of ", n, " samples is none; want a larger fraction");
    }
  }
  return sizes;
}

// The samples of each of the four pools.
std::array<std::vector<int>, 4> pools(const Experiment& experiment, const Dataset& all) {
  const PoolsConfig& p = experiment.pools;
  const std::vector<int> sizes = pool_sizes(p, all.size());
  std::vector<int> wanted;
  for (const int size : sizes) {
    if (size > 0) wanted.push_back(size);
  }
  const auto seed = autodiff::Seed{static_cast<std::uint64_t>(experiment.seed)}.stream("pools").value;
  auto indices = datasets::split_indices(all, wanted, seed, p.stratified);
  std::array<std::vector<int>, 4> out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    if (sizes[i] > 0) out[i] = std::move(indices[next++]);
  }
  if (p.shared) out[1] = out[2] = out[0];
  return out;
}

}  // namespace

ExperimentData load_data(const Experiment& experiment) {
  const DataConfig& d = experiment.data;
  Source source = load(d);
  const auto all = std::make_shared<const Dataset>(std::move(source.all));
  if (source.test && (source.test->sample() != all->sample() || source.test->classes > all->classes)) {
    fail("data: the test set has samples of shape ", source.test->sample(), " in ", source.test->classes,
         " classes, the others ", all->sample(), " in ", all->classes);
  }
  const auto logits = load_logits(d, *all);
  std::array<std::vector<int>, 4> samples = pools(experiment, *all);

  ExperimentData data;
  data.name = d.name == DataKind::file ? std::filesystem::path(d.path).filename().string()
                                       : Names<DataKind>::list.at(static_cast<std::size_t>(d.name));
  data.sample = all->sample();
  data.classes = all->classes;
  data.samples = all->size();
  data.test = source.test ? std::move(*source.test) : datasets::take(*all, samples[3]);
  if (source.test) data.samples += data.test.size();
  for (std::size_t i = 0; i < 3; ++i) data.pool_sizes[i] = static_cast<int>(samples[i].size());
  data.pool_sizes[3] = data.test.size();
  std::vector<std::uint64_t> parts{datasets::content_hash(*all),
                                   source.test ? datasets::content_hash(data.test) : 0};
  if (logits) {
    data.pool_sizes[0] = logits->rows();
    parts.push_back(logits->sampled_hash());
  }
  for (const std::string& path : experiment.teachers) {
    data.teachers.push_back(load_teacher(path, all->name, data.sample, data.classes));
    parts.push_back(autodiff::fnv1a64(std::as_bytes(data.teachers.back()->parameters.values())));
  }
  data.hash = autodiff::fnv1a64(std::as_bytes(std::span(parts)));

  const autodiff::Seed seed{static_cast<std::uint64_t>(experiment.seed)};
  const AugmentConfig& augment = experiment.augment;
  const auto stream = [&](std::size_t pool, const char* name, int batch,
                          const std::optional<datasets::Augmentation>& augmentation) {
    const datasets::StreamOptions options{.batch = batch,
                                          .seed = seed.stream(name).value,
                                          .augmentation = augmentation.value_or(datasets::Augmentation{})};
    return std::make_shared<PoolBatches>(datasets::Stream(all, std::move(samples[pool]), options));
  };
  data.streams.assess = stream(1, "assess", d.assess_batch.value_or(d.batch), augment.assess);
  data.streams.adapt = stream(2, "adapt", d.adapt_batch.value_or(d.batch), augment.adapt);
  if (!logits) {
    data.streams.explore = stream(0, "explore", d.batch, augment.explore);
    return data;
  }
  const LogitsOptions options{.batch = d.batch,
                              .seed = seed.stream("explore").value,
                              .order = d.logits_order,
                              .scaling = d.scaling,
                              .augmentation = augment.explore.value_or(datasets::Augmentation{})};
  data.streams.explore = std::make_shared<LogitsBatches>(logits, options);
  return data;
}

std::optional<ExperimentData> known_data(const Experiment& experiment) {
  const DataConfig& d = experiment.data;
  ExperimentData data;
  switch (d.name) {
    case DataKind::mnist:
      data.sample = {28 / d.shrink, 28 / d.shrink, 1};
      data.classes = 10;
      break;
    case DataKind::cifar10:
    case DataKind::cifar100:
      data.sample = {32 / d.shrink, 32 / d.shrink, 3};
      data.classes = d.name == DataKind::cifar10                      ? 10
                     : d.granularity == datasets::CifarLabels::coarse ? 20
                                                                      : 100;
      break;
    default:
      return {};
  }
  for (const std::string& path : experiment.teachers) {
    data.teachers.push_back(load_teacher(path, Names<DataKind>::list.at(static_cast<std::size_t>(d.name)),
                                         data.sample, data.classes));
  }
  return data;
}

Settings settings(const Experiment& e, const ExperimentData& data) {
  const nn::Network net = network(e.model, data.sample, data.classes);
  nn::layout(net);
  return {.model = net,
          .losses = e.losses,
          .optimizers = e.optimizers,
          .teachers = data.teachers,
          .explore = e.explore,
          .assess = e.assess,
          .adapt = e.adapt,
          .history_limit = e.history_limit,
          .seed = {static_cast<std::uint64_t>(e.seed)},
          .consume_check_batches = e.consume_check_batches,
          .max_gradient_steps = e.max_gradient_steps};
}

}  // namespace ev3::cli
