#include "ev3/replay.h"

#include "autodiff/tensor/error.h"
#include "nn/model_file.h"

namespace ev3 {
namespace {

using autodiff::fail;
using autodiff::Shape;

// Recorded batches: feature [n, batch, sample...] and label [n, batch] classes or [n, batch, classes] logits.
class RecordedBatches final : public Batches {
 public:
  RecordedBatches(const nn::Safetensors& file, const std::string& phase, const nn::Network& net,
                  std::string where)
      : name_(phase), where_(std::move(where)), features_(file.tensor(phase + "/feature")) {
    const Shape& f = features_.shape();
    const auto samples = f.rank() < 2
                             ? 0
                             : f.size() / std::max<std::size_t>(1, static_cast<std::size_t>(f[0]) *
                                                                       static_cast<std::size_t>(f[1]));
    if (f.rank() < 3 || f.size() == 0 || samples != nn::input_shape(net).size()) {
      fail(where_, ": want ", phase, "/feature [n, batch, ...] with samples of shape ", nn::input_shape(net),
           ", got ", f);
    }
    const nn::SafetensorsEntry* label = file.find(phase + "/label");
    if (label && label->dtype == autodiff::DType::F32) {
      logits_ = file.tensor(phase + "/label", {f[0], f[1], nn::classes(net)});
      has_logits_ = true;
      return;
    }
    labels_ = file.labels(phase + "/label");
    if (labels_.shape() != Shape{f[0], f[1]}) {
      fail(where_, ": want ", phase, "/label of shape ", Shape{f[0], f[1]}, ", got ", labels_.shape());
    }
    for (const std::int32_t l : labels_) {
      if (l < 0 || l >= nn::classes(net)) {
        fail(where_, ": ", phase, "/label: want classes from 0 to ", nn::classes(net) - 1, ", got ", l);
      }
    }
  }

  bool has_logits() const { return has_logits_; }
  int batch() const override { return features_.shape()[1]; }
  BatchView read(std::int64_t k, datasets::Batch&) const override {
    if (k >= features_.shape()[0]) {
      fail(where_, ": the run wants ", name_, " batch ", k, ", but there are ", features_.shape()[0]);
    }
    BatchView view{slice<float>(features_, k), {}, {}};
    if (has_logits_) {
      view.logits = slice<float>(logits_, k);
    } else {
      view.labels = slice<std::int32_t>(labels_, k);
    }
    return view;
  }

