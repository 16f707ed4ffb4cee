// How far Winograd's convolution may be off: the same sums over magnitudes, in double.
#include <algorithm>
#include <cmath>
#include <vector>

#include "autodiff/kernels/check_arrays.h"
#include "autodiff/kernels/winograd.h"

namespace autodiff::kernels::detail {
namespace {

using namespace winograd;

// |t| x |t|^T for a small matrix t [To, From]: get(i, j) gives x, set(i, j, value) takes the result.
template <int To, int From, class Get, class Set>
void both_ways(const double (&t)[To][From], Get get, Set set) {
  for (int i = 0; i < To; ++i) {
    for (int j = 0; j < To; ++j) {
      double sum = 0;
      for (int p = 0; p < From; ++p) {
        for (int q = 0; q < From; ++q) sum += std::abs(t[i][p]) * get(p, q) * std::abs(t[j][q]);
      }
      set(i, j, sum);
    }
  }
}

template <int From, int To>
struct Transposed {
  double t[To][From];
  explicit Transposed(const double (&of)[From][To]) {
    for (int i = 0; i < To; ++i) {
      for (int j = 0; j < From; ++j) t[i][j] = of[j][i];
    }
  }
};

// Images [n, h, w, channels], read from (i, j) of image n on.
struct Images {
  const std::vector<double>& x;
  int h, w, channels;
  double at(int n, int i, int j, int c) const {
    if (i < 0 || j < 0 || i >= h || j >= w) return 0;
    return x[static_cast<std::size_t>(((n * h + i) * w + j) * channels + c)];
  }
};

// values[36][rows of a, ...]: index of product (i, j) and element k of `count`.
std::size_t index(int i, int j, int k, int count) {
  return static_cast<std::size_t>((i * patch + j) * count + k);
}

// Calls body(n, i, j) for the first position of every tile.
template <class Body>
void for_each_tile(const Conv2dDims& d, Body body) {
  for (int n = 0; n < d.n; ++n) {
    for (int i = 0; i < d.oh; i += tile) {
      for (int j = 0; j < d.ow; j += tile) body(n, i, j);
    }
  }
}

// v [36, inputs]: the patches of all channels under the tile that begins at (i0, j0).
void transform_patches(const Conv2dDims& d, const Images& images, int n, int i0, int j0,
                       std::vector<double>& v) {
  for (int c = 0; c < d.in; ++c) {
    both_ways(
        transform_patch, [&](int p, int q) { return images.at(n, i0 - d.top + p, j0 - d.left + q, c); },
        [&](int i, int j, double value) { v[index(i, j, c, d.in)] = value; });
  }
}

}  // namespace

std::vector<double> winograd_magnitudes(const Conv2dDims& d, const std::vector<double>& x,
                                        const std::vector<double>& w) {
  std::vector<double> y(d.y_size()), u(static_cast<std::size_t>(products * d.in * d.out));
  const auto tap = [&](int p, int q, int k) {
    return static_cast<std::size_t>((p * window + q) * d.in * d.out + k);
  };
  for (int k = 0; k < d.in * d.out; ++k) {
    both_ways(
        transform_filter, [&](int p, int q) { return w[tap(p, q, k)]; },
        [&](int i, int j, double value) { u[index(i, j, k, d.in * d.out)] = value; });
  }
  const Images images{x, d.h, d.w, d.in};
  std::vector<double> v(static_cast<std::size_t>(products * d.in)), m(static_cast<std::size_t>(products));
  for_each_tile(d, [&](int n, int i0, int j0) {
    transform_patches(d, images, n, i0, j0, v);
    for (int o = 0; o < d.out; ++o) {
      for (int p = 0; p < products; ++p) {
        double sum = 0;
        for (int c = 0; c < d.in; ++c)
          sum += v[index(0, p, c, d.in)] * u[index(0, p, c * d.out + o, d.in * d.out)];
        m[static_cast<std::size_t>(p)] = sum;
      }
      both_ways(
          transform_back, [&](int p, int q) { return m[index(p, q, 0, 1)]; },
          [&](int i, int j, double value) {
            if (i0 + i >= d.oh || j0 + j >= d.ow) return;
            y[static_cast<std::size_t>(((n * d.oh + i0 + i) * d.ow + j0 + j) * d.out + o)] = value;
          });
    }
  });
  return y;
}

std::vector<double> winograd_filter_grad_magnitudes(const Conv2dDims& d, const std::vector<double>& x,
                                                    const std::vector<double>& dy) {
  const int pairs = d.in * d.out;
  std::vector<double> dw(d.w_size()), u(static_cast<std::size_t>(products * pairs));
  std::vector<double> v(static_cast<std::size_t>(products * d.in)),
      m(static_cast<std::size_t>(products * d.out));
  const Images images{x, d.h, d.w, d.in}, gradients{dy, d.oh, d.ow, d.out};
  const Transposed outputs_back(transform_back);
  const Transposed filter_back(transform_filter);
  for_each_tile(d, [&](int n, int i0, int j0) {
    transform_patches(d, images, n, i0, j0, v);
    for (int o = 0; o < d.out; ++o) {
      both_ways(
          outputs_back.t, [&](int p, int q) { return gradients.at(n, i0 + p, j0 + q, o); },
          [&](int i, int j, double value) { m[index(i, j, o, d.out)] = value; });
    }
    for (int p = 0; p < products; ++p) {
      for (int k = 0; k < pairs; ++k)
        u[index(0, p, k, pairs)] += v[index(0, p, k / d.out, d.in)] * m[index(0, p, k % d.out, d.out)];
    }
  });
  for (int k = 0; k < pairs; ++k) {
    both_ways(
        filter_back.t, [&](int p, int q) { return u[index(p, q, k, pairs)]; },
        [&](int i, int j, double value) {
          dw[static_cast<std::size_t>((i * window + j) * pairs + k)] = value;
        });
  }
  return dw;
}

}  // namespace autodiff::kernels::detail
