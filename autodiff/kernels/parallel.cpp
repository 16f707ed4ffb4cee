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
  const auto loop = [&] {
    oneapi::tbb::parallel_for(
        0, count, [&](int i) { body(i); }, oneapi::tbb::simple_partitioner());
  };
  if (p.arena) {
    p.arena->execute(loop);
  } else {
    loop();
  }
}
#else
int threads() { return 1; }

void set_threads(int) {}

void parallel_for(int count, IndexedTask body) {
  for (int i = 0; i < count; ++i) body(i);
}
#endif

}  // namespace autodiff::kernels
