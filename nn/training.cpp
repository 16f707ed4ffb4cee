#include "nn/training.h"

#include <algorithm>

#include "autodiff/graph/ops.h"

namespace nn {

using autodiff::fail;

// The teacher's logits on the same features, as part of the same graph: it runs in the same stages.
void LossGradient::add_teacher(Shared& shared, const Network& net, const Loss& loss,
                               const Teachers& teachers) {
  const int number = *teacher_of(loss);
  if (number >= static_cast<int>(teachers.size())) {
    fail("training: the loss '", describe(loss), "' wants teacher ", number, ", but there are ",
         teachers.size());
  }
  shared.teacher = teachers[static_cast<std::size_t>(number)];
  const Teacher& teacher = *shared.teacher;
  if (input_shape(teacher.network).size() != input_shape(net).size() ||
      classes(teacher.network) != classes(net)) {
    fail("training: teacher ", number, ", ", describe(teacher.network), ", has inputs ",
         input_shape(teacher.network), " and ", classes(teacher.network), " classes; want those of ",
         describe(net), ": ", input_shape(net), " and ", classes(net));
  }
  const GraphParameters parameters(shared.graph, teacher.parameters.layout());
  for (std::size_t i = 0; i < parameters.values().size(); ++i) {
    const ParameterInfo& info = teacher.parameters.layout().entries()[i];
    shared.teacher_parameters.push_back({parameters.values()[i], info.offset, info.shape.size()});
  }
  shared.logits = forward(teacher.network, parameters, shared.features);
}

std::shared_ptr<const LossGradient::Shared> LossGradient::build(const Network& net, const Loss& loss,
                                                                int batch, const Teachers& teachers) {
  if (batch < 1) fail("training: want a batch of at least 1, got ", batch);
  check(loss);
  auto shared = std::make_shared<Shared>();
  shared->layout = nn::layout(net);
  shared->batch = batch;
  shared->classes = classes(net);
  autodiff::Graph& g = shared->graph;
  shared->features = g.input(input_shape(net).batched(batch), "features");
  if (wants_labels(loss)) shared->labels = g.labels(batch);
  if (wants_logits(loss)) shared->logits = g.input({batch, classes(net)}, "teacher logits");
  if (teacher_of(loss)) add_teacher(*shared, net, loss, teachers);
  const GraphParameters parameters(g, *shared->layout);
  std::vector<autodiff::Value> trainable;
  for (std::size_t i = 0; i < parameters.values().size(); ++i) {
    const ParameterInfo& info = shared->layout->entries()[i];
    const Slot slot{parameters.values()[i], info.offset, info.shape.size()};
    shared->parameters.push_back(slot);
    if (info.kind != Kind::trainable) continue;
    shared->gradients.push_back(slot);
    trainable.push_back(slot.value);
  }
  Pass pass{.training = true};
  const autodiff::Value outputs = forward(net, parameters, shared->features, pass);
  shared->loss = mean_loss(loss, outputs, {shared->labels, shared->logits});
  const std::vector<autodiff::Value> gradients = autodiff::gradient(shared->loss, trainable);
  for (std::size_t i = 0; i < gradients.size(); ++i) shared->gradients[i].value = gradients[i];
  shared->dropout_keys = pass.dropout_keys;
  for (const auto& [name, value] : pass.statistics) {
    const ParameterInfo& info = shared->layout->find(name);
    shared->statistics.push_back({value, info.offset, info.shape.size()});
  }
  return shared;
}

autodiff::Program LossGradient::compiled(const Shared& shared, const autodiff::CompileOptions& options) {
  std::vector<autodiff::Value> outputs{shared.loss};
  for (const Slot& slot : shared.gradients) outputs.push_back(slot.value);
  for (const Slot& slot : shared.statistics) outputs.push_back(slot.value);
  return autodiff::compile(shared.graph, outputs, options);
}

LossGradient::LossGradient(const Network& net, const Loss& loss, int batch, const GradientOptions& options)
    : shared_(build(net, loss, batch, options.teachers)),
      program_(compiled(*shared_, options.compile)),
      dropout_keys_(shared_->dropout_keys.valid() ? static_cast<std::size_t>(batch) : 0) {}

void LossGradient::bind(std::span<const float> parameters, std::span<float> gradient) {
  const Shared& s = *shared_;
  for (const Slot& slot : s.parameters) program_.bind(slot.value, parameters.subspan(slot.offset, slot.size));
  for (const Slot& slot : s.gradients)
    program_.write_to(slot.value, gradient.subspan(slot.offset, slot.size));
  for (const Slot& slot : s.teacher_parameters) {
    program_.bind(slot.value, s.teacher->parameters.values().subspan(slot.offset, slot.size));
  }
  own_.stored.assign(1, {});
  for (const auto& [value, first, size] : s.gradients) {
    const auto parameter = std::ranges::find(s.parameters, first, &Slot::offset)->value;
    own_.stored.back().size = first - own_.stored.back().first;
    if (program_.update_by(value, parameter, first)) own_.stored.push_back({first + size, 0});
  }
  own_.stored.back().size = gradient.size() - own_.stored.back().first;
  own_.bound_parameters = parameters.data();
  own_.bound_gradient = gradient.data();
}

float LossGradient::operator()(std::span<const float> parameters, std::span<const float> features,
                               const Target& target, std::span<float> gradient, const Noise& noise) {
  return run(parameters, features, target, gradient, noise, nullptr);
}

float LossGradient::step(const Update& update, std::span<const float> features, const Target& target,
                         const Noise& noise) {
  const std::span<float> parameters = update.parameters;
  if (own_.gradient.size() == 0) own_.gradient = autodiff::AlignedBuffer<float>(layout().size());
  const std::span<float> gradient = own_.gradient;
  const PartialUpdate partial(update.optimizer, update.state,
                              update.decay_from.empty() ? parameters : update.decay_from, parameters);
  // Large parameters are updated while their gradient is formed, where nobody wants the whole before.
  const bool meanwhile = !update.clip_norm && !divides(partial.all().dims.kind);
  const float loss = run(parameters, features, target, gradient, noise, meanwhile ? &partial.all() : nullptr);
  if (update.clip_norm) clip_by_norm(gradient, *update.clip_norm);
  if (meanwhile) {
    for (const auto [first, size] : own_.stored) partial(first, gradient.subspan(first, size));
  } else {
    partial(0, gradient);
  }
  ++update.state.step;
  update_statistics(parameters);
  return loss;
}

float LossGradient::run(std::span<const float> parameters, std::span<const float> features,
                        const Target& target, std::span<float> gradient, const Noise& noise,
                        const autodiff::kernels::ParameterUpdate* update) {
  const Shared& s = *shared_;
  if (parameters.size() != s.layout->size() || gradient.size() != s.layout->size()) {
    fail("training: want ", s.layout->size(), " parameters and as many gradients, got ", parameters.size(),
         " and ", gradient.size());
  }
  if (parameters.data() != own_.bound_parameters || gradient.data() != own_.bound_gradient) {
    bind(parameters, gradient);
  }
  program_.bind(s.features, features);
  if (s.labels.valid()) {
    check_labels(target.labels, s.classes, "training");
    program_.bind(s.labels, target.labels);
  }
  if (s.logits.valid() && !s.teacher) program_.bind(s.logits, target.logits);
  if (s.dropout_keys.valid()) {
    const autodiff::Random random(noise.seed);
    const std::uint64_t first = static_cast<std::uint64_t>(noise.step) * dropout_keys_.size();
    for (std::size_t i = 0; i < dropout_keys_.size(); ++i) {
      dropout_keys_[i] = static_cast<std::int32_t>(random.bits(first + i));
    }
    program_.bind(s.dropout_keys, std::span<const std::int32_t>(dropout_keys_));
  }
  update ? program_.run(*update) : program_.run();
  for (const ParameterInfo& info : s.layout->entries()) {
    if (info.kind == Kind::statistic) std::fill_n(gradient.data() + info.offset, info.shape.size(), 0.0f);
  }
  return program_.scalar(s.loss);
}

void LossGradient::update_statistics(std::span<float> parameters) const {
  for (const Slot& slot : shared_->statistics) {
    std::copy_n(program_.value(slot.value).data, slot.size, parameters.data() + slot.offset);
  }
}

TrainingStep::TrainingStep(const Network& net, const Loss& loss, const Optimizer& optimizer,
                           const TrainingOptions& options)
    : gradient_of_(net, loss, options.batch, {.compile = options.compile, .teachers = options.teachers}),
      optimizer_(optimizer),
      state_(initial_state(optimizer, gradient_of_.layout().size())),
      clip_norm_(options.clip_norm),
      seed_(options.seed) {
  check(optimizer);
  if (clip_norm_ && !(*clip_norm_ > 0)) fail("training: want a clip_norm above 0, got ", *clip_norm_);
}

float TrainingStep::run(Parameters& parameters, std::span<const float> features, const Target& target) {
  const Noise noise{.seed = seed_, .step = state_.step};
  return gradient_of_.step({optimizer_, state_, parameters.values(), {}, clip_norm_}, features, target,
                           noise);
}

}  // namespace nn
