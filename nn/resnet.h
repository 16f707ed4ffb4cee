// Residual networks (He, Zhang, Ren, Sun 2016).
#pragma once

#include <string>
#include <vector>

#include "nn/parameters.h"
#include "nn/pass.h"

namespace nn {

/// Stages of residual blocks, relu(shortcut(x) + f(x)), where f is
///   basic:       conv 3x3 (stride) - norm - relu - conv 3x3 - norm
///   bottleneck:  conv 1x1 - norm - relu - conv 3x3 (stride) - norm - relu - conv 1x1 to four times as many -
///   norm
/// and the shortcut is x itself, or norm(conv 1x1 (stride)) where the shapes differ. Stage i has filters 2^i
/// filters and, but for the first one, begins with stride 2. No convolution has a bias.
struct ResNet {
  /// cifar: the stem is conv 3x3 - norm - relu. imagenet: conv 7x7 stride 2 - norm - relu - max pool 3x3
  /// stride 2.
  enum class Form { cifar, imagenet };

  autodiff::Shape inputs = {32, 32, 3};  ///< of one sample: [H, W, C]
  int filters = 16;                      ///< of the stem and the first stage
  std::vector<int> blocks = {3, 3, 3};   ///< in each stage
  int classes = 10;
  Form form = Form::cifar;
  bool bottleneck = false;

  bool operator==(const ResNet&) const = default;
};

/// The nets of the paper by He et al. for CIFAR: depth 20, 32, 44, 56 or 110. Throws Error for another.
ResNet resnet_cifar(int depth, int classes = 10);
/// Those for ImageNet: depth 18, 34, 50, 101, 152 or 200. Throws Error for another.
ResNet resnet_imagenet(int depth, int classes = 1000);

/// "resnet 16x3-3-3"; imagenet form "resnet i64x3-4-6-3", with bottlenecks "resnet b64x3-4-6-3".
std::string describe(const ResNet& net);
/// Parameters are stem.conv.kernel, stem.norm.{scale,bias,mean,var}, stageS.blockB.{conv1.kernel, norm1.*,
/// conv2.kernel, norm2.*, ..., proj.conv.kernel, proj.norm.*}, head.kernel, head.bias, counted from 1. The
/// scale of the last norm of every block starts at 0. Throws Error for inputs of other rank than 3, sizes
/// below 1, or more than 2^31 parameters.
Layout layout(const ResNet& net);
/// Logits [n, classes] for x [n, H, W, C] (or the same elements flattened).
autodiff::Value forward(const ResNet& net, const GraphParameters& parameters, autodiff::Value x, Pass& pass);

/// One residual block: where it stands and what goes in and out.
struct ResNetBlock {
  std::string name;  ///< "stage1.block2"
  int stage = 0;     ///< from 0
  int in = 0, width = 0, out = 0, stride = 1;
  bool projects() const { return in != out || stride != 1; }
};
/// All of them, in order.
std::vector<ResNetBlock> residual_blocks(const ResNet& net);

}  // namespace nn
