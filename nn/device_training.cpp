// Samples kept on a device, training steps recorded once and played there, and evaluation. Somewhat long, as
// all three bind the same memory.
#include "nn/device_training.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace nn {

using autodiff::fail;
namespace kernels = autodiff::kernels;
namespace device = autodiff::kernels::device;

namespace {

template <class T>
kernels::DeviceMemory on_device(std::span<const T> values, const char* what) {
  kernels::DeviceMemory memory(values.size_bytes(), what);
  kernels::DeviceStream stream;
  stream.to_device(memory.data(), values.data(), values.size_bytes());
  stream.wait();
  return memory;
}

template <class T>
T* as(const kernels::DeviceMemory& memory) {
  return reinterpret_cast<T*>(memory.data());
}

}  // namespace

std::uint64_t DeviceSamples::next_number() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

DeviceSamples::DeviceSamples(std::span<const std::uint8_t> pixels, const autodiff::Shape& sample,
                             std::span<const float> table, std::span<const std::int32_t> classes)
    : data_(on_device(pixels, "the data set")),
      table_(on_device(table, "the data set")),
      classes_(on_device(classes, "the data set")) {
  const bool is_image = sample.rank() == 3;
  images_ = {.pixels = as<unsigned char>(data_),
             .table = as<float>(table_),
             .height = is_image ? sample[0] : 1,
             .width = is_image ? sample[1] : static_cast<int>(sample.size()),
             .channels = is_image ? sample[2] : 1};
}

DeviceSamples::DeviceSamples(std::span<const float> rows, std::size_t width,
                             std::span<const std::int32_t> classes)
    : data_(on_device(rows, "the data set")), classes_(on_device(classes, "the data set")), width_(width) {}

void DeviceSamples::gather(const device::Sample* samples, const int* step, int batch, float* features,
                           std::int32_t* labels) const {
  const device::Drawn drawn{samples, step, batch};
  const device::Labels with{as<int>(classes_), labels};
  if (width_) {
    device::gather_rows(as<float>(data_), width_, drawn, features, with);
  } else {
    device::gather_images(images_, drawn, features, with);
  }
}

DeviceTrainer::DeviceTrainer(LossGradient gradient, const Optimizer& optimizer,
                             const DeviceTrainerOptions& options)
    : gradient_(std::move(gradient)), optimizer_(optimizer), options_(options) {
  check(optimizer);
  const LossGradient::Shared& s = *gradient_.shared_;
  const std::size_t n = s.layout->size(), bytes = n * sizeof(float), rows = static_cast<std::size_t>(s.batch);
  parameters_ = Memory(bytes, "parameters");
  gradients_ = Memory(bytes, "gradients");
  statistics_ = Memory(bytes, "statistics");
  if (options_.decay_from_start) start_ = Memory(bytes, "parameters");
  if (moment_count(optimizer) > 0) first_ = Memory(bytes, "moments");
  if (moment_count(optimizer) > 1) second_ = Memory(bytes, "moments");
  std::vector<unsigned char> marks(n);
  for (const ParameterInfo& info : s.layout->entries()) {
    if (info.kind == Kind::statistic)
      std::fill_n(marks.begin() + static_cast<std::ptrdiff_t>(info.offset), info.shape.size(),
                  std::uint8_t{1});
  }
  is_statistic_ = on_device(std::span<const unsigned char>(marks), "parameters");
  features_ = Memory(s.features.shape().size() * sizeof(float), "a batch");
  if (s.labels.valid()) labels_ = Memory(rows * sizeof(std::int32_t), "a batch");
  if (s.logits.valid() && !s.teacher) logits_ = Memory(s.logits.shape().size() * sizeof(float), "a batch");
  if (s.teacher) teacher_ = on_device(std::span<const float>(s.teacher->parameters.values()), "a teacher");
  samples_ = Memory(steps_at_once * rows * sizeof(device::Sample), "a batch");
  if (s.dropout_keys.valid()) {
    dropout_keys_ = Memory(rows * sizeof(std::int32_t), "a batch");
    all_keys_ = Memory(steps_at_once * rows * sizeof(std::int32_t), "a batch");
    keys_staged_ = kernels::PinnedMemory(steps_at_once * rows * sizeof(std::int32_t));
  }
  scalars_ = Memory(steps_at_once * sizeof(kernels::UpdateScalars), "an optimizer");
  scalars_staged_ = kernels::PinnedMemory(steps_at_once * sizeof(kernels::UpdateScalars));
  losses_ = Memory(steps_at_once * sizeof(float), "losses");
  step_ = Memory(sizeof(int), "a counter");
  bind();
}

