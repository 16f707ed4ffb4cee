// Random graphs: 600, from all ops, compiled for every backend and compared with the interpretation
// in double, with all checks of a plan.
#include <cstring>
#include <limits>

#include "autodiff/graph/ops.h"
#include "autodiff/program/program.h"
#include "tests/catch.h"
#include "tests/error_bound.h"
#include "tests/guards.h"
#include "tests/op_cases.h"
#include "tests/plan_check.h"
#include "tests/programs.h"

using namespace autodiff;
using namespace tests;

namespace {

// Grows a graph op by op. Values stay of moderate size: products are squashed.
class GraphGrower {
 public:
  GraphGrower(Graph& graph, Seed seed) : sources{graph}, random_(seed) {
    constexpr int batches[] = {1, 2, 5, 7, 16, 37, 128};
    samples_ = batches[below(7)];
    pool_ = {sources.batch({samples_, size()}), sources.batch({samples_, size(), 2}), sources.fixed({size()}),
             sources.fixed({size(), size()})};
    if (below(4) == 0) pool_.push_back(sources.batch({samples_ + 3, size()}));  // data of another length
    if (below(4) == 0) pool_.push_back(graph.constant(Tensor({1, 2}, {0.5f, -2})));
    // Most graphs get something expensive, so that what hangs together with it is cut into chunks.
    for (Value& v : pool_) {
      if (v.batched() && below(3) > 0) v = ballast(v, 1e9 * (1 + below(16)));
    }
    const int ops = 4 + below(20);
    while (static_cast<int>(pool_.size()) < ops + 4) {
      const Value v = grow();
      if (v.shape().size() <= 60000 && v.shape().size() > 0) pool_.push_back(v);
    }
  }
  Value any() { return pool_[static_cast<std::size_t>(below(static_cast<int>(pool_.size())))]; }
  int below(int n) { return static_cast<int>(random_.below(at_++, static_cast<std::uint64_t>(n))); }

  Sources sources;

 private:
  int size() { return 1 + below(6); }
  int axis_of(Value v) { return below(v.shape().rank()); }

  Value grow() {
    const Value a = any(), b = any();
    const bool has_axes = a.shape().rank() > 0, matrix = a.shape().rank() == 2;
    switch (below(17)) {
      case 0:
        return relu(a);
      case 1:
        return below(2) ? tanh(a) : sigmoid(a);
      case 2:
        return below(2) ? shift(a, 0.25f) : scale(a, -0.75f);
      case 3:
      case 4:
        if (!can_broadcast(a, b)) return a + sources.graph.constant(0.5f);
        return below(3) == 0 ? tanh(a) * b : below(2) ? a + b : a - b;
      case 5:
        return below(2) ? exp(tanh(a)) : a / (square(a) + 1.0f);
      case 6:
      case 7:
        return matrix ? multiply(a, b) : a.shape().rank() > 2 ? multiply_stack(a, b) : square(tanh(a));
      case 8: {
        if (!has_axes) return stop_gradient(a);
        const ReduceOptions options{.axes = below(3) ? std::vector<int>{axis_of(a)} : std::vector<int>{},
                                    .keep_axes = below(2) == 0};
        return below(3) == 0 ? max(a, options) : below(2) ? mean(a, options) : scale(sum(a, options), 0.25f);
      }
      case 9:
        return transpose(a);
      case 10: {
        if (!has_axes) return a;
        const int axis = axis_of(a), end = 1 + below(a.shape()[axis]);
        return below(2) ? slice(a, axis, below(end), end) : pad(a, axis, below(3), below(3));
      }
      case 11: {
        if (!has_axes || !same_but(a, b, a.shape().rank() - 1)) return stop_gradient(a);
        return concat(std::vector<Value>{a, b, a}, a.shape().rank() - 1);
      }
      case 12:
        return below(2) && has_axes ? flatten(a) : reshape(a, {static_cast<int>(a.shape().size())});
      case 13:
        if (has_axes && a.shape()[0] == samples_ && below(3) == 0) {
          return dropout(a, sources.labels(samples_, 1 << 30), {.rate = 0.25 * below(4), .layer = below(3)});
        }
        return has_axes ? (below(2) ? softmax(a) : log_softmax(a)) : a;
      case 14:  // read by two stages, with the mean between them
        if (has_axes && a.batched()) return relu(a - mean(a, {.axes = {0}}));
        [[fallthrough]];
      case 15:
        return ballast(a, 4e6 * (1 + below(20)));
      default:
        if (matrix && a.shape()[0] == samples_) {
          const Value labels = sources.labels(samples_, a.shape()[1]);
          return below(2) ? cross_entropy(a, labels) : gather(a, labels);
        }
        return has_axes ? concat(std::vector<Value>{a, a}, 0) : broadcast_to(a, {samples_, 2});
    }
  }

