// The parameters of a network: one contiguous block of floats and a layout that says what is where.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "autodiff/graph/graph.h"
#include "autodiff/tensor/random.h"
#include "nn/initializers.h"

namespace nn {

/// Trainable parameters get gradients; statistics (running means and variances) are replaced by the forward
/// pass.
enum class Kind { trainable, statistic };

struct ParameterInfo {
  std::string name;  ///< "dense1.kernel"
  autodiff::Shape shape;
  Initializer initializer;
  Kind kind = Kind::trainable;
  std::size_t offset = 0;  ///< in elements from the start of the block
};

/// Parameters one after the other without gaps.
class Layout {
 public:
  /// Appends a parameter; names are unique. Kernels are [in, out] or [height, width, in, out].
  void add(std::string name, const autodiff::Shape& shape, const Initializer& initializer,
           Kind kind = Kind::trainable);

  const std::vector<ParameterInfo>& entries() const& { return entries_; }
  std::vector<ParameterInfo> entries() && {
    return std::move(entries_);
  }  // for (... : nn::layout(net).entries())
  /// Elements of the whole block.
  std::size_t size() const { return size_; }
  /// Elements that get gradients.
  std::size_t trainable() const;
  /// Throws Error for a name that is not there, with the nearest one.
  const ParameterInfo& find(std::string_view name) const;
  bool operator==(const Layout& other) const;

 private:
  std::vector<ParameterInfo> entries_;
  std::size_t size_ = 0;
};

/// A block with its layout. Copying copies the block and shares the layout: one memcpy.
class Parameters {
 public:
  Parameters() : Parameters(std::make_shared<Layout>()) {}
  /// Zeros.
  explicit Parameters(std::shared_ptr<const Layout> layout)
      : layout_(std::move(layout)), values_(layout_->size()) {}

  const Layout& layout() const { return *layout_; }
  std::span<float> values() { return values_; }
  std::span<const float> values() const { return values_; }
  std::size_t size() const { return values_.size(); }
  /// The elements of one parameter. Throws Error for a name that is not there.
  std::span<float> operator[](std::string_view name);
  std::span<const float> operator[](std::string_view name) const;
  autodiff::Tensor tensor(std::string_view name) const;
  /// Same names, shapes and bits.
  bool operator==(const Parameters& other) const;

 private:
  std::shared_ptr<const Layout> layout_;
  autodiff::AlignedBuffer<float> values_;
};

/// Freshly initialized parameters. Every parameter has a random stream of its own, named by its name.
Parameters initialize(std::shared_ptr<const Layout> layout, autodiff::Seed seed);

/// The parameters of a layout as values of a graph, in the order of the layout.
class GraphParameters {
 public:
  GraphParameters(autodiff::Graph& graph, const Layout& layout);
  /// Throws Error for a name that is not there.
  autodiff::Value operator[](std::string_view name) const;
  std::span<const autodiff::Value> values() const { return values_; }

 private:
  Layout layout_;
  std::vector<autodiff::Value> values_;
};

}  // namespace nn
