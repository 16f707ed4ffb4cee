// Lists of small calls as a CUDA device does them, checked on the host: wave after wave, and as programs for
// one element.
#include <cstring>

#include "autodiff/kernels/cuda/list_program.h"
#include "autodiff/kernels/elementwise.h"
#include "tests/catch.h"
#include "tests/picker.h"

using namespace autodiff;
using namespace autodiff::kernels;
using tests::Picker;

// Calls of a few arrays that lie apart, so that many read what others have written element by element, and of
// anything anywhere.
TEST_CASE("small calls give the same by threads that wait between waves as one after the other") {
  constexpr int threads = 4;
  int aligned = 0, waited = 0, loads = 0, kept_back = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const Random random{Seed{seed}};
    Picker pick{random};
    constexpr std::size_t size = 256;
    std::vector<float> memory(size), in_turn;
    for (std::size_t i = 0; i < size; ++i) memory[i] = static_cast<float>(random.normal(5000 + i));
    in_turn = memory;
    cuda::SmallCalls calls;
    std::vector<float> room(cuda::SmallList::room, NAN);
    const auto run = [&](const cuda::SmallList::Call& c, float* where, int first, int step) {
      cuda::run_small(
          c, where, first, step,
          [&](float a) {
            return unary_reference(static_cast<Unary>(c.code), a, static_cast<double>(c.constant));
          },
          [&](float a, float b) { return binary_reference(static_cast<Binary>(c.code), a, b); });
    };
    const auto read = [](const float* p) { return *p; };
    for (int k = 0; k < cuda::SmallList::longest; ++k) {
      cuda::Small s;
      s.kind = static_cast<cuda::Small::Kind>(pick(4));
      const bool anywhere = pick(3) == 0;
      s.rows = 1 + pick(2), s.columns = anywhere ? 1 + pick(8) : 8;
      s.y_row = s.columns, s.y_column = 1;
      s.a_row = anywhere && pick(2) ? 0 : s.columns, s.a_column = anywhere ? pick(2) : 1;
      s.b_row = pick(2) ? s.columns : 0, s.b_column = pick(2);
      s.code = static_cast<unsigned char>(s.kind == cuda::Small::Kind::unary ? static_cast<int>(Unary::scale)
                                                                             : pick(3));
      s.constant = 0.5f;
      // Results do not overlap with what the same call reads, as in programs.
      const int half = pick(2) * 128;
      const auto place = [&] { return anywhere ? pick(100) : 16 * pick(6); };
      s.y = memory.data() + half + place();
      s.a = memory.data() + (128 - half) + place();
      s.b = memory.data() + (128 - half) + place();
      if (s.kind != cuda::Small::Kind::binary) s.b = nullptr;
      if (s.kind == cuda::Small::Kind::zero) s.a = nullptr;
      REQUIRE(calls.add(s));
      // The same call alone, with the other memory as its room.
      cuda::SmallCalls alone;
      REQUIRE(alone.add(s));
      cuda::SmallList::Call c = alone.list().call[0];
      const auto at = [&](const float* p) { return static_cast<short>(p ? p - memory.data() : 0); };
      c.a = at(s.a), c.b = at(s.b), c.y = at(s.y);
      run(c, in_turn.data(), 0, 1);
    }
    cuda::SmallList list = calls.list();
    REQUIRE(list.calls == cuda::SmallList::longest);
    std::vector<float> by_waves = memory;
    for (int k = 0; k < list.calls; ++k) {
      cuda::SmallList::Call& c = list.call[k];
      if (k > 0) {
        CHECK(list.call[k - 1].wave <= c.wave);
        (list.call[k - 1].wave == c.wave ? aligned : waited) += 1;
      }
      loads += c.loads_a + c.loads_b;
      kept_back += !c.stores;
      cuda::load_small(c, room.data(), 0, 1, read);
      c.y_to = by_waves.data() + (c.y_to - memory.data());
    }
    for (int first = 0; first < list.calls;) {
      int last = first;
      while (last < list.calls && list.call[last].wave == list.call[first].wave) ++last;
      for (int t = 0; t < threads; ++t) {  // each does all of the wave, before the next begins
        const int thread = seed % 2 ? t : threads - 1 - t;
        for (int k = first; k < last; ++k) run(list.call[k], room.data(), thread, threads);
      }
      first = last;
    }
    for (int k = list.calls - 1; k >= 0; --k) cuda::store_small(list.call[k], room.data(), 0, 1);
    INFO("list " << seed);
    CHECK(std::memcmp(by_waves.data(), in_turn.data(), size * sizeof(float)) == 0);
    CHECK(!list.independent);
  }
  CHECK(aligned > 1000);
  CHECK(waited > 1000);
  CHECK(loads < 400 * 40);
  CHECK(kept_back > 100);
}

