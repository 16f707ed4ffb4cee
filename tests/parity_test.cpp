// Residual nets against PyTorch in double: tests/parity holds what it computed for a ResNet-20 and a
// ResNet-18, from parameters and images that both sides form by the same rule (tests/parity/rule.py).
#include <iomanip>
#include <iostream>

#include "nn/evaluate.h"
#include "nn/safetensors.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/network_outputs.h"
#include "tests/synthetic_batches.h"

namespace {

// The greatest difference that is allowed, as a share of the greatest value of an array. The seeds are such
// that no ReLU and no window of the pooling is within 8e-6 of a kink in the first pass, so that float and
// double take the same side of all of them; what is left is rounding, 4e-7 to 1e-5 where it was measured. Of
// later passes some do not take the same side, which is why the steps are small (tests/parity/make.py). The
// test prints what it finds.
constexpr double allowed = 1e-4;
constexpr int classes = 10, steps = 5, places = 12;

// Number i of those that belong to a name: splitmix64 of the name's FNV-1a hash, plus the index.
std::uint64_t bits(std::string_view name, std::uint64_t i) {
  std::uint64_t h = 0xcbf29ce484222325;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  std::uint64_t z = h + (i + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

void fill_uniform(const std::string& name, double low, double high, std::span<float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(low + (high - low) * (static_cast<double>(bits(name, i) >> 11) * 0x1p-53));
  }
}

nn::Parameters parameters_of(const nn::ResNet& net, const std::string& seed) {
  nn::Parameters params(nn::layout(nn::Network(net)));
  for (const nn::ParameterInfo& info : params.layout().entries()) {
    const std::string& name = info.name;
    const double fan = static_cast<double>(info.shape.size()) / info.shape[-1];
    double low = -0.5, high = 0.5;
    if (name.ends_with(".kernel")) high = std::sqrt(3 / fan), low = -high;
    if (name.ends_with(".scale") || name.ends_with(".var")) low = 0.5, high = 1.5;
    fill_uniform(seed + "/" + name, low, high, params[name]);
  }
  return params;
}

// What PyTorch says of one of the nets, and the batch.
struct Case {
  std::string name;
  nn::ResNet net;
  nn::Safetensors file;
  nn::Parameters params;
  std::vector<float> images;
  std::vector<std::int32_t> labels;
  double worst = 0;  // met so far, relative

  Case(const std::string& name_, const nn::ResNet& net_, std::size_t batch)
      : name(name_),
        net(net_),
        file(nn::Safetensors::read(EV3_SOURCE_DIR "/tests/parity/resnets.safetensors")) {
    const std::string seed = file.metadata().at(name + " seed");
    params = parameters_of(net, seed);
    images.resize(batch * net.inputs.size());
    fill_uniform(seed + "/images", -2, 2, images);
    for (std::size_t i = 0; i < batch; ++i) {
      labels.push_back(static_cast<std::int32_t>(bits(seed + "/labels", i) % classes));
    }
  }
  nn::Target target() const { return std::span<const std::int32_t>(labels); }
  std::vector<double> wanted(const std::string& what) const { return file.doubles(name + " " + what); }

  void check(double difference, double scale) {
    const double relative = std::isfinite(difference) ? difference / scale : INFINITY;
    worst = std::max(worst, relative);
    CHECK(relative <= allowed);
  }
  // All elements of an array.
  void check_all(const std::string& what, std::span<const float> got) {
    INFO(name << ", " << what);
    const std::vector<double> want = wanted(what);
    REQUIRE(got.size() == want.size());
    double scale = 0, difference = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      scale = std::max(scale, std::abs(want[i]));
      difference = std::max(difference, std::abs(static_cast<double>(got[i]) - want[i]));
    }
    check(difference, scale);
  }
  // Some arrays of a block, each by its row of [greatest magnitude, norm, sum of magnitudes, sum, twelve
  // elements].
  template <class Chosen>
  void check_rows(const std::string& what, std::span<const float> block, Chosen chosen) {
    const std::vector<double> want = wanted(what);
    std::size_t at = 0;
    for (const nn::ParameterInfo& info : params.layout().entries()) {
      if (!chosen(info)) continue;
      INFO(name << ", " << what << ", " << info.name);
      REQUIRE(at + 4 + places <= want.size());
      check_row(info.name, block.subspan(info.offset, info.shape.size()),
                std::span(want).subspan(at, 4 + places));
      at += 4 + places;
    }
    CHECK(at == want.size());
  }
  void check_row(const std::string& array, std::span<const float> got, std::span<const double> want) {
    double greatest = 0, squares = 0, magnitudes = 0, sum = 0;
    for (const float x : got) {
      const auto v = static_cast<double>(x);
      greatest = std::max(greatest, std::abs(v));
      squares += v * v;
      magnitudes += std::abs(v);
      sum += v;
    }
    check(std::abs(greatest - want[0]), want[0]);
    check(std::abs(std::sqrt(squares) - want[1]), want[1]);
    check(std::abs(magnitudes - want[2]), want[2]);
    check(std::abs(sum - want[3]), want[2]);  // terms of both signs: a share of the magnitudes
    for (std::size_t i = 0; i < places; ++i) {
      const auto v = static_cast<double>(got[bits(array + "/places", i) % got.size()]);
      check(std::abs(v - want[4 + i]), want[0]);
    }
  }
};

bool is_trainable(const nn::ParameterInfo& info) { return info.kind == nn::Kind::trainable; }
bool is_statistic(const nn::ParameterInfo& info) { return info.kind == nn::Kind::statistic; }
bool any(const nn::ParameterInfo&) { return true; }

void check_names(const Case& c) {
  std::string names;
  for (const nn::ParameterInfo& info : c.params.layout().entries()) {
    names += (names.empty() ? "" : "\n") + info.name;
  }
  CHECK(names == c.file.metadata().at(c.name + " parameters"));
}

void check_outputs(Case& c) {
  c.check_all("evaluation logits", tests::run_forward(c.net, c.params, c.images).outputs);
  c.check_all("evaluation logits",
              tests::run_forward(c.net, c.params, c.images, {.fold_norms = false}).outputs);
  c.check_all("training logits", tests::run_forward(c.net, c.params, c.images, {.training = true}).outputs);
}

void check_gradient(Case& c) {
  nn::LossGradient gradient_of(c.net, nn::CrossEntropy{}, static_cast<int>(c.labels.size()));
  std::vector<float> gradient(c.params.size());
  const float loss = gradient_of(c.params.values(), c.images, c.target(), gradient);
  c.check_all("loss", std::span(&loss, 1));
  c.check_rows("gradient", gradient, is_trainable);
  nn::Parameters updated = c.params;
  gradient_of.update_statistics(updated.values());
  c.check_rows("statistics", updated.values(), is_statistic);
}

void check_optimizer(Case& c, const std::string& kind, const nn::Optimizer& optimizer) {
  nn::Parameters params = c.params;
  nn::TrainingStep step(c.net, nn::CrossEntropy{}, optimizer, {.batch = static_cast<int>(c.labels.size())});
  std::vector<float> losses;
  for (int i = 0; i < steps; ++i) losses.push_back(step.run(params, c.images, c.target()));
  c.check_all(kind + " losses", losses);
  c.check_rows(kind + " parameters", params.values(), any);
}

void check_case(Case c) {
  const auto report = [&](const char* what) {
    std::cout << "  " << c.name << ", " << std::left << std::setw(20) << what << std::right
              << " differs by at most " << std::setprecision(2) << std::scientific
              << std::exchange(c.worst, 0) << std::defaultfloat << '\n';
  };
  check_names(c);
  check_outputs(c);
  report("logits");
  check_gradient(c);
  report("loss and gradient");
  check_optimizer(c, "sgd", nn::Sgd{.learning_rate = 2e-4, .momentum = 0.9f});
  report("5 steps of sgd");
  check_optimizer(c, "adamw", nn::AdamW{.learning_rate = 1e-4, .epsilon = 0.1f, .weight_decay = 5});
  report("5 steps of adamw");
}

}  // namespace

TEST_CASE("ResNet-20 for CIFAR computes what PyTorch computes, with all kernels", "[slow]") {
  namespace kernels = autodiff::kernels;
  const KeepSettings keep;
  for (const kernels::Backends& backends :
       {kernels::default_backends(), kernels::parse_backends("portable")}) {
    INFO(kernels::describe(backends));
    std::cout << "  by " << kernels::describe(backends) << ":\n";
    kernels::set_default_backends(backends);
    check_case({"resnet20", nn::resnet_cifar(20, classes), 4});
  }
}

TEST_CASE("ResNet-18 in the form for ImageNet computes what PyTorch computes", "[slow]") {
  nn::ResNet net = nn::resnet_imagenet(18, classes);
  net.inputs = {48, 48, 3};
  check_case({"resnet18", net, 4});
}
