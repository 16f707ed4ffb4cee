// EV3 written out a second time, for small networks, to compare the real one with.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "ev3/evolution.h"

/// Plain loops in double: one hidden layer, cross entropy with multipliers, SGD with momentum, accuracy.
class BruteForce {
 public:
  using Vector = std::vector<double>;
  using Bounds = ev3::Bounds;
  struct Step {
    std::vector<Vector> candidates;
    std::vector<Bounds> assess, adapt;
    std::size_t selected = 0, best = 0;
    bool significant = false;
  };

  BruteForce(const nn::Mlp& net, const nn::Parameters& params, ev3::Streams streams)
      : in_(static_cast<std::size_t>(net.inputs[0])),
        hidden_(static_cast<std::size_t>(net.hidden[0])),
        out_(static_cast<std::size_t>(net.classes)),
        current_(params.values().begin(), params.values().end()),
        stable_(current_),
        streams_(std::move(streams)) {}

  Step step(const std::vector<double>& multipliers, const std::vector<std::pair<double, double>>& sgd,
            int length, const ev3::AssessOptions& assess, const ev3::AdaptOptions& adapt) {
    Step s;
    velocity_.resize(multipliers.size() * sgd.size(), Vector(current_.size(), 0.0));
    for (const double t : multipliers) {
      for (const auto& [rate, momentum] : sgd) {
        Vector p = current_, &v = velocity_[s.candidates.size()];
        for (int k = 0; k < length; ++k) {
          const Vector g = gradient(p, t, read(*streams_.explore, explore_++, 1));
          for (std::size_t i = 0; i < p.size(); ++i) {
            v[i] = g[i] + momentum * v[i];
            p[i] -= rate * v[i];
          }
        }
        s.candidates.push_back(p);
      }
    }
    const Samples first = read(*streams_.assess, assess_, assess.batches);
    assess_ += assess.batches;
    for (const Vector& p : s.candidates) s.assess.push_back(accuracy_bounds(p, first, assess.alpha));
    s.selected = greatest(s.assess);
    const Samples second = read(*streams_.adapt, adapt_, adapt.batches);
    adapt_ += adapt.batches;
    const Vector choices[] = {s.candidates[s.selected], current_, stable_};
    for (const Vector& p : choices) s.adapt.push_back(accuracy_bounds(p, second, adapt.alpha));
    s.best = greatest(s.adapt);
    s.significant = s.adapt[s.best].lcb > s.adapt[2].ucb;
    current_ = choices[s.best];
    if (s.significant) stable_ = current_;
    return s;
  }

  const Vector& current() const { return current_; }
  const Vector& stable() const { return stable_; }

 private:
  struct Samples {
    std::vector<float> x;
    std::vector<std::int32_t> y;
  };

  static Samples read(const ev3::Batches& batches, std::int64_t first, int count) {
    Samples s;
    datasets::Batch buffer;
    for (int i = 0; i < count; ++i) {
      const ev3::BatchView b = batches.read(first + i, buffer);
      s.x.insert(s.x.end(), b.features.begin(), b.features.end());
      s.y.insert(s.y.end(), b.labels.begin(), b.labels.end());
    }
    return s;
  }

  // p holds W1 [in, hidden], b1, W2 [hidden, out], b2; h = relu(x W1 + b1), z = h W2 + b2.
  void forward(const Vector& p, const float* x, Vector& h, Vector& z) const {
    const std::size_t b1 = in_ * hidden_, w2 = b1 + hidden_, b2 = w2 + hidden_ * out_;
    h.assign(hidden_, 0.0);
    z.assign(out_, 0.0);
    for (std::size_t j = 0; j < hidden_; ++j) {
      h[j] = p[b1 + j];
      for (std::size_t i = 0; i < in_; ++i) h[j] += static_cast<double>(x[i]) * p[i * hidden_ + j];
      h[j] = std::max(h[j], 0.0);
    }
    for (std::size_t k = 0; k < out_; ++k) {
      z[k] = p[b2 + k];
      for (std::size_t j = 0; j < hidden_; ++j) z[k] += h[j] * p[w2 + j * out_ + k];
    }
  }

  // Of the mean of xent(t z, y).
  Vector gradient(const Vector& p, double t, const Samples& s) const {
    const std::size_t b1 = in_ * hidden_, w2 = b1 + hidden_, b2 = w2 + hidden_ * out_;
    Vector g(p.size(), 0.0), h, z;
    for (std::size_t n = 0; n < s.y.size(); ++n) {
      const float* x = s.x.data() + n * in_;
      forward(p, x, h, z);
      double sum = 0;
      for (const double value : z) sum += std::exp(t * value);
      Vector dz(out_);
      for (std::size_t k = 0; k < out_; ++k) {
        const bool hit = static_cast<std::size_t>(s.y[n]) == k;
        dz[k] = t * (std::exp(t * z[k]) / sum - (hit ? 1 : 0)) / static_cast<double>(s.y.size());
        g[b2 + k] += dz[k];
      }
      for (std::size_t j = 0; j < hidden_; ++j) {
        double dh = 0;
        for (std::size_t k = 0; k < out_; ++k) {
          g[w2 + j * out_ + k] += h[j] * dz[k];
          dh += dz[k] * p[w2 + j * out_ + k];
        }
        if (h[j] == 0) continue;
        g[b1 + j] += dh;
        for (std::size_t i = 0; i < in_; ++i) g[i * hidden_ + j] += static_cast<double>(x[i]) * dh;
      }
    }
    return g;
  }

  Bounds accuracy_bounds(const Vector& p, const Samples& s, double alpha) const {
    Vector h, z;
    double hits = 0;
    const auto n = static_cast<double>(s.y.size());
    for (std::size_t i = 0; i < s.y.size(); ++i) {
      forward(p, s.x.data() + i * in_, h, z);
      std::size_t best = 0;
      for (std::size_t k = 1; k < out_; ++k) best = z[k] > z[best] ? k : best;
      hits += best == static_cast<std::size_t>(s.y[i]);
    }
    const double mean = hits / n, error = std::sqrt(mean * (1 - mean) / (n - 1));
    return {mean, mean - alpha * error, mean + alpha * error};
  }

  static std::size_t greatest(const std::vector<Bounds>& all) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < all.size(); ++i) best = all[i].lcb > all[best].lcb ? i : best;
    return best;
  }

  std::size_t in_, hidden_, out_;
  Vector current_, stable_;
  ev3::Streams streams_;
  std::vector<Vector> velocity_;
  std::int64_t explore_ = 0, assess_ = 0, adapt_ = 0;
};
