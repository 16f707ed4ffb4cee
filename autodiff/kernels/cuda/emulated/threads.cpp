// The threads of a block: each with a stack of its own, they take turns on one thread of the host.
#include <sys/mman.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "autodiff/kernels/cuda/emulated/cuda_pipeline.h"
#include "autodiff/kernels/cuda/emulated/fiber.h"

thread_local uint3 threadIdx, blockIdx;
thread_local dim3 blockDim, gridDim;

namespace emulated {
namespace {

constexpr std::size_t stack_bytes = 256 << 10, warp_size = 32, most_threads = 1024, most_value = 64;

// Waits of some threads for each other: a turn ends when all that are alive have come.
struct Meeting {
  unsigned alive = 0, here = 0, turn = 0;

  bool is_complete() {
    if (here < alive || alive == 0) return false;
    here = 0;
    ++turn;
    return true;
  }
};

struct Warp {
  Meeting meeting;
  alignas(16) std::byte values[2][warp_size * most_value];
};

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes, zeros;
};

struct Thread {
  Fiber fiber;
  std::byte* stack = nullptr;
  bool has_ended = false;
  const Meeting* waits = nullptr;  // for the turn after `turn`
  unsigned turn = 0;
  uint3 thread;
  std::size_t index = 0;
  std::vector<std::vector<Copy>> groups;  // the last one is open
};

// What one thread of the host needs to run blocks.
struct Machine {
  std::vector<Thread> threads{most_threads};
  std::vector<Warp> warps{most_threads / warp_size};
  Meeting block;
  Fiber scheduler;
  Thread* now = nullptr;
  const std::function<void()>* body = nullptr;
  std::vector<std::byte> shared = std::vector<std::byte>(most_shared + 64);
  unsigned launches = 0;

  Machine() = default;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine() {
    for (const Thread& f : threads) {
      if (f.stack) munmap(f.stack, stack_bytes);
    }
  }
};
thread_local std::unique_ptr<Machine> machine;

// Lets others run until the meeting is complete.
void meet(Meeting& meeting) {
  Thread& f = *machine->now;
  const unsigned turn = meeting.turn;
  ++meeting.here;
  if (meeting.is_complete()) return;
  f.waits = &meeting;
  f.turn = turn;
  f.fiber.switch_to(machine->scheduler);
}

void begin() {
  Machine& m = *machine;
  m.now->fiber.arrive_from(m.scheduler);
  (*m.body)();
  Thread& f = *m.now;
  f.has_ended = true;
  Meeting& warp = m.warps[f.index / warp_size].meeting;
  --warp.alive, --m.block.alive;
  warp.is_complete();
  m.block.is_complete();
  f.fiber.leave_to(m.scheduler);
}

void run_block(Machine& m, std::size_t threads, bool backwards) {
  m.block = {.alive = static_cast<unsigned>(threads)};
  for (std::size_t w = 0; w * warp_size < threads; ++w) {
    m.warps[w].meeting = {.alive = static_cast<unsigned>(std::min(warp_size, threads - w * warp_size))};
  }
  for (std::size_t i = 0; i < threads; ++i) {
    Thread& f = m.threads[i];
    if (!f.stack) {
      void* memory = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) std::abort();
      f.stack = static_cast<std::byte*>(memory);
    }
    f.has_ended = false, f.waits = nullptr, f.index = i;
    if (f.groups.size() != 1 || !f.groups[0].empty()) f.groups.assign(1, {});
    const auto x = static_cast<unsigned>(i);
    f.thread = {x % blockDim.x, x / blockDim.x % blockDim.y, x / blockDim.x / blockDim.y};
    f.fiber.begin(f.stack, stack_bytes, begin);
  }
  for (std::size_t left = threads; left > 0;) {
    bool goes_on = false;
    for (std::size_t k = 0; k < threads; ++k) {
      Thread& f = m.threads[backwards ? threads - 1 - k : k];
      if (f.has_ended || (f.waits && f.waits->turn == f.turn)) continue;
      f.waits = nullptr;
      goes_on = true;
      m.now = &f;
      threadIdx = f.thread;
      m.scheduler.switch_to(f.fiber);
      if (f.has_ended) --left;
    }
    if (!goes_on) {
      std::fputs("emulated device: threads wait for others that wait elsewhere\n", stderr);
      std::abort();
    }
  }
}

}  // namespace

std::byte* shared_memory() {
  auto* data = machine->shared.data();
  return data + (64 - reinterpret_cast<std::uintptr_t>(data) % 64) % 64;
}

void wait_for_block() { meet(machine->block); }

int lane() { return static_cast<int>(machine->now->index % warp_size); }

const std::byte* exchange(const void* value, std::size_t bytes) {
  if (bytes > most_value) std::abort();
  Warp& warp = machine->warps[machine->now->index / warp_size];
  std::byte* all = warp.values[warp.meeting.turn % 2];
  std::memcpy(all + static_cast<std::size_t>(lane()) * bytes, value, bytes);
  meet(warp.meeting);
  return all;
}

void multiply(float* c, const unsigned* a, const unsigned* b) {
  struct Mine {
    unsigned a[4], b[2];
  };
  const Mine* all = exchange(Mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
  const int g = lane() / 4, t = lane() % 4;
  for (int e = 0; e < 4; ++e) {
    const int column = 2 * t + e % 2, upper = e / 2;  // row g or g + 8
    float sum = c[e];
    for (int k = 0; k < 8; ++k) {
      const float left = read_tf32(all[g * 4 + k % 4].a[upper + k / 4 * 2]),
                  right = read_tf32(all[column * 4 + k % 4].b[k / 4]);
      sum = std::fma(left, right, sum);
    }
    c[e] = sum;
  }
}

void load_matrices(unsigned* to, const float* row) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) std::abort();
  const auto* all = exchange(row);
  for (int m = 0; m < 4; ++m) to[m] = std::bit_cast<unsigned>(all[m * 8 + lane() / 4][lane() % 4]);
}

void copy_later(void* to, const void* from, std::size_t bytes, std::size_t zeros) {
  machine->now->groups.back().push_back({to, from, bytes, zeros});
}

void end_group() { machine->now->groups.emplace_back(); }

void wait_for_groups(std::size_t but_the_last) {
  auto& groups = machine->now->groups;
  while (groups.size() > but_the_last + 1) {
    for (const Copy& copy : groups.front()) {
      std::memcpy(copy.to, copy.from, copy.bytes - copy.zeros);
      std::memset(static_cast<std::byte*>(copy.to) + copy.bytes - copy.zeros, 0, copy.zeros);
    }
    groups.erase(groups.begin());
  }
}

void run(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  if (!machine) machine = std::make_unique<Machine>();
  Machine& m = *machine;
  m.body = &thread;
  gridDim = config.gridDim, blockDim = config.blockDim;
  const bool backwards = m.launches++ % 2 == 1;
  const std::size_t blocks = std::size_t{1} * gridDim.x * gridDim.y * gridDim.z;
  for (std::size_t k = 0; k < blocks; ++k) {
    const std::size_t b = backwards ? blocks - 1 - k : k;
    blockIdx = {static_cast<unsigned>(b % gridDim.x), static_cast<unsigned>(b / gridDim.x % gridDim.y),
                static_cast<unsigned>(b / gridDim.x / gridDim.y)};
    std::memset(shared_memory(), 0xff, config.dynamicSmemBytes);  // NaN
    run_block(m, std::size_t{1} * blockDim.x * blockDim.y * blockDim.z, backwards);
  }
}

}  // namespace emulated
