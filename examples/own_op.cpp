// An op of one's own: softplus(x) = log(1 + exp(x)), a smooth relu. Written as log(shift(exp(x), 1)) it would
// overflow at x = 89, so it is an op with a definition of its own.
// Claims: its derivative agrees with the complex step to 1e-12; a network that uses it learns the spirals.
#include <algorithm>
#include <cmath>
#include <complex>
#include <iostream>

#include "autodiff/graph/op.h"
#include "autodiff/graph/ops.h"
#include "autodiff/program/program.h"
#include "autodiff/program/reference.h"
#include "datasets/stream.h"
#include "datasets/synthetic.h"
#include "nn/dense.h"
#include "nn/optimizers.h"

using namespace autodiff;

// y_i = max(x_i, 0) + log(1 + exp(-|x_i|)): the exponent is never positive, so nothing overflows.
template <class T>
void softplus_reference(std::size_t n, const T* x, T* y) {
  using std::exp, std::log;
  for (std::size_t i = 0; i < n; ++i) {
    const bool positive = kernels::real_part(x[i]) > 0;
    y[i] = (positive ? x[i] : T(0)) + log(T(1) + exp(positive ? -x[i] : x[i]));
  }
}

class SoftplusOp final : public OpBase<SoftplusOp> {
 public:
  std::string name() const override { return "softplus"; }
  // Sample n of y needs sample n of x alone.
  BatchRole role(std::span<const Value> x) const override { return samplewise_role(x); }
  // dx = dy sigmoid(x)
  std::vector<Value> derivative(const DerivativeArgs& a) const override { return {a.dy * sigmoid(a.x[0])}; }
  Launch launch(const LaunchArgs& a) const override {
    return {"example", [n = a.output.size()](const void* const* in, void* out) {
              softplus_reference(n, static_cast<const float*>(in[0]), static_cast<float*>(out));
            }};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    softplus_reference(o.output_shape.size(), o.in(0), o.out());
  }
};

Value softplus(Value x) { return x.graph->add(std::make_shared<SoftplusOp>(), {x}, x.shape()); }

// The greatest difference between the derivative above and Im softplus(x + i h) / h, for x from -20 to 20.
double derivative_error() {
  constexpr double h = 1e-30;
  Graph g;
  const Value x = g.input({401}), dx = gradient(sum(softplus(x)), x);
  Feeds<double> real;
  Feeds<std::complex<double>> complex;
  for (int i = -200; i <= 200; ++i) {
    real.values[x.id].push_back(0.1 * i);
    complex.values[x.id].emplace_back(0.1 * i, h);
  }
  const auto ours = interpret<double>(g, std::vector{dx}, real).front();
  const auto exact = interpret<std::complex<double>>(g, std::vector{softplus(x)}, complex).front();
  double error = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    error = std::max(error, std::abs(ours[i] - exact[i].imag() / h));
  }
  return error;
}

// A 2-32-32-2 network with softplus between its layers, trained on two spirals: its mean loss at the end.
float train() {
  constexpr int batch = 64;
  const datasets::Dataset spirals = datasets::spirals({.samples = 2000, .noise = 0.02});
  const datasets::Stream batches(spirals, {.batch = batch, .seed = 1});

  nn::Layout layout;
  nn::add_dense(layout, "dense1", 2, 32);
  nn::add_dense(layout, "dense2", 32, 32);
  nn::add_dense(layout, "dense3", 32, 2);
  nn::Parameters params = nn::initialize(std::make_shared<nn::Layout>(layout), {1});
  nn::Parameters gradients = params;

  Graph g;
  const nn::GraphParameters p(g, layout);
  const Value x = g.input({batch, 2}), labels = g.labels(batch);
  const Value hidden = softplus(dense(softplus(dense(x, p, "dense1")), p, "dense2"));
  const Value loss = mean(cross_entropy(dense(hidden, p, "dense3"), labels));
  const std::vector<Value> d = gradient(loss, p.values());

  std::vector<Value> outputs{loss};
  outputs.insert(outputs.end(), d.begin(), d.end());
  Program program = compile(g, outputs);
  for (std::size_t i = 0; i < d.size(); ++i) {
    const std::string& name = layout.entries()[i].name;
    program.bind(p.values()[i], params[name]);
    program.write_to(d[i], gradients[name]);
  }
  const nn::Optimizer adam = nn::Adam{.learning_rate = 1e-2};
  nn::OptimizerState state = initial_state(adam, params.size());
  float sum = 0;
  for (int k = 0; k < 2000; ++k) {
    const datasets::Batch samples = batches[k];
    program.bind(x, samples.features);
    program.bind(labels, samples.labels);
    program.run();
    nn::update(adam, state, gradients.values(), params.values());
    if (k >= 1900) sum += program.scalar(loss);
  }
  return sum / 100;
}

int main() {
  const double error = derivative_error();
  const float loss = train();
  std::cout << "softplus: derivative within " << error << " of the complex step; loss on the spirals " << loss
            << " (guessing: 0.693)\n";
  return error < 1e-12 && loss < 0.1f ? 0 : 1;
}
