// What lies below a training step: a graph, its gradient, the gradient of the gradient, a program.
// Claim: the Hessian of the loss times a vector agrees with the complex step to float32 precision.
#include <algorithm>
#include <cmath>
#include <complex>
#include <iostream>

#include "autodiff/graph/ops.h"
#include "autodiff/program/program.h"
#include "autodiff/program/reference.h"
#include "datasets/digits.h"
#include "datasets/stream.h"

using namespace autodiff;

int main() {
  Graph g;
  const Value x = g.input({32, 64}), labels = g.labels(32);
  const Value w = g.parameter("w", {64, 10}), v = g.parameter("v", {64, 10});

  const Value loss = mean(cross_entropy(matmul(x, w), labels));
  const Value dw = gradient(loss, w);         // a node like any other ...
  const Value hv = gradient(sum(dw * v), w);  // ... so it has a gradient: d <dw, v> / dw = Hessian times v

  Program program = compile(g, {loss, dw, hv});
  std::cout << program;  // the memory is known before anything runs

  const datasets::Dataset digits = datasets::digits();
  const datasets::Batch batch = datasets::Stream(digits, {.batch = 32, .seed = 1})[0];
  Tensor at(w.shape()), direction(v.shape());
  for (std::size_t i = 0; i < at.size(); ++i) {
    at[i] = static_cast<float>(Random({2}).uniform(i, -0.1, 0.1));
    direction[i] = static_cast<float>(Random({3}).normal(i));
  }
  program.bind(x, batch.features);
  program.bind(labels, batch.labels);
  program.bind(w, at);
  program.bind(v, direction);
  program.run();

  // The complex step: Hessian times v = Im dw(w + i h v) / h, on the definition of every op in double. No
  // subtraction is involved, so h may be as small as one likes.
  using Complex = std::complex<double>;
  const double h = 1e-30;
  Feeds<Complex> feeds;
  feeds.values[x.id].assign(batch.features.begin(), batch.features.end());
  feeds.labels[labels.id].assign(batch.labels.begin(), batch.labels.end());
  for (std::size_t i = 0; i < at.size(); ++i) {
    feeds.values[w.id].emplace_back(static_cast<double>(at[i]), h * static_cast<double>(direction[i]));
  }
  const std::vector<Complex> exact = interpret<Complex>(g, std::vector{dw}, feeds).front();

  double largest = 0, error = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double want = exact[i].imag() / h, got = static_cast<double>(program.value(hv).data[i]);
    largest = std::max(largest, std::abs(want));
    error = std::max(error, std::abs(got - want));
  }
  std::cout << "loss " << program.scalar(loss) << ", Hessian times v: error " << error / largest
            << " of its largest entry\n";
  return error < 1e-5 * largest ? 0 : 1;
}