 private:
  template <class T>
  static std::span<const T> slice(const autodiff::BasicTensor<T>& all, std::int64_t k) {
    const std::size_t size = all.size() / static_cast<std::size_t>(all.shape()[0]);
    return {all.data() + static_cast<std::size_t>(k) * size, size};
  }
  std::string name_, where_;
  autodiff::Tensor features_, logits_;
  autodiff::Labels labels_;
  bool has_logits_ = false;
};

// What leads to this plan.
Growth growth_of(const GrowthPlan& plan) {
  if (plan.kind == "widen") return Widen{.factor = plan.factor, .new_units = plan.new_units};
  if (plan.kind == "deepen") return Deepen{plan.layer};
  if (plan.kind == "deepen_stage") return DeepenStage{plan.stage};
  return DeepenAll{plan.morphism};
}

nn::Teachers read_teachers(const BundleSpec& spec, const nn::Safetensors& inputs) {
  nn::Teachers teachers;
  for (std::size_t j = 0; j < spec.teachers.size(); ++j) {
    const nn::Network& net = spec.teachers[j];
    teachers.push_back(std::make_shared<nn::Teacher>(
        nn::Teacher{net, nn::parameters_from(inputs, autodiff::text("teacher/", j, "/"), nn::layout(net))}));
  }
  return teachers;
}

// The state in which the recording starts.
EvolutionState start_state(const BundleSpec& spec, const nn::Safetensors& inputs, const std::string& where) {
  EvolutionState state;
  const auto layout = nn::layout(spec.settings.model);
  state.model.network = spec.settings.model;
  state.model.params = nn::parameters_from(inputs, "params/", layout);
  state.model.stable = spec.start ? nn::parameters_from(inputs, "stable/", layout) : state.model.params;
  state.model.history = History(spec.settings.history_limit);
  if (!spec.start) return state;
  for (const bool significant : spec.start->history) state.model.history.append({0, significant});
  const std::size_t count = spec.settings.losses.size() * spec.settings.optimizers.size();
  if (spec.start->optimizer_steps.size() != count) {
    fail(where, ": start: want ", count, " optimizer_steps, got ", spec.start->optimizer_steps.size());
  }
  for (std::size_t c = 0; c < count; ++c) {
    nn::OptimizerState optimizer = nn::initial_state(
        spec.settings.optimizers[c % spec.settings.optimizers.size()], state.model.params.size());
    optimizer.step = spec.start->optimizer_steps[c];
    for (std::size_t k = 0; k < optimizer.moments.size(); ++k) {
      const auto values = nn::parameters_from(inputs, autodiff::text("state/", c, "/", k, "/"), layout);
      std::copy(values.values().begin(), values.values().end(), optimizer.moments[k].begin());
    }
    state.optimizers.push_back(std::move(optimizer));
  }
  return state;
}

}  // namespace

void add_results(nn::SafetensorsWriter& results, int iteration, const StepRecord& record,
                 const std::vector<Candidate>& candidates, const Model& after) {
  const std::string at = std::to_string(iteration) + "/";
  const auto integer = [&](const char* name, int value) {
    results.add(at + name, autodiff::Labels({1}, {value}));
  };
  const auto all_bounds = [&](const char* phase, const std::vector<Bounds>& bounds) {
    std::vector<float> mean, lcb, ucb;
    for (const Bounds& b : bounds) {
      mean.push_back(static_cast<float>(b.mean));
      lcb.push_back(static_cast<float>(b.lcb));
      ucb.push_back(static_cast<float>(b.ucb));
    }
    const Shape shape{static_cast<int>(bounds.size())};
    results.add(at + phase + "/mean", std::span<const float>(mean), shape);
    results.add(at + phase + "/lcb", std::span<const float>(lcb), shape);
    results.add(at + phase + "/ucb", std::span<const float>(ucb), shape);
  };
  for (std::size_t c = 0; c < candidates.size(); ++c) {
    const std::string name = at + "explore/" + std::to_string(c);
    results.add(name + "/loss", std::span<const float>(candidates[c].losses),
                {static_cast<int>(candidates[c].losses.size())});
    nn::add_parameters(results, name + "/params/", candidates[c].params);
  }
  all_bounds("assess", record.assess.candidates);
  integer("assess/selected", record.assess.selected);
  all_bounds("adapt", record.adapt.bounds);
  integer("adapt/best", static_cast<int>(record.adapt.best));
  integer("adapt/significant", record.adapt.significant);
  integer("adapt/expanded", record.adapt.expanded);
  nn::add_parameters(results, at + "params/", after.params);
  nn::add_parameters(results, at + "stable/", after.stable);
}

ReplayOutcome replay(const std::filesystem::path& bundle,
                     const std::function<void(const StepRecord&)>& seen) {
  ReplayOutcome outcome{read_bundle_spec(bundle / "spec.json"), {}, {}};
  const BundleSpec& spec = outcome.spec;
  const std::filesystem::path path = bundle / "inputs.safetensors";
  const std::string where = path.string();
  const nn::Safetensors inputs = nn::Safetensors::read(path);
  const auto stream = [&](const char* phase) {
    return std::make_shared<RecordedBatches>(inputs, phase, spec.settings.model, where);
  };
  const auto explore = stream("explore"), assess = stream("assess"), adapt = stream("adapt");
  for (const nn::Loss& loss : spec.settings.losses) {
    if (nn::wants_logits(loss) && !explore->has_logits()) {
      fail(where, ": explore/label has classes, but the loss '", nn::describe(loss), "' wants logits");
    }
    if (nn::wants_labels(loss) && explore->has_logits()) {
      fail(where, ": explore/label has logits, but the loss '", nn::describe(loss), "' wants classes");
    }
  }
  if (assess->has_logits() || adapt->has_logits()) {
    fail(where, ": want classes as assess/label and adapt/label, got logits");
  }
  Settings settings = spec.settings;
  settings.teachers = read_teachers(spec, inputs);
  Evolution evolution(settings, Streams{explore, assess, adapt});
  evolution.restore(start_state(spec, inputs, where));

  struct Mismatch {
    std::string text;
  };
  const auto expansion_at = [&](int iteration) -> const BundleExpansion* {
    for (const BundleExpansion& e : spec.expansions) {
      if (e.iteration == iteration) return &e;
    }
    return nullptr;
  };
  evolution.set_grower([&](const Model& model, int iteration) {
    const BundleExpansion* e = expansion_at(iteration);
    if (!e)
      throw Mismatch{
          autodiff::text("iteration ", iteration, " expands, but the bundle has no expansion there")};
    const GrowthPlan own = plan(growth_of(e->plan), model.network, {});
    if (own.larger != e->plan.larger) {
      throw Mismatch{autodiff::text("iteration ", iteration, " expands to ", nn::describe(own.larger),
                                    ", but the bundle to ", nn::describe(e->plan.larger))};
    }
    return GrowthStep{
        own, nn::parameters_from(inputs, autodiff::text("fresh/", iteration, "/"), nn::layout(own.larger))};
  });
  try {
    for (int i = 0; i < spec.iterations; ++i) {
      const StepRecord record = evolution.step();
      add_results(outcome.results, i, record, evolution.candidates(), evolution.model());
      if (seen) seen(record);
      if (!record.adapt.expanded && expansion_at(i)) {
        throw Mismatch{
            autodiff::text("iteration ", i, " does not expand, but the bundle has an expansion there")};
      }
    }
  } catch (const Mismatch& mismatch) {
    outcome.mismatch = mismatch.text;
  }
  return outcome;
}

}  // namespace ev3
