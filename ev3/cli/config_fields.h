// Every key of a config, declared once: fields(visit, x) calls visit(key, member, range) for each member of
// x. Reading, writing and error messages all follow from it.
// Long, because it is one list.
#pragma once

#include <array>

#include "ev3/cli/config.h"
#include "nn/layer_fields.h"

namespace ev3::cli {

using nn::Range, nn::any, nn::above_zero, nn::share, nn::decay_rate, nn::at_least, nn::required;

/// What the alternatives of an enum or a variant are called, in their order.
template <class T>
struct Names;
template <>
struct Names<Family> {
  static constexpr std::array list{"mlp", "cnn", "resnet_cifar", "resnet_imagenet", "vit", "sequential"};
};
template <>
struct Names<nn::Layer::Form> {
  static constexpr auto list = nn::layer_kinds;
};
template <>
struct Names<Profile> {
  static constexpr std::array list{"standard", "reference"};
};
template <>
struct Names<DataKind> {
  static constexpr std::array list{"digits", "gaussian", "moons",   "spirals", "xor",
                                   "mnist",  "file",     "cifar10", "cifar100"};
};
template <>
struct Names<datasets::CifarLabels> {
  static constexpr std::array list{"fine", "coarse"};
};
template <>
struct Names<datasets::Scale> {
  static constexpr std::array list{"unit", "symmetric", "standardize"};
};
template <>
struct Names<RowOrder> {
  static constexpr std::array list{"windows", "shuffled"};
};
template <>
struct Names<datasets::Header> {
  static constexpr std::array list{"automatic", "yes", "no"};
};
template <>
struct Names<WeightDecayFrom> {
  static constexpr std::array list{"moving", "start"};
};
template <>
struct Names<AdaptRule> {
  static constexpr std::array list{"significance", "always_accept"};
};
template <>
struct Names<nn::Loss> {
  static constexpr std::array list{"cross_entropy", "distillation"};
};
template <>
struct Names<nn::Optimizer> {
  static constexpr std::array list{"sgd", "adam", "adamw", "rmsprop"};
};
template <>
struct Names<nn::Schedule::Form> {
  static constexpr std::array list{"constant", "step", "cosine", "warmup", "sequence"};
};
template <>
struct Names<Growth> {
  static constexpr std::array list{"widen", "deepen", "expand", "deepen_stage", "deepen_all"};
};
template <>
struct Names<NewUnits> {
  static constexpr std::array list{"outgoing_zero", "scale_zero"};
};
template <>
struct Names<PassStart> {
  static constexpr std::array list{"fresh", "smallest"};
};
template <>
struct Names<ArchiveRule> {
  static constexpr std::array list{"measured", "reference"};
};
template <>
struct Names<OptimizersAfterGrowth> {
  static constexpr std::array list{"restart", "carry"};
};
template <>
struct Names<nn::Divergence> {
  static constexpr std::array list{"reverse", "forward"};
};
template <>
struct Names<nn::TemperatureScale> {
  static constexpr std::array list{"tau", "tau_squared", "none"};
};

/// Images of bytes: which of them, how large, what a byte means, and a teacher's logits for others.
template <class Visit>
void image_fields(Visit& visit, DataConfig& d) {
  if (d.name != DataKind::file) {
    visit("samples", d.first, at_least(1));
    visit("test_samples", d.first_test, at_least(1));
  }
  if (d.name == DataKind::cifar100) visit("labels", d.granularity);
  visit("shrink", d.shrink, at_least(1));
  visit("scale", d.scaling.kind);
  if (d.scaling.kind == datasets::Scale::standardize) {
    const bool known = d.name == DataKind::cifar10 || d.name == DataKind::cifar100;
    if (known && d.scaling.mean.empty()) {
      d.scaling = d.name == DataKind::cifar10 ? datasets::cifar10_scaling() : datasets::cifar100_scaling();
    }
    visit("mean", d.scaling.mean, known ? any : required());
    visit("deviation", d.scaling.deviation, known ? above_zero : required(above_zero));
  }
  visit("logits", d.logits);
  if (!d.logits.empty()) visit("logits_order", d.logits_order);
}

template <class Visit>
void fields(Visit& visit, DataConfig& d) {
  visit("name", d.name);
  visit.among_keys_of("name", d.name);
  const bool plane =
      d.name == DataKind::moons || d.name == DataKind::spirals || d.name == DataKind::exclusive_or;
  if (d.name == DataKind::gaussian || plane) {
    visit("samples", d.samples, at_least(2));
    visit("seed", d.seed, at_least(0));
  }
  if (d.name == DataKind::gaussian) {
    visit("features", d.features, at_least(1));
    visit("labels", d.labels, at_least(2));
  }
  if (plane) visit("noise", d.noise, at_least(0));
  if (may_be_bytes(d.name)) visit("path", d.path, required());
  if (d.name == DataKind::file) {
    visit("test_path", d.test_path);
    visit("label", d.label);
    visit("header", d.header);
    visit("separator", d.separator);
  }
  if (may_be_bytes(d.name)) image_fields(visit, d);
  visit("batch", d.batch, at_least(1));
  visit("assess_batch", d.assess_batch, at_least(1));
  visit("adapt_batch", d.adapt_batch, at_least(1));
}

template <class Visit>
void fields(Visit& visit, datasets::Augmentation& a) {
  visit("pad", a.pad, at_least(0));
  visit("flip", a.flip);
}
template <class Visit>
void fields(Visit& visit, AugmentConfig& a) {
  visit("explore", a.explore);
  visit("assess", a.assess);
  visit("adapt", a.adapt);
}

template <class Visit>
void fields(Visit& visit, PoolsConfig& p) {
  visit("shared", p.shared);
  visit("explore", p.explore, share);
  if (!p.shared) {
    visit("assess", p.assess, share);
    visit("adapt", p.adapt, share);
  }
  visit("test", p.test, share);
  visit("stratified", p.stratified);
}

template <class Visit>
void fields(Visit& visit, ModelConfig& m) {
  visit("family", m.family);
  visit.among_keys_of("family", m.family);
  switch (m.family) {
    case Family::mlp:
      return visit("hidden", m.hidden, at_least(1));
    case Family::cnn:
      visit("stages", m.stages, at_least(1));
      return visit("hidden", m.dense, at_least(1));
    case Family::resnet_imagenet:
      visit("bottleneck", m.bottleneck);
      [[fallthrough]];
    case Family::resnet_cifar:
      visit("filters", m.filters, at_least(1));
      return visit("blocks", m.blocks, at_least(1));
    case Family::vit:
      visit("patch", m.vit.patch, at_least(1));
      visit("width", m.vit.width, at_least(1));
      visit("depth", m.vit.depth, at_least(1));
      visit("heads", m.vit.heads, at_least(1));
      return visit("mlp", m.vit.mlp, at_least(1));
    case Family::sequential:
      return visit("layer", m.layers, required());
  }
}

template <class Visit>
void fields(Visit& visit, nn::CrossEntropy& loss) {
  visit("multipliers", loss.multipliers, above_zero);
}
template <class Visit>
void fields(Visit& visit, nn::Distillation& loss) {
  visit("temperature", loss.temperature, above_zero);
  visit("divergence", loss.divergence);
  visit("scale", loss.scale);
  visit("hard_weight", loss.hard_weight, share);
  visit("teacher", loss.teacher, at_least(0));
}

template <class Visit>
void fields(Visit& visit, nn::Constant& s) {
  visit("value", s.value, required(at_least(0)));
}
template <class Visit>
void fields(Visit& visit, nn::StepDecay& s) {
  visit("initial", s.initial, required(at_least(0)));
  visit("factor", s.factor, required(at_least(0)));
  visit("every", s.every, required(at_least(1)));
}
template <class Visit>
void fields(Visit& visit, nn::Cosine& s) {
  visit("initial", s.initial, required(at_least(0)));
  visit("steps", s.steps, required(at_least(1)));
  visit("final", s.final, at_least(0));
}
template <class Visit>
void fields(Visit& visit, nn::Warmup& s) {
  visit("steps", s.steps, required(at_least(1)));
  if (s.then.empty()) s.then.emplace_back();
  visit("then", s.then.front(), required(at_least(0)));
}
template <class Visit>
void fields(Visit& visit, nn::Sequence& s) {
  visit("parts", s.parts, required(at_least(0)));
  visit("steps", s.steps, required(at_least(1)));
}

template <class Visit>
void fields(Visit& visit, nn::Sgd& o) {
  visit("learning_rate", o.learning_rate, at_least(0));
  visit("momentum", o.momentum, decay_rate);
  visit("nesterov", o.nesterov);
}
template <class Visit>
void fields(Visit& visit, nn::Adam& o) {
  visit("learning_rate", o.learning_rate, at_least(0));
  visit("b1", o.b1, decay_rate);
  visit("b2", o.b2, decay_rate);
  visit("epsilon", o.epsilon, above_zero);
}
template <class Visit>
void fields(Visit& visit, nn::AdamW& o) {
  visit("learning_rate", o.learning_rate, at_least(0));
  visit("b1", o.b1, decay_rate);
  visit("b2", o.b2, decay_rate);
  visit("epsilon", o.epsilon, above_zero);
  visit("weight_decay", o.weight_decay, at_least(0));
}
template <class Visit>
void fields(Visit& visit, nn::RmsProp& o) {
  visit("learning_rate", o.learning_rate, at_least(0));
  visit("decay", o.decay, decay_rate);
  visit("epsilon", o.epsilon, above_zero);
  visit("momentum", o.momentum, decay_rate);
}

template <class Visit>
void fields(Visit& visit, Widen& g) {
  visit("factor", g.factor, at_least(1));
  visit("new_units", g.new_units);
}
template <class Visit>
void fields(Visit& visit, DeepenStage& g) {
  visit("stage", g.stage, at_least(1));
}
template <class Visit>
void fields(Visit& visit, DeepenAll& g) {
  visit("morphism", g.morphism);
}
template <class Visit>
void fields(Visit& visit, Deepen& g) {
  visit("layer", g.layer, at_least(1));
}
template <class Visit>
void fields(Visit& visit, Expand& g) {
  visit("factor", g.factor, at_least(1));
}

template <class Visit>
void fields(Visit& visit, ExploreOptions& e) {
  visit("trajectory_length", e.trajectory_length, at_least(1));
  visit("trajectory_factor", e.trajectory_factor, above_zero);
  visit("weight_decay_from", e.weight_decay_from);
  visit("clip_norm", e.clip_norm, above_zero);
  visit("optimizers_after_growth", e.optimizers_after_growth);
}
template <class Visit>
void fields(Visit& visit, AssessOptions& a) {
  visit("batches", a.batches, at_least(1));
  visit("alpha", a.alpha, at_least(0));
}
template <class Visit>
void fields(Visit& visit, AdaptOptions& a) {
  visit("rule", a.rule);
  visit("batches", a.batches, at_least(1));
  visit("alpha", a.alpha, at_least(0));
  visit("rounds_before_growth", a.rounds_before_growth, at_least(0));
  visit("growth", a.growth);
  visit("max_parameters", a.max_parameters, at_least(1));
  visit("restart_without_growth", a.restart_without_growth);
}

template <class Visit>
void fields(Visit& visit, PassOptions& p) {
  visit("count", p.count, at_least(1));
  visit("start", p.start);
  visit("archive", p.archive);
  visit("largest_blocks", p.largest_blocks, at_least(1));
  visit("most_parameters", p.most_parameters, at_least(1));
  visit("rounds", p.rounds, at_least(1));
  visit("step_limit", p.step_limit, at_least(1));
}

/// Numbers and words come first, sections after them, as TOML wants it.
template <class Visit>
void fields(Visit& visit, Experiment& e) {
  visit("seed", e.seed, at_least(0));
  visit("rounds", e.rounds, at_least(1));
  visit("profile", e.profile);
  visit("history_limit", e.history_limit, at_least(-1));
  visit("consume_check_batches", e.consume_check_batches);
  visit("max_gradient_steps", e.max_gradient_steps, at_least(1));
  visit("teachers", e.teachers);
  visit("data", e.data);
  visit("augment", e.augment);
  visit("pools", e.pools);
  visit("model", e.model);
  visit("loss", e.losses);
  visit("optimizer", e.optimizers);
  visit("explore", e.explore);
  visit("assess", e.assess);
  visit("adapt", e.adapt);
  visit("passes", e.passes);
}

}  // namespace ev3::cli
