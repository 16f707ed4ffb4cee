#include "autodiff/kernels/parallel.h"

#include <algorithm>
#include <memory>

#if EV3_HAVE_TBB
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>
#endif

namespace autodiff::kernels {

#if EV3_HAVE_TBB
namespace {

// libtbb is not built for ThreadSanitizer, which therefore cannot see how it hands work over: it is told. In
// such a build this file itself is compiled without it, see CMakeLists.txt.
#if EV3_TSAN
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
void handed_over(void* address) { __tsan_release(address); }
void taken_over(void* address) { __tsan_acquire(address); }
#else
void handed_over(void*) {}
void taken_over(void*) {}
#endif

struct Pool {
  int count = oneapi::tbb::info::default_concurrency();
  // More threads than cores must be possible too: results may not depend on their number, and a test asks for
  // three.
  std::unique_ptr<oneapi::tbb::global_control> limit;
  std::unique_ptr<oneapi::tbb::task_arena> arena;
};

Pool& pool() {
  static Pool instance;
  return instance;
}

}  // namespace

int threads() { return pool().count; }

void set_threads(int count) {
  Pool& p = pool();
  p.count = std::max(1, count);
  p.arena.reset();
  p.limit = std::make_unique<oneapi::tbb::global_control>(
      oneapi::tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(p.count));
  p.arena = std::make_unique<oneapi::tbb::task_arena>(p.count);
}

void parallel_for(int count, IndexedTask body) {
  Pool& p = pool();
  if (count <= 1 || p.count == 1) {
    for (int i = 0; i < count; ++i) body(i);
    return;
  }
  char begin = 0, end = 0;
  const auto loop = [&] {
    const auto one = [&](int i) {
      taken_over(&begin);
      body(i);
      handed_over(&end);
    };
    oneapi::tbb::parallel_for(0, count, one, oneapi::tbb::simple_partitioner());
  };
  handed_over(&begin);
  if (p.arena) {
    p.arena->execute(loop);
  } else {
    loop();
  }
  taken_over(&end);
}
#else
int threads() { return 1; }

void set_threads(int) {}

void parallel_for(int count, IndexedTask body) {
  for (int i = 0; i < count; ++i) body(i);
}
#endif

}  // namespace autodiff::kernels
