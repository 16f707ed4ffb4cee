// Convolutions on a device that do the chain which gives their image, and write that while they read it.
#include <cmath>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/cuda/prologue.h"
#include "autodiff/kernels/device.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/device.h"
#include "tests/device_convolutions.h"

using namespace autodiff;
using namespace tests;
namespace patterns = kernels::cuda::patterns;

namespace {

using Case = ConvolutionCase;

/// A chain and a convolution of its result, on a stream.
class Pair {
 public:
  Pair(const kernels::cuda::Pattern& pattern, const Case& c)
      : dims_(c.dims()),
        chain_(chain_of(pattern, c.in)),
        filters_(dims_.w_size() * 4),
        y_(dims_.y_size() * 4) {
    send(filters_, 1, 1 / std::sqrt(static_cast<float>(c.window * c.window * c.in)));
    for (int k = 0; k < pattern.full + pattern.repeated; ++k) {
      memory_.emplace_back((k < pattern.full ? dims_.x_size() : static_cast<std::size_t>(c.in)) * 4);
      send(memory_.back(), static_cast<std::uint64_t>(2 + k), 1);
      operands_.push_back(floats(memory_.back()));
    }
  }
  /// The chain's result lies where it reads this operand.
  void write_over(std::size_t operand) { operands_[result()] = operands_[operand]; }
  /// The convolution's, where the chain reads it.
  void convolve_into(std::size_t operand) { out_ = operands_[operand]; }

  /// Runs both, with a function of few numbers between them or not; returns the number of kernels.
  std::size_t run(bool apart) {
    const kernels::Backend& row = *kernels::cuda_backend();
    const std::size_t channels = static_cast<std::size_t>(dims_.in);
    kernels::DeviceMemory few(256);
    const kernels::DeviceStream::Recording both = work_.record([&] {
      row.pointwise(chain_, dims_.x_size() / channels, operands_.data());
      if (apart) row.unary.run({kernels::Unary::square, 8}, floats(few), floats(few));
      row.conv2d.run(dims_, operands_[result()], floats(filters_), {}, out_ ? out_ : floats(y_));
    });
    work_.play(both);
    work_.wait();
    return both.size() - (apart ? 1 : 0);
  }
  std::vector<float> image() { return back(operands_[result()], dims_.x_size()); }
  std::vector<float> convolved() { return back(out_ ? out_ : floats(y_), dims_.y_size()); }
  void clear() { work_.zero(operands_[result()], dims_.x_size() * 4), work_.zero(y_.data(), y_.size()); }

 private:
  std::size_t result() const { return static_cast<std::size_t>(chain_.full) - 1; }
  static float* floats(const kernels::DeviceMemory& m) { return reinterpret_cast<float*>(m.data()); }
  void send(const kernels::DeviceMemory& to, std::uint64_t seed, float scale) {
    std::vector<float> numbers = random_floats(to.size() / 4, seed);
    for (float& v : numbers) v *= scale;
    work_.to_device(to.data(), numbers.data(), to.size());
  }
  std::vector<float> back(const float* from, std::size_t n) {
    std::vector<float> out(n);
    work_.to_host(out.data(), from, n * 4);
    return out;
  }

  kernels::DeviceStream work_;
  kernels::Conv2dDims dims_;
  kernels::PointwiseDims chain_;
  kernels::DeviceMemory filters_, y_;
  std::vector<kernels::DeviceMemory> memory_;
  std::vector<float*> operands_;
  float* out_ = nullptr;
};

bool has_tensor_cores() { return kernels::device_info().versions.find("capability 7.") == std::string::npos; }

}  // namespace

TEST_CASE("a convolution does the chain that gives its image, with the same bits, by one kernel") {
  if (no_device("chains before convolutions")) return;
  for (const Case& c :
       {Case{3, 9, 7, 16, 16, 3}, Case{40, 8, 8, 16, 16, 3}, Case{2, 33, 34, 16, 32, 3},
        Case{5, 13, 11, 32, 32, 3}, Case{5, 8, 8, 64, 64, 3}, Case{2, 5, 5, 128, 16, 3},
        Case{3, 10, 7, 64, 32, 1}, Case{3, 12, 8, 16, 32, 3, 2}, Case{3, 9, 7, 32, 64, 3, 2},
        Case{3, 8, 8, 32, 16, 1, 2, false}, Case{5, 8, 8, 32, 16, 3, 1, true, 2},
        Case{3, 5, 4, 64, 32, 3, 1, true, 1}, Case{3, 5, 7, 32, 16, 1, 1, true, 0},
        // padded otherwise, with more than one tile: the last pixels have to be among what is read
        Case{2, 40, 40, 16, 16, 1, 1, false, -1, 1, 1, 42, 42},
        Case{2, 12, 19, 96, 64, 3, 2, false, -1, -1, 1, 6, 10},
        Case{1, 9, 40, 64, 32, 3, 1, false, -1, 1, -1, 9, 40},
        Case{2, 40, 33, 16, 32, 3, 1, true, -1, 2, 0, 42, 33},
        Case{2, 40, 40, 16, 32, 3, 1, false, -1, 0, 0, 38, 38},
        Case{2, 39, 21, 16, 32, 3, 2, true, -1, 1, 1, 20, 11}}) {
    INFO(c.n << " x " << c.h << " x " << c.w << " x " << c.in << " to " << c.out << ", window " << c.window
             << ", stride " << c.stride);
    for (const kernels::cuda::Pattern* pattern :
         {&patterns::norm, &patterns::norm_and_array, &patterns::norm_and_shifted}) {
      INFO("operands: " << pattern->full << " and " << pattern->repeated);
      Pair both(*pattern, c);
      CHECK(both.run(true) == 2);
      const std::vector<float> image = both.image(), convolved = both.convolved();
      both.clear();
      CHECK(both.run(false) == (c.at_once && has_tensor_cores() ? 1 : 2));
      CHECK((both.image() == image));
      CHECK((both.convolved() == convolved));
      CHECK(distance(image, std::vector<float>(image.size())) > 1);
      CHECK(distance(convolved, std::vector<float>(convolved.size())) > 0.1);
    }
  }
}

TEST_CASE("a chain that writes over what a convolution would read for it is a kernel of its own") {
  if (no_device("chains before convolutions, in place")) return;
  const Case c{3, 9, 7, 16, 16, 3};
  Pair over(patterns::norm_and_array, c), into(patterns::norm_and_array, c);
  over.write_over(1);
  CHECK(over.run(false) == 2);
  into.convolve_into(0);
  CHECK(into.run(false) == 2);
}

TEST_CASE("in training, norms are done by the convolutions after them") {
  if (no_device("chains before convolutions, in training")) return;
  nn::ResNet net = small_resnet;
  net.blocks = {2, 2, 2};
  const nn::LossGradient of(net, nn::CrossEntropy{}, 16, {.compile = {.device = kernels::Device::cuda}});
  int found = 0, before_convolutions = 0;
  for (const Stage& stage : of.program().plan().stages) {
    for (std::size_t s = 0; s < stage.steps.size(); ++s) {
      const Step& step = stage.steps[s];
      if (!step.group.run) continue;
      float none[kernels::most_pointwise_operands] = {};
      std::vector<float*> operands;
      for (float& v : none) operands.push_back(&v);
      if (!kernels::cuda::prologue_of(step.group.dims, operands.data())) continue;
      ++found;
      const std::size_t last = s + step.group.steps - 1;
      before_convolutions +=
          stage.steps[last].with_next && stage.steps[last + 1].row.op.starts_with("conv2d");
    }
  }
  CHECK(found == 10);
  CHECK(before_convolutions == 10);
}
