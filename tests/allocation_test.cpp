// A program allocates when it is made and never when it runs. To see it, this file replaces operator new and,
// with glibc and without a sanitizer, malloc, for the whole test program; they count while a test asks for
// it.
#include <atomic>
#include <cstdlib>
#include <new>

#include "autodiff/graph/ops.h"
#include "autodiff/program/program.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/guards.h"
#include "tests/op_cases.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define EV3_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EV3_SANITIZED 1
#endif

namespace {

std::atomic<bool> counting{false};
std::atomic<long> news{0}, mallocs{0};

void count(std::atomic<long>& counter) {
  if (counting.load(std::memory_order_relaxed)) counter.fetch_add(1, std::memory_order_relaxed);
}

void* allocate(std::size_t size, std::size_t align) {
  count(news);
  void* memory = align <= alignof(std::max_align_t)
                     ? std::malloc(size ? size : 1)
                     : std::aligned_alloc(align, (size + align - 1) / align * align);
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

// The array forms call these. Not inlined, or gcc takes free() for a mismatch of new. The forms that do not
// throw are here too, because AddressSanitizer has its own of every form that a program does not replace.
[[gnu::noinline]] void* operator new(std::size_t size) { return allocate(size, 1); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t align) {
  return allocate(size, static_cast<std::size_t>(align));
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  count(news);
  return std::malloc(size ? size : 1);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

#if defined(__GLIBC__) && !defined(EV3_SANITIZED)
#define EV3_COUNTS_MALLOC 1
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) {
  count(mallocs);
  return __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) {
  count(mallocs);
  return __libc_calloc(n, size);
}
void* realloc(void* memory, std::size_t size) {
  count(mallocs);
  return __libc_realloc(memory, size);
}
void* aligned_alloc(std::size_t align, std::size_t size) {
  count(mallocs);
  return __libc_memalign(align, size);
}
}
#endif

using namespace autodiff;
using namespace tests;

namespace {

struct Counts {
  long news = 0, mallocs = 0;
};

template <class F>
Counts count_during(F f) {
  news = mallocs = 0;
  counting = true;
  f();
  counting = false;
  return {news, mallocs};
}

// A training step of a network, several stages, in chunks and as a whole, and its inputs.
struct Training {
  Graph g;
  Sources s{g};
  std::vector<Value> outputs;
  Filled filled;

  Training() {
    const Value x = s.batch({64, 20}), w1 = s.fixed({20, 30}), b1 = s.fixed({30}), w2 = s.fixed({30, 5});
    const Value labels = s.labels(64, 5);
    const Value hidden = relu(ballast(matmul(x, w1) + b1));
    const Value centred = hidden - max(hidden, {.axes = {0}});
    const Value logits = matmul(centred, w2);
    const Value loss = mean(cross_entropy(logits, labels)) + sum(square(w2)) * 0.01f;
    outputs = gradient(loss, std::vector<Value>{w1, b1, w2});
    outputs.insert(outputs.end(), {loss, argmax(logits), transpose(logits), loss});
    filled = fill(s.list, Seed{1});
  }
};

}  // namespace

TEST_CASE("the counters count") {
  CHECK(count_during([] { ::operator delete(::operator new(3)); }).news == 1);
  const Counts aligned = count_during([] { AlignedBuffer<float> buffer(100); });
  CHECK(aligned.news == 1);
#if EV3_COUNTS_MALLOC
  CHECK(aligned.mallocs == 1);
  const Counts cleared = count_during([] {
    void* volatile memory = std::calloc(3, 5);  // volatile, or clang leaves the pair out
    std::free(memory);
  });
  CHECK(cleared.mallocs == 1);
#endif
  Training t;
  CHECK(count_during([&] { compile(t.g, t.outputs); }).news > 100);
}

TEST_CASE("a program allocates nothing when it runs") {
  Training t;
  for (const int threads : {1, 2}) {
    const ThreadsGuard guard(threads);
    for (const kernels::Backend* row : kernels::enabled_backends()) {
      INFO(row->name << ", " << threads << " threads");
      Program program =
          compile(t.g, t.outputs, {.backends = kernels::parse_backends(row->name), .threads = threads});
      t.filled.bind(program, t.g);
      // The first run, and with threads some more: they start late and get their queues when they do.
      for (int i = 0; i < (threads == 1 ? 1 : 100); ++i) program.run();
      const Counts counts = count_during([&] {
        for (int i = 0; i < 100; ++i) {
          t.filled.bind(program, t.g);
          program.run();
        }
      });
      CHECK(counts.news == 0);
      CHECK(counts.mallocs == 0);
    }
  }
}

TEST_CASE("a copy of a program allocates its workspace and bindings, and no plan") {
  Training t;
  const Program program = compile(t.g, t.outputs, {.threads = 1});
  const Counts counts = count_during([&] { Program copy = program; });
  CHECK(counts.news == 2);
}

TEST_CASE(
    "a training step of a residual net, or one with dropout, allocates nothing from the second one on") {
  const nn::Network net = GENERATE(
      nn::Network(nn::ResNet{.inputs = {8, 8, 2}, .filters = 4, .blocks = {1, 1}, .classes = 3}),
      nn::Network(nn::Sequential{.inputs = {8, 8, 2},
                                 .layers = {nn::Dropout{}, nn::Flatten{}, nn::Dropout{}, nn::Dense{}},
                                 .classes = 3}));
  const std::vector<float> features(16 * 8 * 8 * 2, 0.5f);
  const std::vector<std::int32_t> labels(16, 1);
  // Without vectors OpenBLAS would be asked first, which allocates for some of its products.
  const kernels::Backends backends =
      kernels::simd_backend() ? kernels::default_backends() : kernels::parse_backends("portable");
  for (const nn::Optimizer& optimizer :
       {nn::Optimizer(nn::Sgd{.momentum = 0.9f}), nn::Optimizer(nn::AdamW{})}) {
    nn::Parameters parameters = nn::initialize(net, Seed{1});
    nn::TrainingStep step(net, nn::CrossEntropy{}, optimizer,
                          {.batch = 16, .clip_norm = 1.0, .compile = {.backends = backends, .threads = 1}});
    const auto run = [&] { step.run(parameters, features, std::span<const std::int32_t>(labels)); };
    run();
    const Counts counts = count_during([&] {
      for (int i = 0; i < 20; ++i) run();
    });
    CHECK(counts.news == 0);
    CHECK(counts.mallocs == 0);
  }
}