  Value multiply(Value a, Value b) {
    const Shape &sa = a.shape(), &sb = b.shape();
    const bool other_matrix = sb.rank() == 2;
    if (other_matrix && sa[0] == sb[0] && below(2)) return scale(matmul(a, b, {.transpose_a = true}), 0.1f);
    if (other_matrix && sa[1] == sb[1] && below(2)) return scale(matmul(a, b, {.transpose_b = true}), 0.1f);
    if (other_matrix && sa[1] == sb[0]) return scale(matmul(a, b), 0.1f);
    return scale(matmul(a, sources.fixed({sa[1], size()})), 0.3f);
  }
  // Of a stack with itself, with another one, or with one matrix for all.
  Value multiply_stack(Value a, Value b) {
    const Shape &sa = a.shape(), &sb = b.shape();
    const bool alike = sa.rank() == sb.rank() && same_but(a, b, sa.rank() - 1);
    switch (below(4)) {
      case 0:
        return scale(matmul(a, sources.fixed({sa[-1], size()})), 0.3f);
      case 1:
        return scale(matmul(sources.fixed({size(), sa[-2]}), a), 0.3f);
      case 2:
        return scale(matmul(a, alike ? b : a, {.transpose_a = true, .sum_stack = below(2) == 0}), 0.1f);
      default:
        return scale(matmul(a, sa == sb ? b : a, {.transpose_b = true, .sum_stack = below(2) == 0}), 0.1f);
    }
  }
  static bool can_broadcast(Value a, Value b) {
    try {
      broadcast(a.shape(), b.shape(), "test");
      return true;
    } catch (const Error&) {
      return false;
    }
  }
  static bool same_but(Value a, Value b, int axis) {
    return a.shape().rank() == b.shape().rank() && a.shape().with(axis, 0) == b.shape().with(axis, 0);
  }

  Random random_;
  std::uint64_t at_ = 0;
  int samples_ = 0;
  std::vector<Value> pool_;
};

}  // namespace

TEST_CASE(
    "random graphs: every backend within the rounding error, sound plans, the same bits on any threads") {
  int compared = 0, unbounded = 0;
  std::size_t stages = 0, chunks = 0;
  int again = 0;
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    Graph g;
    GraphGrower grower(g, Seed{seed});
    std::vector<Value> outputs;
    for (int i = 1 + grower.below(3); i > 0; --i) outputs.push_back(grower.any());
    if (grower.below(2)) {
      std::vector<Value> wrt;
      for (const OpSource& s : grower.sources.list) {
        if (s.fill != Fill::classes) wrt.push_back(s.value);
      }
      for (const Value& d : gradient(mean(outputs[0]), wrt)) outputs.push_back(d);
    }
    const Filled filled = fill(grower.sources.list, Seed{seed});
    Filled poison = filled;
    for (auto& [id, x] : poison.values)
      std::fill(x.begin(), x.end(), std::numeric_limits<float>::quiet_NaN());
    const auto want = interpret_bounded(g, outputs, filled.feeds<double>());

    for (const kernels::Backend* row : kernels::enabled_backends()) {
      std::vector<std::vector<float>> first;
      for (const int threads : {1, 2, 3}) {
        INFO("seed " << seed << " on " << row->name << ", " << threads << " threads");
        const ThreadsGuard guard(threads);
        Program program = compile(g, outputs,
                                  {.backends = kernels::parse_backends(row->name),
                                   .threads = threads,
                                   .recompute_above = seed % 2 ? 0 : std::size_t{4} << 20});
        for (const Stage& stage : program.plan().stages) {
          for (const Step& step : stage.steps) again += step.row.op.ends_with(" again");
        }
        CHECK(unsound(program, g) == "");
        poison.bind(program, g);
        program.run();  // whatever is read from the workspace before it is written is not a number now
        filled.bind(program, g);
        program.run();
        for (std::size_t i = 0; i < outputs.size(); ++i) {
          const std::vector<float> got = output_of(program, outputs[i]);
          if (threads == 1) {
            CHECK(beyond_bound<float>(got, want[i]) == "");
            for (const double e : want[i].error) unbounded += e > 1e-2 * (1 + std::abs(want[i].value[0]));
            compared += static_cast<int>(got.size());
            first.push_back(got);
          } else {
            CHECK((got.empty() || std::memcmp(got.data(), first[i].data(), got.size() * 4) == 0));
          }
        }
        stages += program.plan().stages.size();
        for (const Stage& stage : program.plan().stages) chunks += static_cast<std::size_t>(stage.chunks);
      }
    }
  }
  CHECK(compared > 100000);
  CHECK(again > 100);
  CHECK(unbounded < compared / 100);  // the bounds say something
  CHECK(chunks > 2 * stages);         // and much was cut
}