// Vectors of 4 and of 8 elements at the same few places, so that some are halves of others.
TEST_CASE("a list as a program for one element gives the same as its calls one after the other") {
  int programs = 0, others = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const Random random{Seed{seed}};
    Picker pick{random};
    std::vector<float> memory(128);
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<float>(random.normal(5000 + i));
    std::vector<float> in_turn = memory, by_element = memory;
    std::vector<cuda::Small> calls;
    for (int k = 0; k < 8; ++k) {
      cuda::Small s;
      s.kind = static_cast<cuda::Small::Kind>(pick(4));
      const bool is_long = pick(3) == 0;
      s.rows = is_long ? 2 : 1, s.columns = 4;
      s.a_row = s.y_row = 4, s.a_column = s.y_column = 1;
      s.b_row = pick(4) ? 4 : 0, s.b_column = s.b_row ? 1 : 0;
      s.code = static_cast<unsigned char>(s.kind == cuda::Small::Kind::unary ? static_cast<int>(Unary::scale)
                                                                             : pick(3));
      s.constant = 0.5f;
      const auto place = [&] { return (is_long ? 8 * pick(4) : 4 * pick(8)) + (pick(20) == 0 ? 1 : 0); };
      const int half = pick(2) * 64;  // results do not overlap with what the same call reads
      s.y = memory.data() + half + place();
      s.a = memory.data() + (64 - half) + place();
      s.b = memory.data() + (64 - half) + place();
      if (s.kind != cuda::Small::Kind::binary) s.b = nullptr;
      if (s.kind == cuda::Small::Kind::zero) s.a = nullptr;
      calls.push_back(s);
      for (int i = 0; i < s.rows * s.columns; ++i) {
        const int row = i / 4, column = i % 4;
        const auto at = [&](const float* p, int by_row, int by_column) {
          return in_turn[static_cast<std::size_t>(p - memory.data() + row * by_row + column * by_column)];
        };
        const float a = s.a ? at(s.a, s.a_row, s.a_column) : 0;
        const float y = s.kind == cuda::Small::Kind::unary ? 0.5f * a
                        : s.kind == cuda::Small::Kind::binary
                            ? binary_reference(static_cast<Binary>(s.code), a, at(s.b, s.b_row, s.b_column))
                            : a;
        in_turn[static_cast<std::size_t>(s.y - memory.data() + i)] = y;
      }
    }
    const auto program = cuda::ListProgram::of(calls);
    if (!program) {
      ++others;
      continue;
    }
    ++programs;
    cuda::ListProgram moved = *program;
    const auto move = [&](auto& p) { p = by_element.data() + (p - memory.data()); };
    for (int k = 0; k < moved.inputs; ++k) move(moved.input[k].from);
    for (int k = 0; k < moved.steps; ++k) {
      if (moved.step[k].y) move(moved.step[k].y);
    }
    CHECK(moved.at_once() * (moved.inputs + moved.steps) <= cuda::SmallList::room);
    std::vector<float> room(cuda::SmallList::room, NAN);
    for (int e = moved.n - 1; e >= 0; --e) {  // element after element, from the last one
      float* values = room.data() + e % moved.at_once();
      for (int k = 0; k < moved.inputs; ++k)
        values[k * moved.at_once()] = moved.input[k].from[e * moved.input[k].step];
      cuda::run_steps(moved, values, e);
    }
    INFO("list " << seed);
    CHECK(std::memcmp(by_element.data(), in_turn.data(), memory.size() * sizeof(float)) == 0);
  }
  CHECK(programs > 100);
  CHECK(others > 100);
}