void DeviceTrainer::bind() {
  const LossGradient::Shared& s = *gradient_.shared_;
  autodiff::Program& program = gradient_.program();
  if (program.plan().fixed_stages > 0)
    fail("training: want a gradient that was compiled without parameters_stay, since they change");
  for (const auto& slot : s.parameters)
    program.bind_on_device(slot.value, as<float>(parameters_) + slot.offset);
  for (const auto& slot : s.gradients)
    program.write_on_device(slot.value, as<float>(gradients_) + slot.offset);
  for (const auto& slot : s.statistics)
    program.write_on_device(slot.value, as<float>(statistics_) + slot.offset);
  for (const auto& slot : s.teacher_parameters)
    program.bind_on_device(slot.value, as<float>(teacher_) + slot.offset);
  program.bind_on_device(s.features, features_.data());
  if (s.labels.valid()) program.bind_on_device(s.labels, labels_.data());
  if (logits_.size()) program.bind_on_device(s.logits, logits_.data());
  if (s.dropout_keys.valid()) program.bind_on_device(s.dropout_keys, dropout_keys_.data());
}

void DeviceTrainer::begin(std::span<const float> parameters, const OptimizerState& state) {
  if (parameters.size() != gradient_.layout().size()) {
    fail("training: want ", gradient_.layout().size(), " parameters, got ", parameters.size());
  }
  stream_.to_device(parameters_.data(), parameters.data(), parameters.size_bytes());
  if (start_.size()) stream_.copy(start_.data(), parameters_.data(), start_.size());
  const Memory* moments[] = {&first_, &second_};
  for (std::size_t k = 0; k < state.moments.size(); ++k) {
    stream_.to_device(moments[k]->data(), state.moments[k].data(), moments[k]->size());
  }
  stream_.zero(step_.data(), step_.size());
  stream_.wait();
  updates_ = state.step;
  pending_ = 0;
  if (!warm_) {  // libraries make themselves ready at the first call, which cannot be recorded
    stream_.enqueue([&] { gradient_.program().enqueue(); });
    stream_.wait();
    warm_ = true;
  }
}

void DeviceTrainer::end(std::span<float> parameters, OptimizerState& state) {
  stream_.to_host(parameters.data(), parameters_.data(), parameters.size_bytes());
  const Memory* moments[] = {&first_, &second_};
  for (std::size_t k = 0; k < state.moments.size(); ++k) {
    stream_.to_host(state.moments[k].data(), moments[k]->data(), moments[k]->size());
  }
  state.step = updates_;
}

// Puts what step `number` of the run, the `slot`-th since finish(), wants beside its batch where it will be
// sent from.
void DeviceTrainer::prepare(int slot, std::int64_t number) {
  auto* scalars = reinterpret_cast<kernels::UpdateScalars*>(scalars_staged_.data());
  scalars[slot] = update_scalars(optimizer_, updates_++);
  if (!keys_staged_.size()) return;
  const autodiff::Random random(options_.noise);
  const auto batch = static_cast<std::size_t>(gradient_.batch());
  auto* keys = reinterpret_cast<std::int32_t*>(keys_staged_.data()) + static_cast<std::size_t>(slot) * batch;
  const std::uint64_t first = static_cast<std::uint64_t>(number) * batch;
  for (std::size_t i = 0; i < batch; ++i) keys[i] = static_cast<std::int32_t>(random.bits(first + i));
}

