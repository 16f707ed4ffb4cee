// What a program written for one task alone does: a training step of the perceptron 2-8-2 (ReLU, softmax
// cross entropy, SGD) on 32 samples as plain loops over arrays of fixed size. The library is measured against
// it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace tiny {

constexpr int batch = 32, inputs = 2, hidden = 8, classes = 2;

/// Parameters, or their gradient, in the order of nn::Mlp's.
struct Net {
  float w1[inputs][hidden], b1[hidden], w2[hidden][classes], b2[classes];

  static constexpr int size = (inputs + 1) * hidden + (hidden + 1) * classes;
  float* values() { return &w1[0][0]; }
};
static_assert(sizeof(Net) == Net::size * sizeof(float));

/// h = relu(x w1 + b1), z = h w2 + b2: the mean cross entropy of softmax(z), x [batch, inputs], y [batch];
/// its gradient goes to `g`.
inline float gradient(const Net& net, const float* x, const std::int32_t* y, Net& g) {
  float h[batch][hidden], dh[batch][hidden], z[batch][classes], dz[batch][classes];
  for (int n = 0; n < batch; ++n) {
    const float x0 = x[inputs * n], x1 = x[inputs * n + 1];
    for (int j = 0; j < hidden; ++j) {
      h[n][j] = std::max(net.b1[j] + x0 * net.w1[0][j] + x1 * net.w1[1][j], 0.0f);
    }
  }
  for (int n = 0; n < batch; ++n) {
    for (int k = 0; k < classes; ++k) {
      float sum = net.b2[k];
      for (int j = 0; j < hidden; ++j) sum += h[n][j] * net.w2[j][k];
      z[n][k] = sum;
    }
  }
  float loss = 0;
  for (int n = 0; n < batch; ++n) {
    const float m = std::max(z[n][0], z[n][1]);
    const float e0 = std::exp(z[n][0] - m), e1 = std::exp(z[n][1] - m), sum = e0 + e1;
    loss += std::log(sum) + m - z[n][y[n]];
    dz[n][0] = (e0 / sum - (y[n] == 0 ? 1.0f : 0.0f)) / batch;
    dz[n][1] = (e1 / sum - (y[n] == 1 ? 1.0f : 0.0f)) / batch;
  }
  g = Net{};
  for (int n = 0; n < batch; ++n) {
    for (int j = 0; j < hidden; ++j) {
      for (int k = 0; k < classes; ++k) g.w2[j][k] += h[n][j] * dz[n][k];
      const float d = dz[n][0] * net.w2[j][0] + dz[n][1] * net.w2[j][1];
      dh[n][j] = h[n][j] > 0 ? d : 0.0f;
    }
    for (int k = 0; k < classes; ++k) g.b2[k] += dz[n][k];
  }
  for (int n = 0; n < batch; ++n) {
    const float x0 = x[inputs * n], x1 = x[inputs * n + 1];
    for (int j = 0; j < hidden; ++j) {
      g.w1[0][j] += x0 * dh[n][j];
      g.w1[1][j] += x1 * dh[n][j];
      g.b1[j] += dh[n][j];
    }
  }
  return loss / batch;
}

/// One step of SGD; returns the loss before it.
inline float step(Net& net, const float* x, const std::int32_t* y, float learning_rate) {
  Net g;
  const float loss = gradient(net, x, y, g);
  for (int i = 0; i < Net::size; ++i) net.values()[i] -= learning_rate * g.values()[i];
  return loss;
}

}  // namespace tiny
