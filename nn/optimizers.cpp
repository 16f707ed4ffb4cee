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
using namespace autodiff::kernels;  // what happens to one element

// The arrays of one update, or of a part of the parameters.
struct Arrays {
  std::span<const float> g, decay_from;
  std::span<float> p, moments[2];

  Arrays part(std::size_t begin, std::size_t size) const {
    Arrays out{g.subspan(begin, size), decay_from.subspan(begin, size), p.subspan(begin, size), {}};
    for (std::size_t i = 0; i < 2; ++i) {
      if (!moments[i].empty()) out.moments[i] = moments[i].subspan(begin, size);
    }
    return out;
  }
};

void step(const Sgd& o, const Arrays& a, float lr, std::int64_t) {
  const std::size_t n = a.p.size();
  const float *g = a.g.data(), mu = o.momentum;
  float* p = a.p.data();
  if (mu == 0) {
    for (std::size_t i = 0; i < n; ++i) sgd_element(lr, g[i], p[i]);
    return;
  }
  float* v = a.moments[0].data();
  if (o.nesterov) {
    for (std::size_t i = 0; i < n; ++i) nesterov_element(lr, mu, g[i], v[i], p[i]);
  } else {
    for (std::size_t i = 0; i < n; ++i) momentum_element(lr, mu, g[i], v[i], p[i]);
  }
}

float unbiased(float b, std::int64_t t) {
  return static_cast<float>(1 / (1 - std::pow(static_cast<double>(b), static_cast<double>(t))));
}

void adam(const AdamW& o, const Arrays& a, float lr, std::int64_t t) {
  const autodiff::kernels::AdamwDims dims{.n = a.p.size(),
                                          .learning_rate = lr,
                                          .b1 = o.b1,
                                          .b2 = o.b2,
                                          .epsilon = o.epsilon,
                                          .weight_decay = o.weight_decay,
                                          .to_m = unbiased(o.b1, t),
                                          .to_v = unbiased(o.b2, t)};
  using autodiff::kernels::Backend;
  const Backend& backend =
      autodiff::kernels::choose(autodiff::kernels::default_backends(), &Backend::adamw, dims);
  backend.adamw.run(dims, a.g.data(), a.decay_from.data(), a.moments[0].data(), a.moments[1].data(),
                    a.p.data());
}

void step(const AdamW& o, const Arrays& a, float lr, std::int64_t t) { adam(o, a, lr, t); }

void step(const Adam& o, const Arrays& a, float lr, std::int64_t t) {
  adam({.learning_rate = 0, .b1 = o.b1, .b2 = o.b2, .epsilon = o.epsilon, .weight_decay = 0}, a, lr, t);
}

void step(const RmsProp& o, const Arrays& a, float lr, std::int64_t) {
  const std::size_t n = a.p.size();
  const float* g = a.g.data();
  float *p = a.p.data(), *v = a.moments[0].data(), *u = o.momentum == 0 ? nullptr : a.moments[1].data();
  for (std::size_t i = 0; i < n; ++i) {
    const float scaled = rmsprop_element(o.decay, o.epsilon, g[i], v[i]);
    if (u) u[i] = o.momentum * u[i] + scaled;
    p[i] -= lr * (u ? u[i] : scaled);
  }
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
  const auto lr = static_cast<float>(learning_rate(optimizer)(state.step));
  ++state.step;
  Arrays all{gradient, decay_from, parameters, {}};
  for (std::size_t i = 0; i < state.moments.size(); ++i) {
    all.moments[i] = {state.moments[i].data(), state.moments[i].size()};
  }
  const auto run = [&](const Arrays& arrays) {
    std::visit([&](const auto& o) { step(o, arrays, lr, state.step); }, optimizer);
  };
  constexpr std::size_t block = 64 << 10;  // on several threads where it is worth it
  const std::size_t n = parameters.size();
  if (n < 4 * block) return run(all);
  autodiff::kernels::parallel_for(static_cast<int>((n + block - 1) / block), [&](int b) {
    const std::size_t begin = static_cast<std::size_t>(b) * block;
    run(all.part(begin, std::min(block, n - begin)));
  });
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
  const UpdateDims d = update_dims(optimizer, 0);
  UpdateScalars out{.learning_rate = static_cast<float>(learning_rate(optimizer)(updates))};
  if (d.kind == UpdateDims::Kind::adamw) {
    out.to_m = unbiased(d.b1, updates + 1);
    out.to_v = unbiased(d.b2, updates + 1);
  }
  return out;
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
