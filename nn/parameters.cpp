#include "nn/parameters.h"

#include <cstring>

#include "autodiff/tensor/text.h"

namespace nn {

using autodiff::fail;

void Layout::add(std::string name, const autodiff::Shape& shape, const Initializer& initializer, Kind kind) {
  for (const ParameterInfo& entry : entries_) {
    if (entry.name == name) fail("layout: the name '", name, "' is taken");
  }
  entries_.push_back({std::move(name), shape, initializer, kind, size_});
  size_ += shape.size();
}

std::size_t Layout::trainable() const {
  std::size_t sum = 0;
  for (const ParameterInfo& entry : entries_) sum += entry.kind == Kind::trainable ? entry.shape.size() : 0;
  return sum;
}

const ParameterInfo& Layout::find(std::string_view name) const {
  for (const ParameterInfo& entry : entries_) {
    if (entry.name == name) return entry;
  }
  std::vector<std::string> names;
  for (const ParameterInfo& entry : entries_) names.push_back(entry.name);
  fail("parameters: there is no '", name, "'",
       names.empty() ? "" : "; did you mean '" + autodiff::nearest(name, names) + "'?");
}

bool Layout::operator==(const Layout& other) const {
  return std::equal(entries_.begin(), entries_.end(), other.entries_.begin(), other.entries_.end(),
                    [](const ParameterInfo& a, const ParameterInfo& b) {
                      return a.name == b.name && a.shape == b.shape && a.kind == b.kind;
                    });
}

std::span<float> Parameters::operator[](std::string_view name) {
  const ParameterInfo& info = layout_->find(name);
  return values().subspan(info.offset, info.shape.size());
}

std::span<const float> Parameters::operator[](std::string_view name) const {
  const ParameterInfo& info = layout_->find(name);
  return values().subspan(info.offset, info.shape.size());
}

autodiff::Tensor Parameters::tensor(std::string_view name) const {
  return autodiff::Tensor(layout_->find(name).shape, (*this)[name]);
}

bool Parameters::operator==(const Parameters& other) const {
  return layout() == other.layout() &&
         (size() == 0 || std::memcmp(values_.data(), other.values_.data(), size() * sizeof(float)) == 0);
}

Parameters initialize(std::shared_ptr<const Layout> layout, autodiff::Seed seed) {
  Parameters parameters(std::move(layout));
  for (const ParameterInfo& info : parameters.layout().entries()) {
    fill(info.initializer, info.shape, seed.stream(info.name),
         parameters.values().subspan(info.offset, info.shape.size()));
  }
  return parameters;
}

GraphParameters::GraphParameters(autodiff::Graph& graph, const Layout& layout) : layout_(layout) {
  for (const ParameterInfo& info : layout.entries())
    values_.push_back(graph.parameter(info.name, info.shape));
}

autodiff::Value GraphParameters::operator[](std::string_view name) const {
  const ParameterInfo& info = layout_.find(name);
  return values_[static_cast<std::size_t>(&info - layout_.entries().data())];
}

}  // namespace nn
