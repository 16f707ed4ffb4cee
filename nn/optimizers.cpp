#include "nn/optimizers.h"

#include <algorithm>
#include <cmath>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/parallel.h"
#include "autodiff/tensor/error.h"

namespace nn {
namespace {

using autodiff::fail;
using autodiff::text;
using autodiff::kernels::UpdateDims;
using autodiff::kernels::UpdateScalars;

float unbiased(float b, std::int64_t t) {
  return static_cast<float>(1 / (1 - std::pow(static_cast<double>(b), static_cast<double>(t))));
}

void want(const char* what, float value, bool good) {
  if (!good) fail("optimizer: ", what, " is out of range: ", value);
}

void want_fraction(const char* what, float value) { want(what, value, value >= 0 && value < 1); }

struct Check {
  void operator()(const Sgd& o) const {
    want_fraction("momentum (want 0 <= momentum < 1)", o.momentum);
    if (o.nesterov && o.momentum == 0) fail("optimizer: nesterov wants a momentum above 0");
  }
  void operator()(const AdamW& o) const {
    want_fraction("b1 (want 0 <= b1 < 1)", o.b1);
    want_fraction("b2 (want 0 <= b2 < 1)", o.b2);
    want("epsilon (want above 0)", o.epsilon, o.epsilon > 0 && std::isfinite(o.epsilon));
    want("weight_decay (want at least 0)", o.weight_decay,
         o.weight_decay >= 0 && std::isfinite(o.weight_decay));
  }
  void operator()(const Adam& o) const {
    (*this)(AdamW{.learning_rate = 0, .b1 = o.b1, .b2 = o.b2, .epsilon = o.epsilon, .weight_decay = 0});
  }
  void operator()(const RmsProp& o) const {
    want_fraction("decay (want 0 <= decay < 1)", o.decay);
    want_fraction("momentum (want 0 <= momentum < 1)", o.momentum);
    want("epsilon (want above 0)", o.epsilon, o.epsilon > 0 && std::isfinite(o.epsilon));
  }
};

UpdateScalars scalars(const Optimizer& optimizer, const UpdateDims& d, std::int64_t updates) {
  UpdateScalars out{.learning_rate = static_cast<float>(learning_rate(optimizer)(updates))};
  if (d.kind == UpdateDims::Kind::adamw) {
    out.to_m = unbiased(d.b1, updates + 1);
    out.to_v = unbiased(d.b2, updates + 1);
  }
  return out;
}

float* moments(OptimizerState& state, std::size_t which) {
  return which < state.moments.size() ? state.moments[which].data() : nullptr;
}

struct Describe {
  std::string operator()(const Sgd& o) const {
    return text("sgd ", describe(o.learning_rate),
                o.momentum == 0 ? "" : text(o.nesterov ? " n" : " m", o.momentum));
  }
  std::string operator()(const Adam& o) const { return "adam " + describe(o.learning_rate); }
  std::string operator()(const AdamW& o) const { return "adamw " + describe(o.learning_rate); }
  std::string operator()(const RmsProp& o) const { return "rmsprop " + describe(o.learning_rate); }
};

}  // namespace

std::string describe(const Optimizer& optimizer) { return std::visit(Describe{}, optimizer); }

const Schedule& learning_rate(const Optimizer& optimizer) {
  return std::visit([](const auto& o) -> const Schedule& { return o.learning_rate; }, optimizer);
}

void check(const Optimizer& optimizer) {
  learning_rate(optimizer).check();
  std::visit(Check{}, optimizer);
}

int moment_count(const Optimizer& optimizer) {
  if (const auto* sgd = std::get_if<Sgd>(&optimizer)) return sgd->momentum == 0 ? 0 : 1;
  if (const auto* rms = std::get_if<RmsProp>(&optimizer)) return rms->momentum == 0 ? 1 : 2;
  return 2;
}

OptimizerState initial_state(const Optimizer& optimizer, std::size_t size) {
  OptimizerState state;
  for (int i = 0; i < moment_count(optimizer); ++i) state.moments.emplace_back(size);
  return state;
}

void update(const Optimizer& optimizer, OptimizerState& state, std::span<const float> gradient,
            std::span<const float> decay_from, std::span<float> parameters) {
  PartialUpdate(optimizer, state, decay_from, parameters)(0, gradient);
  ++state.step;
}

UpdateDims update_dims(const Optimizer& optimizer, std::size_t size) {
  using Kind = UpdateDims::Kind;
  UpdateDims d{.n = size};
  const auto adam = [&](float b1, float b2, float epsilon, float weight_decay) {
    d.kind = Kind::adamw;
    d.b1 = b1, d.b2 = b2, d.epsilon = epsilon, d.weight_decay = weight_decay;
  };
  if (const auto* sgd = std::get_if<Sgd>(&optimizer)) {
    d.kind = sgd->momentum == 0 ? Kind::sgd : sgd->nesterov ? Kind::nesterov : Kind::momentum;
    d.momentum = sgd->momentum;
  } else if (const auto* rms = std::get_if<RmsProp>(&optimizer)) {
    d.kind = rms->momentum == 0 ? Kind::rmsprop : Kind::rmsprop_momentum;
    d.decay = rms->decay, d.epsilon = rms->epsilon, d.momentum = rms->momentum;
  } else if (const auto* a = std::get_if<Adam>(&optimizer)) {
    adam(a->b1, a->b2, a->epsilon, 0);
  } else if (const auto* w = std::get_if<AdamW>(&optimizer)) {
    adam(w->b1, w->b2, w->epsilon, w->weight_decay);
  }
  return d;
}

UpdateScalars update_scalars(const Optimizer& optimizer, std::int64_t updates) {
  return scalars(optimizer, update_dims(optimizer, 0), updates);
}

PartialUpdate::PartialUpdate(const Optimizer& optimizer, OptimizerState& state,
                             std::span<const float> decay_from, std::span<float> parameters)
    : all_{.dims = update_dims(optimizer, 0),
           .scalars = scalars(optimizer, all_.dims, state.step),
           .arrays = {decay_from.data(), moments(state, 0), moments(state, 1), parameters.data()}} {
  using autodiff::kernels::Backend;
  kernel_ = choose(autodiff::kernels::default_backends(), &Backend::update, all_.dims).update.run;
}

void PartialUpdate::operator()(std::size_t first, std::span<const float> gradient) const {
  constexpr std::size_t block = 64 << 10;
  const std::size_t n = gradient.size();
  const auto part = [&](std::size_t begin, std::size_t size) {
    UpdateDims dims = all_.dims;
    dims.n = size;
    kernel_(dims, all_.scalars, gradient.data() + begin, all_.arrays.at(first + begin));
  };
  if (n < 4 * block) return part(0, n);
  autodiff::kernels::parallel_for(static_cast<int>((n + block - 1) / block), [&](int b) {
    const std::size_t begin = static_cast<std::size_t>(b) * block;
    part(begin, std::min(block, n - begin));
  });
}

double norm(std::span<const float> x) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

double clip_by_norm(std::span<float> gradient, double most) {
  const double length = norm(gradient);
  if (length > most && std::isfinite(length)) {
    const auto factor = static_cast<float>(most / length);
    for (float& g : gradient) g *= factor;
  }
  return length;
}

}  // namespace nn
