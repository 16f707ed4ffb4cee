#include "ev3/cli/config_read.h"

#include "autodiff/tensor/file.h"
#include "ev3/cli/config_check.h"

namespace ev3::cli {
namespace {

using autodiff::text;

// A number of any width; the range of the type is one of its limits.
template <class T>
void read_whole(const Place& place, T& out, const Range& range) {
  if (!place.node.is_integer()) place.want("a whole number", words(range));
  const std::int64_t value = place.node.value_or(std::int64_t{0});
  Range limits = range;
  if (std::is_same_v<T, int> && !std::isfinite(limits.most) && !std::in_range<T>(value)) {
    limits.most = std::numeric_limits<int>::max();
  }
  if (!inside(limits, static_cast<double>(value))) place.want("a whole number", words(limits));
  out = static_cast<T>(value);
}

template <class T>
void read_real(const Place& place, T& out, const Range& range) {
  const auto value = place.node.is_number() ? place.node.value<double>() : std::nullopt;
  if (!value || !inside(range, *value) || !std::isfinite(static_cast<T>(*value))) {
    place.want("a number", words(range));
  }
  out = static_cast<T>(*value);
}

bool has_batch_norm(const std::vector<nn::Layer>& layers) {
  return std::any_of(layers.begin(), layers.end(), [](const nn::Layer& layer) {
    const auto* residual = std::get_if<nn::Residual>(&layer.form);
    return std::holds_alternative<nn::BatchNorm>(layer.form) ||
           (residual && has_batch_norm(residual->layers));
  });
}

}  // namespace

void Reader::finish() const {
  const std::string prefix = place_.key.empty() ? "" : place_.key + '.';
  for (const auto& [key, value] : *place_.node.as_table()) {
    const std::string name(key.str());
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    const toml::source_region& place = key.source().begin.line ? key.source() : value.source();
    refuse(place, "unknown key ", autodiff::in_quotes(prefix + name), context_, ": ",
           autodiff::suggestion(name, known_));
  }
  if (!missing_.empty()) {
    refuse(place_.node.source(), "the key '", prefix, missing_, "' is missing", context_);
  }
}

void read(const Place& place, bool& out, const Range&) {
  if (!place.node.is_boolean()) place.want("true or false");
  out = *place.node.value<bool>();
}

void read(const Place& place, std::string& out, const Range&) {
  if (!place.node.is_string()) place.want("text in quotes");
  out = *place.node.value<std::string>();
}

void read(const Place& place, std::int64_t& out, const Range& range) { read_whole(place, out, range); }
void read(const Place& place, int& out, const Range& range) { read_whole(place, out, range); }
void read(const Place& place, double& out, const Range& range) { read_real(place, out, range); }
void read(const Place& place, float& out, const Range& range) { read_real(place, out, range); }

void read(const Place& place, nn::Schedule& out, const Range& range) {
  if (place.node.is_number()) {
    double value = 0;
    read(place, value, range);
    out = value;
    return;
  }
  if (!place.node.is_table())
    place.want("a number", words(range),
               " or a table such as {kind = \"cosine\", initial = 0.1, steps = 1000}");
  nn::Schedule::Form form;
  read(place, form, range);
  out = std::visit([](const auto& f) { return nn::Schedule(f); }, form);
}

void read(const Place& place, nn::Border& out, const Range& range) {
  const auto word = place.node.value<std::string>();
  if (word == "same") {
    out = nn::same;
  } else if (word == "valid") {
    out = nn::valid;
  } else if (place.node.is_string()) {
    place.want("\"same\", \"valid\" or a whole number", words(range));
  } else {
    read(place, out.zeros, range);
  }
}

void read(const Place& place, nn::Layer& out, const Range& range) { read(place, out.form, range); }

Experiment parse_experiment(std::string_view content, const std::string& where,
                            const std::vector<std::string>& overrides) {
  toml::table root = parse_toml(content, where);
  for (const std::string& assignment : overrides) override_value(root, assignment);
  Experiment experiment;
  if (const toml::node* profile = root.get("profile")) {
    read({*profile, "profile"}, experiment.profile, any);
    if (experiment.profile == Profile::reference) {
      Settings like;  // a network with batch norm has other defaults
      ModelConfig model;
      if (const toml::node* node = root.get("model")) read({*node, "model"}, model, any);
      if (is_resnet(model.family) || has_batch_norm(model.layers)) like.model = nn::ResNet{};
      const Settings defaults = reference_profile(like);
      experiment.explore = defaults.explore;
      experiment.adapt = defaults.adapt;
      experiment.consume_check_batches = defaults.consume_check_batches;
    }
  }
  read({root, ""}, experiment, any);
  if (experiment.profile == Profile::reference && is_resnet(experiment.model.family)) {
    Settings like;
    like.model = nn::ResNet{};
    like.adapt.growth = experiment.adapt.growth;
    experiment.adapt.growth = reference_profile(like).adapt.growth;
  }
  if (experiment.passes && !experiment.passes->archive) {
    const bool reference = experiment.profile == Profile::reference;
    experiment.passes->archive = reference ? ArchiveRule::reference : ArchiveRule::measured;
  }
  check(experiment, root);
  DataConfig& data = experiment.data;
  for (std::string* path : {&data.path, &data.test_path, &data.logits}) {
    if (!path->empty()) *path = std::filesystem::absolute(*path).lexically_normal().string();
  }
  for (std::string& teacher : experiment.teachers) {
    teacher = std::filesystem::absolute(teacher).lexically_normal().string();
  }
  return experiment;
}

Experiment read_experiment(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  return parse_experiment(autodiff::read_file(path), path.string(), overrides);
}

}  // namespace ev3::cli
