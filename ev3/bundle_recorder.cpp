#include "ev3/bundle_recorder.h"

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"
#include "ev3/replay.h"
#include "nn/model_file.h"

namespace ev3 {

using autodiff::fail;

BundleRecorder::BundleRecorder(const Evolution& before, std::string name)
    : spec_{.name = std::move(name),
            .what = "A recorded piece of a run of ev3.",
            .settings = before.settings(),
            .expansions = {},
            .start = {},
            .teachers = {},
            .tolerance = {}},
      explore_batch_(before.streams().explore->batch()),
      assess_batch_(before.streams().assess->batch()),
      adapt_batch_(before.streams().adapt->batch()) {
  if (spec_.settings.explore.clip_norm) fail("bundle: the format has no gradient clipping");
  if (spec_.settings.metric.name != nn::accuracy().name) {
    fail("bundle: the format has no metric but accuracy, got '", spec_.settings.metric.name, "'");
  }
  if (spec_.settings.adapt.restart_without_growth && !spec_.settings.adapt.growth &&
      spec_.settings.adapt.rounds_before_growth) {
    fail("bundle: the format has no restarts without growth");
  }
  if (spec_.settings.explore.optimizers_after_growth == OptimizersAfterGrowth::carry &&
      spec_.settings.adapt.growth) {
    fail("bundle: the format has no optimizers that are carried on after a growth");
  }
  if (nn::has_dropout(before.model().network)) fail("bundle: the format has no masks of dropout");
  if (!spec_.settings.adapt.growth) spec_.settings.adapt.rounds_before_growth.reset();
  for (const auto& teacher : spec_.settings.teachers) {
    nn::add_parameters(inputs_, autodiff::text("teacher/", spec_.teachers.size(), "/"), teacher->parameters);
    spec_.teachers.push_back(teacher->network);
  }
  // Another machine rounds differently, and training amplifies that from step to step.
  for (const char* kind : {"explore.loss", "explore.params", "params", "stable"})
    spec_.tolerance[kind] = 1e-4;
  const EvolutionState state = before.state();
  spec_.settings.model = state.model.network;
  (void)bundle_spec_text(spec_);  // refuses now what it would refuse at the end
  nn::add_parameters(inputs_, "params/", state.model.params);
  if (state.round == 0 || state.model.just_expanded) {
    if (state.model.params == state.model.stable) return;
  }
  BundleStart start;
  for (const HistoryEntry& entry : state.model.history.entries()) start.history.push_back(entry.significant);
  nn::add_parameters(inputs_, "stable/", state.model.stable);
  const std::size_t candidates = spec_.settings.losses.size() * spec_.settings.optimizers.size();
  for (std::size_t c = 0; c < candidates; ++c) {
    const nn::OptimizerState optimizer =
        state.optimizers.empty()
            ? nn::initial_state(spec_.settings.optimizers[c % spec_.settings.optimizers.size()],
                                state.model.params.size())
            : state.optimizers[c];
    start.optimizer_steps.push_back(optimizer.step);
    for (std::size_t k = 0; k < optimizer.moments.size(); ++k) {
      nn::Parameters moments(nn::layout(state.model.network));
      std::copy(optimizer.moments[k].begin(), optimizer.moments[k].end(), moments.values().begin());
      nn::add_parameters(inputs_, autodiff::text("state/", c, "/", k, "/"), moments);
    }
  }
  spec_.start = start;
}

void BundleRecorder::append(Phase& phase, const Batches& batches, std::int64_t first, std::int64_t count) {
  datasets::Batch buffer;
  for (std::int64_t k = first; k < first + count; ++k) {
    const BatchView batch = batches.read(k, buffer);
    phase.features.insert(phase.features.end(), batch.features.begin(), batch.features.end());
    phase.labels.insert(phase.labels.end(), batch.labels.begin(), batch.labels.end());
    phase.logits.insert(phase.logits.end(), batch.logits.begin(), batch.logits.end());
    ++phase.batches;
  }
}

void BundleRecorder::record(const Evolution& evolution, const StepRecord& record) {
  const Streams& streams = evolution.streams();
  const auto steps = static_cast<std::int64_t>(record.candidates.size()) * record.trajectory_length;
  append(explore_, *streams.explore, record.first_explore_batch, steps);
  append(assess_, *streams.assess, record.assess.first_batch, evolution.settings().assess.batches);
  append(adapt_, *streams.adapt, record.adapt.first_batch, record.adapt.batches_used);
  if (const auto& growth = evolution.growth()) {
    spec_.expansions.push_back({spec_.iterations, growth->plan});
    nn::add_parameters(inputs_, autodiff::text("fresh/", spec_.iterations, "/"), growth->fresh);
  }
  add_results(expected_, spec_.iterations, record, evolution.candidates(), evolution.model());
  ++spec_.iterations;
}

void BundleRecorder::write(const std::filesystem::path& folder) const {
  namespace fs = std::filesystem;
  if (spec_.iterations == 0) fail("bundle: no round was recorded");
  if (fs::exists(folder) && !(fs::is_directory(folder) && fs::is_empty(folder))) {
    fail(folder.string(), ": want a new or empty folder for the bundle");
  }
  nn::SafetensorsWriter inputs = inputs_;
  const auto add = [&](const std::string& name, const Phase& phase, int batch) {
    const autodiff::Shape samples =
        nn::input_shape(spec_.settings.model).batched(batch).batched(phase.batches);
    inputs.add(name + "/feature", std::span<const float>(phase.features), samples);
    if (phase.logits.empty()) {
      inputs.add(name + "/label", std::span<const std::int32_t>(phase.labels), {phase.batches, batch});
    } else {
      inputs.add(name + "/label", std::span<const float>(phase.logits),
                 {phase.batches, batch, nn::classes(spec_.settings.model)});
    }
  };
  add("explore", explore_, explore_batch_);
  add("assess", assess_, assess_batch_);
  add("adapt", adapt_, adapt_batch_);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(folder.string(), ": cannot make this folder: ", error.message());
  inputs.write(folder / "inputs.safetensors");
  expected_.write(folder / "expected.safetensors");
  autodiff::write_file(folder / "spec.json", bundle_spec_text(spec_));
}

}  // namespace ev3
