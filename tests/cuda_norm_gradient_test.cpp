// Convolutions on a device that form the gradient of a batch norm from their results, which are not written.
#include <cmath>
#include <cstring>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/cuda/epilogue.h"
#include "autodiff/kernels/device.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/device.h"
#include "tests/device_convolutions.h"

using namespace autodiff;
using namespace tests;

namespace {

using Case = ConvolutionCase;

}  // namespace

TEST_CASE("a convolution that forms the gradient of a batch norm gives what the chain would, by one kernel") {
  if (no_device("gradients of batch norms")) return;
  const bool has_tensor_cores = kernels::device_info().versions.find("capability 7.") == std::string::npos;
  const kernels::Backend& row = *kernels::cuda_backend();
  namespace patterns = kernels::cuda::patterns;
  for (const Case& c : {Case{3, 9, 7, 16, 16, 3}, Case{40, 8, 8, 16, 16, 3}, Case{5, 13, 11, 32, 32, 3},
                        Case{5, 8, 8, 64, 64, 3}, Case{3, 10, 7, 64, 32, 1}, Case{1040, 2, 2, 16, 64, 1},
                        Case{3, 9, 7, 32, 16, 3, 2, false}, Case{5, 8, 8, 32, 16, 3, 1, true, 2},
                        Case{3, 5, 4, 64, 32, 3, 1, true, 1}, Case{3, 5, 7, 32, 16, 1, 1, false, 0}}) {
    INFO(c.n << " x " << c.h << " x " << c.w << " x " << c.in << " to " << c.out << ", window " << c.window
             << ", stride " << c.stride);
    const kernels::Conv2dDims d = c.dims();
    const std::size_t all = d.y_size(), filters = static_cast<std::size_t>(d.out), rows = all / filters;
    struct Form {
      const kernels::cuda::Pattern& pattern;
      int spent;
    };
    for (const Form& form : {Form{patterns::norm_gradient, 1}, Form{patterns::norm_gradient_of_two, 0},
                             Form{patterns::norm_gradient_of_two, 1}}) {
      INFO("array " << form.spent << " of " << form.pattern.full);
      kernels::DeviceStream work;
      kernels::DeviceMemory image(d.x_size() * 4), w(d.w_size() * 4), mean(filters * 4), sums[2], arrays[5];
      const auto send = [&](const kernels::DeviceMemory& to, std::uint64_t seed, float scale) {
        std::vector<float> numbers = random_floats(to.size() / 4, seed);
        for (float& v : numbers) v *= scale;
        work.to_device(to.data(), numbers.data(), to.size());
      };
      const auto floats = [](const kernels::DeviceMemory& m) { return reinterpret_cast<float*>(m.data()); };
      send(image, 1, 1);
      send(w, 2, 1 / std::sqrt(static_cast<float>(c.window * c.window * c.in)));
      send(mean, 3, 1);
      std::vector<float*> operands;
      const int full = form.pattern.full, g = full - 2;
      for (int k = 0; k < full; ++k) {
        arrays[k] = kernels::DeviceMemory(all * 4);
        send(arrays[k], static_cast<std::uint64_t>(4 + k), 1);
        operands.push_back(floats(arrays[k]));
      }
      operands.push_back(floats(mean));
      for (kernels::DeviceMemory& sum : sums) {
        sum = kernels::DeviceMemory(filters * 4);
        operands.push_back(floats(sum));
      }
      const kernels::DeviceMemory& result = arrays[form.spent];
      const auto back = [&](const kernels::DeviceMemory& from) {
        std::vector<float> out(from.size() / 4);
        work.to_host(out.data(), from.data(), from.size());
        return out;
      };
      const std::vector<float> unwritten = back(result);
      std::vector<float> gradients[3], first_sums[3], second_sums[3], roots[3];
      for (const int turn : {0, 1, 2}) {  // one after the other, at once, and again
        const kernels::PointwiseDims chain = chain_of(form.pattern, c.out, turn == 0 ? -1 : form.spent);
        work.to_device(result.data(), unwritten.data(), result.size());
        kernels::DeviceMemory square(filters * 4);
        work.enqueue([&] {
          row.conv2d.run(d, floats(image), floats(w), {}, floats(result));
          row.pointwise(chain, rows, operands.data());
          row.unary.run({kernels::Unary::square, filters}, floats(sums[1]), floats(square));
        });
        gradients[turn] = back(arrays[g]);
        first_sums[turn] = back(sums[0]);
        second_sums[turn] = back(sums[1]);
        roots[turn] = back(square);
        const bool untouched = back(result) == unwritten;
        CHECK(untouched == (turn > 0 && c.at_once && has_tensor_cores));
      }
      CHECK((gradients[0] == gradients[1]));
      CHECK((gradients[1] == gradients[2]));
      CHECK((first_sums[1] == first_sums[2]));
      CHECK((second_sums[1] == second_sums[2]));
      CHECK((roots[1] == roots[2]));
      // Sums in double, in another order: at most a rounding to float32 apart.
      CHECK(distance(first_sums[1], first_sums[0]) < 0x1p-23);
      CHECK(distance(second_sums[1], second_sums[0]) < 0x1p-23);
      CHECK(distance(roots[1], roots[0]) < 0x1p-21);
      CHECK(distance(first_sums[1], std::vector<float>(filters)) > 1);
    }
  }
}

TEST_CASE("in training, most data gradients form the gradients of the batch norms before them") {
  if (no_device("gradients of batch norms in training")) return;
  nn::ResNet net = small_resnet;
  net.blocks = {2, 2, 2};
  const nn::LossGradient of(net, nn::CrossEntropy{}, 16, {.compile = {.device = kernels::Device::cuda}});
  int found = 0;
  for (const Stage& stage : of.program().plan().stages) {
    for (const Step& step : stage.steps) {
      if (!step.group.run || step.group.dims.spent < 0) continue;
      float none[kernels::most_pointwise_operands] = {};
      std::vector<float*> operands;
      for (float& v : none) operands.push_back(&v);
      found += kernels::cuda::norm_gradient_of(step.group.dims, operands.data()).has_value();
    }
  }
  CHECK(found == 10);  // of 12; before shortcuts there are two norms, and what is summed has two
}
