// What a training process costs from its start: a step (or some), then the time since main began and the most
// memory that the process held.
//
//     time first_step [tiny|mlp|resnet8|resnet20 [STEPS]]          on one thread; tiny and 1 unless told
//                                                                  otherwise
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "autodiff/kernels/parallel.h"
#include "bench/samples.h"
#include "nn/training.h"

namespace {

nn::Network network(const std::string& name) {
  if (name == "tiny") return nn::Mlp{.inputs = {2}, .hidden = {8}, .classes = 2};
  if (name == "mlp") return nn::Mlp{.inputs = {784}, .hidden = {512, 512}, .classes = 10};
  if (name == "resnet8") return nn::ResNet{.blocks = {1, 1, 1}};
  if (name == "resnet20") return nn::resnet_cifar(20);
  autodiff::fail("want tiny, mlp, resnet8 or resnet20, got ", name);
}

}  // namespace

int main(int argc, char** argv) try {
  const auto start = std::chrono::steady_clock::now();
  autodiff::kernels::set_threads(1);
  const std::string name = argc > 1 ? argv[1] : "tiny";
  const int steps = argc > 2 ? std::atoi(argv[2]) : 1, batch = name == "tiny" ? 32 : 128;
  if (argc > 3 || steps < 1) autodiff::fail("want a network and a number of steps of at least 1");
  const nn::Network net = network(name);
  const bench::CutBatches data(1, batch, static_cast<int>(nn::input_shape(net).size()), nn::classes(net));
  nn::TrainingStep step(net, nn::CrossEntropy{}, nn::Sgd{.learning_rate = 0.01, .momentum = 0.9f},
                        {.batch = batch});
  nn::Parameters params = nn::initialize(net, {1});
  float loss = 0;
  for (int k = 0; k < steps; ++k) loss = step.run(params, data.features(0), data.labels(0));
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("%s: %d step%s of %d samples, loss %.4f; %.1f ms since main began, at most %.1f MB\n",
              name.c_str(), steps, steps == 1 ? "" : "s", batch, static_cast<double>(loss), time.count(),
              static_cast<double>(usage.ru_maxrss) / 1024);
  return 0;
} catch (const autodiff::Error& error) {
  std::cerr << error.what() << '\n';
  return 2;
}
