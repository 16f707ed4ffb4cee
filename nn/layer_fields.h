// Every key of a layer, declared once (nn/fields.h): configs, model files and checks follow from it.
#pragma once

#include <type_traits>

#include "nn/fields.h"
#include "nn/layers.h"

namespace nn {

/// Of windows, strides and the like.
inline constexpr Range small_size{.least = 1, .most = 1024};
/// Of filters and groups.
inline constexpr Range filter_count{.least = 1, .most = 1 << 16};

template <class Visit>
void fields(Visit& visit, Conv2d& l) {
  visit("filters", l.filters, required(filter_count));
  visit("kernel", l.kernel, small_size);
  visit("stride", l.stride, small_size);
  visit("padding", l.padding, Range{.least = 0, .most = 1024});
  visit("dilation", l.dilation, small_size);
  visit("groups", l.groups, filter_count);
  visit("bias", l.bias, any);
}
template <class Visit>
void fields(Visit& visit, MaxPool& l) {
  visit("size", l.size, small_size);
  visit("stride", l.stride, small_size);
}
template <class Visit>
void fields(Visit& visit, AvgPool& l) {
  visit("size", l.size, small_size);
  visit("stride", l.stride, small_size);
}
template <class Visit>
void fields(Visit& visit, Dense& l) {
  visit("units", l.units, Range{.least = 1, .most = 1 << 24});
  visit("bias", l.bias, any);
}
template <class Visit>
void fields(Visit& visit, Dropout& l) {
  visit("rate", l.rate, required(decay_rate));
}
template <class Visit>
void fields(Visit& visit, Residual& l) {
  visit("layers", l.layers, required());
}
/// The others have no keys.
template <class Visit, class Plain>
requires std::is_empty_v<Plain>
void fields(Visit&, Plain&) {}

}  // namespace nn
