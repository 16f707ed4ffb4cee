#include "autodiff/kernels/parallel.h"

#include <atomic>
#include <stdexcept>
#include <vector>

#include "tests/catch.h"

using namespace autodiff::kernels;

namespace {

// Gives the number of threads back at the end.
struct RestoreThreads {
  int before = threads();
  ~RestoreThreads() { set_threads(before); }
};

}  // namespace

TEST_CASE("parallel_for calls each index once for any number of threads") {
  const RestoreThreads restore;
  for (const int count : {1, 2, 3, 7}) {
    set_threads(count);
    CHECK((threads() == count || threads() == 1));  // 1 without oneTBB
    for (const int n : {0, 1, 2, 100, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(n) + 1);
      parallel_for(n, [&](int i) { ++calls[static_cast<std::size_t>(i)]; });
      int wrong = calls.back() != 0;
      for (int i = 0; i < n; ++i) wrong += calls[static_cast<std::size_t>(i)] != 1;
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("an exception leaves parallel_for, which works again afterwards") {
  const RestoreThreads restore;
  for (const int count : {1, 3}) {
    set_threads(count);
    const auto fails = [](int i) {
      if (i == 17) throw std::runtime_error("seventeen");
    };
    CHECK_THROWS_WITH(parallel_for(64, fails), "seventeen");
    std::atomic<int> sum = 0;
    parallel_for(10, [&](int i) { sum += i; });
    CHECK(sum == 45);
  }
}

TEST_CASE("parallel_for inside parallel_for") {
  const RestoreThreads restore;
  for (const int count : {1, 2, 7}) {
    set_threads(count);
    std::vector<std::atomic<int>> calls(8 * 9);
    parallel_for(
        8, [&](int i) { parallel_for(9, [&](int j) { ++calls[static_cast<std::size_t>(i * 9 + j)]; }); });
    int wrong = 0;
    for (const auto& c : calls) wrong += c != 1;
    CHECK(wrong == 0);
  }
}

TEST_CASE("the number of threads is at least one") {
  const RestoreThreads restore;
  set_threads(0);
  CHECK(threads() == 1);
  set_threads(-3);
  CHECK(threads() == 1);
}
