#include "ev3/cli/config_build.h"

#include <array>
#include <filesystem>
#include <optional>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/hash.h"
#include "datasets/load.h"
#include "datasets/split.h"
#include "ev3/cli/config_fields.h"

namespace ev3::cli {
namespace {

using autodiff::fail;
using datasets::Dataset;

struct Source {
  Dataset all;
  std::optional<Dataset> test;  // where the data bring one
};

Source load(const DataConfig& d) {
  const auto seed = static_cast<std::uint64_t>(d.seed);
  const datasets::PlaneOptions plane{.samples = d.samples, .noise = d.noise, .seed = seed};
  const datasets::LoadOptions file{
      .csv = {.label = d.label, .header = d.header, .separator = d.separator[0]}};
  switch (d.name) {
    case DataKind::digits:
      break;
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
    case DataKind::mnist:
      return {datasets::mnist(d.path, datasets::Part::train), datasets::mnist(d.path, datasets::Part::test)};
    case DataKind::file:
      if (d.test_path.empty()) return {datasets::load(d.path, file), {}};
      return {datasets::load(d.path, file), datasets::load(d.test_path, file)};
  }
  return {datasets::load("digits"), {}};
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
  }
  return nn::Mlp{.inputs = sample, .hidden = m.hidden, .classes = classes};
}

}  // namespace

ExperimentData load_data(const Experiment& experiment) {
  Source source = load(experiment.data);
  const Dataset& all = source.all;
  if (source.test && (source.test->sample() != all.sample() || source.test->classes > all.classes)) {
    fail("data: the test set has samples of shape ", source.test->sample(), " in ", source.test->classes,
         " classes, the others ", all.sample(), " in ", all.classes);
  }
  const PoolsConfig& p = experiment.pools;
  const std::vector<double> fractions{p.explore, p.shared ? 0 : p.assess, p.shared ? 0 : p.adapt, p.test};
  std::vector<int> sizes = datasets::pool_sizes(all.size(), fractions);
  const std::array<const char*, 4> names{"explore", "assess", "adapt", "test"};
  for (std::size_t i = 0; i < 4; ++i) {
    if (fractions[i] > 0 && sizes[i] == 0) {
      fail("pools.", names[i], ": ", fractions[i], " of ", all.size(),
           " samples is none; want a larger fraction");
    }
  }
  // An empty pool is not asked for: it is a copy of explore's (shared), or the data's own test set.
  std::vector<int> wanted;
  for (const int size : sizes) {
    if (size > 0) wanted.push_back(size);
  }
  const auto seed = autodiff::Seed{static_cast<std::uint64_t>(experiment.seed)}.stream("pools").value;
  const auto indices = datasets::split_indices(all, wanted, seed, p.stratified);

  ExperimentData data;
  const DataConfig& d = experiment.data;
  data.name = d.name == DataKind::file ? std::filesystem::path(d.path).filename().string()
                                       : Names<DataKind>::list.at(static_cast<std::size_t>(d.name));
  data.sample = all.sample();
  data.classes = all.classes;
  data.samples = all.size();
  std::size_t next = 0;
  const auto pool = [&](std::size_t i) {
    return sizes[i] > 0 ? datasets::take(all, indices[next++]) : Dataset{};
  };
  Pools pools{.explore = pool(0), .assess = pool(1), .adapt = pool(2), .batch = experiment.data.batch};
  if (p.shared) pools.assess = pools.adapt = pools.explore;
  data.test = source.test ? std::move(*source.test) : pool(3);
  if (source.test) data.samples += data.test.size();
  data.pool_sizes = {pools.explore.size(), pools.assess.size(), pools.adapt.size(), data.test.size()};
  const std::array<std::uint64_t, 2> parts{datasets::content_hash(all),
                                           source.test ? datasets::content_hash(data.test) : 0};
  data.hash = autodiff::fnv1a64(std::as_bytes(std::span(parts)));
  data.streams = make_streams(pools, {static_cast<std::uint64_t>(experiment.seed)});
  return data;
}

Settings settings(const Experiment& e, const ExperimentData& data) {
  const nn::Network net = network(e.model, data.sample, data.classes);
  nn::layout(net);
  return {.model = net,
          .losses = e.losses,
          .optimizers = e.optimizers,
          .explore = e.explore,
          .assess = e.assess,
          .adapt = e.adapt,
          .history_limit = e.history_limit,
          .seed = {static_cast<std::uint64_t>(e.seed)},
          .consume_check_batches = e.consume_check_batches};
}

}  // namespace ev3::cli
