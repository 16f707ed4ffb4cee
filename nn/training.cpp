#include "nn/training.h"

#include <algorithm>

#include "autodiff/graph/ops.h"

namespace nn {

using autodiff::fail;

std::shared_ptr<const LossGradient::Shared> LossGradient::build(const Network& net, const Loss& loss,
                                                                int batch) {
  if (batch < 1) fail("training: want a batch of at least 1, got ", batch);
  check(loss);
  auto shared = std::make_shared<Shared>();
  shared->layout = nn::layout(net);
  shared->batch = batch;
  autodiff::Graph& g = shared->graph;
  shared->features = g.input(input_shape(net).batched(batch), "features");
  shared->target = wants_logits(loss) ? g.input({batch, classes(net)}, "teacher logits") : g.labels(batch);
  const GraphParameters parameters(g, *shared->layout);
  shared->parameters.assign(parameters.values().begin(), parameters.values().end());
  shared->loss = mean_loss(loss, forward(net, parameters, shared->features), shared->target);
  shared->gradients = autodiff::gradient(shared->loss, shared->parameters);
  return shared;
}

autodiff::Program LossGradient::compiled(const Shared& shared, const autodiff::CompileOptions& options) {
  std::vector<autodiff::Value> outputs{shared.loss};
  outputs.insert(outputs.end(), shared.gradients.begin(), shared.gradients.end());
  return autodiff::compile(shared.graph, outputs, options);
}

LossGradient::LossGradient(const Network& net, const Loss& loss, int batch,
                           const autodiff::CompileOptions& options)
    : shared_(build(net, loss, batch)), program_(compiled(*shared_, options)) {}

float LossGradient::operator()(std::span<const float> parameters, std::span<const float> features,
                               const Target& target, std::span<float> gradient) {
  const Shared& s = *shared_;
  if (parameters.size() != s.layout->size() || gradient.size() != s.layout->size()) {
    fail("training: want ", s.layout->size(), " parameters and as many gradients, got ", parameters.size(),
         " and ", gradient.size());
  }
  if (parameters.data() != bound_.parameters || gradient.data() != bound_.gradient) {
    for (std::size_t i = 0; i < s.parameters.size(); ++i) {
      const ParameterInfo& info = s.layout->entries()[i];
      program_.bind(s.parameters[i], parameters.subspan(info.offset, info.shape.size()));
      program_.write_to(s.gradients[i], gradient.subspan(info.offset, info.shape.size()));
    }
    bound_.parameters = parameters.data();
    bound_.gradient = gradient.data();
  }
  program_.bind(s.features, features);
  std::visit([&](const auto& t) { program_.bind(s.target, t); }, target);
  program_.run();
  return program_.scalar(s.loss);
}

TrainingStep::TrainingStep(const Network& net, const Loss& loss, const Optimizer& optimizer,
                           const TrainingOptions& options)
    : gradient_of_(net, loss, options.batch, options.compile),
      optimizer_(optimizer),
      state_(initial_state(optimizer, gradient_of_.layout().size())),
      clip_norm_(options.clip_norm),
      gradient_(gradient_of_.layout().size()) {
  check(optimizer);
  if (clip_norm_ && !(*clip_norm_ > 0)) fail("training: want a clip_norm above 0, got ", *clip_norm_);
}

float TrainingStep::run(Parameters& parameters, std::span<const float> features, const Target& target) {
  const float loss = gradient_of_(parameters.values(), features, target, gradient_);
  if (clip_norm_) clip_by_norm(gradient_, *clip_norm_);
  update(optimizer_, state_, gradient_, parameters.values());
  return loss;
}

}  // namespace nn