// All that comes after the batch.
void DeviceTrainer::enqueue_step() {
  const auto* step = as<int>(step_);
  const auto rows = static_cast<std::size_t>(gradient_.batch());
  if (all_keys_.size()) device::take_row(as<int>(all_keys_), rows, step, as<int>(dropout_keys_));
  gradient_.program().enqueue();
  const std::size_t n = gradient_.layout().size();
  if (options_.clip_norm) device::clip_by_norm(as<float>(gradients_), n, *options_.clip_norm);
  const std::byte* loss = gradient_.program().on_device(gradient_.shared_->loss);
  device::update(update_dims(optimizer_, n), as<kernels::UpdateScalars>(scalars_),
                 {.gradient = as<float>(gradients_),
                  .decay_from = as<float>(start_.size() ? start_ : parameters_),
                  .statistics = as<float>(statistics_),
                  .is_statistic = as<unsigned char>(is_statistic_),
                  .parameters = as<float>(parameters_),
                  .first_moments = as<float>(first_),
                  .second_moments = as<float>(second_)},
                 {reinterpret_cast<const float*>(loss), as<float>(losses_), as<int>(step_)});
}

void DeviceTrainer::run(const DeviceSamples& data, std::span<const device::Sample> drawn,
                        std::int64_t first_number, std::span<float> losses) {
  const int batch = gradient_.batch(), steps = static_cast<int>(losses.size());
  if (steps > steps_at_once || drawn.size() != losses.size() * static_cast<std::size_t>(batch) ||
      logits_.size()) {
    fail("training: want at most ", steps_at_once, " steps of ", batch, " samples with classes, got ", steps,
         " and ", drawn.size(), " samples");
  }
  for (int k = 0; k < steps; ++k) prepare(k, first_number + k);
  stream_.to_device(samples_.data(), drawn.data(), drawn.size_bytes());
  stream_.to_device(scalars_.data(), scalars_staged_.data(),
                    static_cast<std::size_t>(steps) * sizeof(kernels::UpdateScalars));
  stream_.to_device(all_keys_.data(), keys_staged_.data(), keys_staged_.size());
  if (recorded_for_ != data.number()) gathering_ = {};
  recorded_for_ = data.number();
  gathering_.play(stream_, steps, [&] {
    data.gather(as<device::Sample>(samples_), as<int>(step_), batch, as<float>(features_),
                as<std::int32_t>(labels_));
    enqueue_step();
  });
  pending_ = steps;
  finish(losses);
}

void DeviceTrainer::start(std::span<const float> features, const Target& target, std::int64_t number) {
  const LossGradient::Shared& s = *gradient_.shared_;
  if (features.size_bytes() != features_.size() || target.labels.size_bytes() < labels_.size() ||
      target.logits.size_bytes() < logits_.size()) {
    fail("training: want a batch of ", s.batch, " samples with what the loss compares them with, got ",
         features.size(), " numbers, ", target.labels.size(), " labels and ", target.logits.size(),
         " logits");
  }
  if (pending_ == steps_at_once) fail("training: want finish() after ", steps_at_once, " steps");
  // Two places to send from: one is filled while the other one is read.
  const std::size_t bytes = features_.size() + labels_.size() + logits_.size();
  if (!staged_.size()) staged_ = kernels::PinnedMemory(2 * bytes);
  const int slot = pending_ % 2;
  if (pending_ >= 2) stream_.wait_for(slot);
  std::byte* from = staged_.data() + static_cast<std::size_t>(slot) * bytes;
  const auto send = [&](const Memory& to, const void* values) {
    if (!to.size()) return;
    std::memcpy(from, values, to.size());
    stream_.to_device(to.data(), from, to.size());
    from += to.size();
  };
  send(features_, features.data());
  send(labels_, target.labels.data());
  send(logits_, target.logits.data());
  stream_.mark(slot);
  prepare(pending_, number);
  const auto at = static_cast<std::size_t>(pending_);
  constexpr std::size_t width = sizeof(kernels::UpdateScalars);
  stream_.to_device(scalars_.data() + at * width, scalars_staged_.data() + at * width, width);
  if (all_keys_.size()) {
    const std::size_t row = static_cast<std::size_t>(s.batch) * sizeof(std::int32_t);
    stream_.to_device(all_keys_.data() + at * row, keys_staged_.data() + at * row, row);
  }
  if (plain_.empty()) plain_ = stream_.record([&] { enqueue_step(); });
  stream_.play(plain_);
  ++pending_;
}