TEST_CASE("programs of long vectors have room for the values of some elements at a time") {
  std::vector<float> memory(50000);
  std::vector<cuda::Small> calls;
  for (int k = 0; k < 40; ++k) {
    calls.push_back({.kind = cuda::Small::Kind::binary,
                     .columns = 1000,
                     .a_column = 1,
                     .b_column = 1,
                     .y_column = 1,
                     .a = memory.data() + 1000 * k,
                     .b = memory.data(),
                     .y = memory.data() + 1000 * (k + 1)});
  }
  const auto few = cuda::ListProgram::of({calls[0]}), many = cuda::ListProgram::of(calls);
  REQUIRE(few);
  REQUIRE(many);
  CHECK(few->at_once() == 256);
  CHECK(many->n == 1000);
  CHECK(many->at_once() == 64);  // 4096 floats for 41 inputs and 40 results
}

TEST_CASE("the range of an array has all its elements, whichever way they are read") {
  const std::vector<float> memory(100);
  const int sizes[] = {3, 4}, there[] = {10, 2}, back[] = {-10, 2};
  const auto same = [](const cuda::Range& a, const cuda::Range& b) {
    return a.first == b.first && a.last == b.last;
  };
  const cuda::Range all(memory.data() + 50, 27);
  CHECK(same(cuda::range_of(memory.data() + 50, 2, sizes, there), all));
  CHECK(same(cuda::range_of(memory.data() + 70, 2, sizes, back), all));
}

TEST_CASE("a list takes no call for which it has no room") {
  static_assert(cuda::SmallList::room == 4096);
  std::vector<float> memory(6000);
  cuda::Small s{.columns = 1000, .a_column = 1, .y_column = 1, .a = memory.data(), .y = memory.data() + 1000};
  cuda::SmallCalls calls;
  CHECK(calls.add(s));
  CHECK(calls.list().independent);
  CHECK(calls.add(s));
  CHECK(!calls.list().independent);
  for (int k = 0; k < 2; ++k) {
    s.y += 1000;
    CHECK(calls.add(s));
  }
  s.y += 1000;
  CHECK(!calls.add(s));
  s = {.columns = 2, .a_column = 5000, .y_column = 1, .a = memory.data(), .y = memory.data() + 2000};
  CHECK(!cuda::SmallCalls().add(s));
}

// A reduction is y[i] = the sum of x[i], x[i + 8], ...; lists are of calls far apart, so that some may follow
// it.
TEST_CASE("a list that may follow a reduction gives the same after it as before it") {
  int followed = 0, kept = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const Random random{Seed{seed}};
    Picker pick{random};
    constexpr std::size_t size = 256;
    std::vector<float> start(size);
    for (std::size_t i = 0; i < size; ++i) start[i] = static_cast<float>(random.normal(100 + i));
    const int x = pick(192), y = pick(248);
    std::vector<cuda::Small> calls(1 + static_cast<std::size_t>(pick(3)));
    for (cuda::Small& s : calls) {
      s = {.kind = cuda::Small::Kind::binary, .columns = 1 + pick(8), .a_column = 1, .b_column = pick(2)};
      s.y_column = 1;
      s.a = start.data() + pick(200), s.b = start.data() + pick(200), s.y = start.data() + pick(200);
    }
    cuda::SmallCalls list;
    for (const cuda::Small& s : calls) REQUIRE(list.add(s));
    const auto both = [&](bool list_first) {
      std::vector<float> memory = start;
      const auto run_list = [&] {
        for (const cuda::Small& s : calls) {
          const auto at = [&](const float* p, int step, int i) { return p - start.data() + step * i; };
          for (int i = 0; i < s.columns; ++i) {
            memory[static_cast<std::size_t>(at(s.y, 1, i))] =
                memory[static_cast<std::size_t>(at(s.a, 1, i))] +
                memory[static_cast<std::size_t>(at(s.b, s.b_column, i))];
          }
        }
      };
      if (list_first) run_list();
      std::vector<float> sums(8);
      for (std::size_t i = 0; i < 64; ++i) sums[i % 8] += memory[static_cast<std::size_t>(x) + i];
      std::copy(sums.begin(), sums.end(), memory.begin() + y);
      if (!list_first) run_list();
      return memory;
    };
    if (list.may_follow({start.data() + x, 64}, {start.data() + y, 8})) {
      ++followed;
      INFO("list " << seed);
      CHECK(both(true) == both(false));
    } else {
      ++kept;
    }
  }
  CHECK(followed > 100);
  CHECK(kept > 100);
}
