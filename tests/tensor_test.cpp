#include "autodiff/tensor/tensor.h"

#include <cstdint>
#include <sstream>
#include <utility>
#include <vector>

#include "tests/catch.h"

using namespace autodiff;

TEST_CASE("shapes count, index and print") {
  const Shape scalar, image{4, 3, 2};
  CHECK(scalar.rank() == 0);
  CHECK(scalar.size() == 1);
  CHECK(scalar.str() == "[]");
  CHECK(image.size() == 24);
  CHECK(image[0] == 4);
  CHECK(image[-1] == 2);
  CHECK(image.str() == "[4, 3, 2]");
  CHECK(Shape{5, 0, 7}.size() == 0);
  CHECK(image.with(-1, 9) == Shape{4, 3, 9});
  CHECK(image.sample() == Shape{3, 2});
  CHECK(image.batched(8) == Shape{8, 4, 3, 2});
  CHECK(Shape{2, 3} != Shape{2, 3, 1});
  CHECK(Shape{0} != Shape{});
  CHECK(std::vector<int>(image.begin(), image.end()) == std::vector<int>{4, 3, 2});
}

TEST_CASE("shapes refuse what cannot be") {
  CHECK_THROWS_WITH((Shape{2, -1}), ContainsSubstring("-1 for axis 1"));
  CHECK_THROWS_WITH((Shape{1, 1, 1, 1, 1, 1, 1}), ContainsSubstring("at most 6 axes, got 7"));
  CHECK_THROWS_WITH((Shape{1 << 30, 1 << 30}), ContainsSubstring("2^48"));
  CHECK_THROWS_WITH((Shape{1 << 30, 0, 1 << 30}), ContainsSubstring("2^48"));  // strides would overflow
  CHECK_THROWS_WITH(Shape{}.sample(), ContainsSubstring("scalar"));
  CHECK_THROWS_WITH((Shape{1, 1, 1, 1, 1, 1}.batched(2)), ContainsSubstring("no room"));
  CHECK_NOTHROW(Shape{1 << 24, 1 << 24});
}

TEST_CASE("broadcasting follows NumPy") {
  CHECK(broadcast({3, 4}, {4}, "add") == Shape{3, 4});
  CHECK(broadcast({3, 1}, {1, 4}, "add") == Shape{3, 4});
  CHECK(broadcast({}, {2, 2}, "add") == Shape{2, 2});
  CHECK(broadcast({0, 1}, {1, 5}, "add") == Shape{0, 5});
  CHECK_THROWS_WITH(broadcast({3, 4}, {3}, "add"),
                    ContainsSubstring("add") && ContainsSubstring("[3, 4] and [3]"));
  CHECK(row_major({3, 2, 2}) == Strides{4, 2, 1});
  CHECK(broadcast_strides({2, 1}, {5, 2, 3}) == Strides{0, 1, 0});
}

TEST_CASE("buffers are aligned, zero at first, and own what they hold") {
  for (const std::size_t size : {1u, 3u, 16u, 1000u}) {
    AlignedBuffer<float> buffer(size);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % alignment == 0);
    CHECK(std::vector<float>(buffer.begin(), buffer.end()) == std::vector<float>(size));
  }
  CHECK(aligned(0) == 0);
  CHECK(aligned(1) == 64);
  CHECK(aligned(64) == 64);

  AlignedBuffer<float> a(4);
  a[2] = 5;
  AlignedBuffer<float> b = a;
  b[2] = 6;
  CHECK(a[2] == 5);
  const float* memory = a.data();
  a = b;  // same size: into the memory already there
  CHECK(a.data() == memory);
  CHECK(a[2] == 6);
  const AlignedBuffer<float> c = std::move(a);
  CHECK(c.data() == memory);
  CHECK(a.size() == 0);  // NOLINT(bugprone-use-after-move): documented to be empty
  b = AlignedBuffer<float>();
  CHECK(b.empty());
  a = c;
  CHECK(a[2] == 6);
  CHECK_THROWS_AS(AlignedBuffer<double>(static_cast<std::size_t>(-1) / 4), std::bad_alloc);
}

TEST_CASE("tensors own their values") {
  const Tensor nothing;
  CHECK(nothing.item() == 0);
  Tensor x({2, 3}, {1, 2, 3, 4, 5, 6});
  Tensor copy = x;
  copy[0] = 9;
  CHECK(x[0] == 1);
  CHECK(x.view()(1, 2) == 6);
  CHECK_THROWS_WITH(x.item(), ContainsSubstring("[2, 3]"));
  CHECK_THROWS_WITH(Tensor({2, 2}, {1, 2, 3}), ContainsSubstring("want 4 values for shape [2, 2], got 3"));
  CHECK(Tensor({0, 3}).size() == 0);
  CHECK(Labels(Shape{2}, {4, 5})[1] == 5);
}

TEST_CASE("views transpose and slice without moving data") {
  Tensor x({2, 3}, {1, 2, 3, 4, 5, 6});
  const View<float> t = x.view().transposed();
  CHECK(t.shape == Shape{3, 2});
  CHECK(t(2, 0) == 3);
  CHECK(t(0, 1) == 4);
  const View<float> s = x.view().slice(1, 1, 3);
  CHECK(s.shape == Shape{2, 2});
  CHECK(s(1, 0) == 5);
  s(1, 0) = 50;
  CHECK(x[4] == 50);
  CHECK(t.slice(0, 1, 2)(0, 1) == 50);
  CHECK(x.view().slice(0, 2, 2).shape.size() == 0);
  CHECK_THROWS_WITH(x.view().slice(1, 2, 4), ContainsSubstring("axis 1 of [2, 3], got [2, 4)"));
  CHECK_THROWS_WITH(x.view().slice(2, 0, 1), ContainsSubstring("axis 2"));
}

TEST_CASE("tensors print in brackets, long ones shortened") {
  const auto print = [](const Tensor& x) {
    std::ostringstream out;
    out << x;
    return out.str();
  };
  CHECK(print(Tensor({2, 2}, {1, 2.5f, 3, -4})) == "[[1, 2.5], [3, -4]]");
  CHECK(print(Tensor({}, {7})) == "7");
  CHECK(print(Tensor({0})) == "[]");
  CHECK(print(Tensor({9}, {0, 1, 2, 3, 4, 5, 6, 7, 8})) == "[0, 1, 2, 3, 4, 5, 6, ... 8]");
  CHECK(print(Tensor({8}, {0, 1, 2, 3, 4, 5, 6, 7})) == "[0, 1, 2, 3, 4, 5, 6, 7]");
}