void DeviceTrainer::finish(std::span<float> losses) {
  if (static_cast<int>(losses.size()) != pending_)
    fail("training: ", pending_, " steps were started, not ", losses.size());
  stream_.to_host(losses.data(), losses_.data(), losses.size_bytes());
  stream_.zero(step_.data(), step_.size());
  stream_.wait();
  pending_ = 0;
}

DeviceEvaluator::DeviceEvaluator(const Network& net, int batch)
    : evaluator_(net, batch, {.device = autodiff::kernels::Device::cuda}),
      parameters_(evaluator_.shared_->layout->size() * sizeof(float), "parameters"),
      features_(evaluator_.shared_->features.shape().size() * sizeof(float), "a batch"),
      step_(sizeof(int), "a counter") {
  const Evaluator::Shared& s = *evaluator_.shared_;
  for (std::size_t i = 0; i < s.parameters.size(); ++i) {
    evaluator_.program_.bind_on_device(s.parameters[i],
                                       as<float>(parameters_) + s.layout->entries()[i].offset);
  }
  evaluator_.program_.bind_on_device(s.features, features_.data());
}

void DeviceEvaluator::run(std::span<const float> parameters, const DeviceSamples& data,
                          std::span<const device::Sample> drawn, std::span<float> outputs) {
  const Evaluator::Shared& s = *evaluator_.shared_;
  const int batch = evaluator_.samples();
  const auto rows = static_cast<std::size_t>(batch), width = s.outputs.shape().size();
  const std::size_t steps = rows ? drawn.size() / rows : 0;
  if (steps * rows != drawn.size() || outputs.size() != steps * width ||
      parameters.size_bytes() != parameters_.size()) {
    fail("evaluate: want whole batches of ", batch, " samples and room for their outputs, got ", drawn.size(),
         " samples, ", outputs.size(), " outputs and ", parameters.size(), " parameters");
  }
  if (samples_.size() < drawn.size_bytes()) {
    samples_ = Memory(drawn.size_bytes(), "samples");
    outputs_ = Memory(outputs.size_bytes(), "outputs");
    recorded_for_ = 0;
  }
  stream_.to_device(parameters_.data(), parameters.data(), parameters.size_bytes());
  stream_.to_device(samples_.data(), drawn.data(), drawn.size_bytes());
  stream_.zero(step_.data(), step_.size());
  stream_.enqueue([&] { evaluator_.program_.enqueue_fixed(); });
  const auto enqueue = [&] {
    data.gather(as<device::Sample>(samples_), as<int>(step_), batch, as<float>(features_), nullptr);
    evaluator_.program_.enqueue();
    const std::byte* from = evaluator_.program_.on_device(s.outputs);
    device::end_batch(reinterpret_cast<const float*>(from), width, as<float>(outputs_), as<int>(step_));
  };
  if (recorded_for_ != data.number()) {
    stream_.enqueue(enqueue);  // libraries make themselves ready at the first call, which cannot be recorded
    stream_.zero(step_.data(), step_.size());
    recording_ = {};
    recorded_for_ = data.number();
  }
  recording_.play(stream_, static_cast<int>(steps), enqueue);
  stream_.to_host(outputs.data(), outputs_.data(), outputs.size_bytes());
}

}  // namespace nn
