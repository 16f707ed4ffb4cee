// Running a program, on the CPU and on a device. Somewhat long: what a step is, is said once for both.
#include "autodiff/program/program.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "autodiff/program/on_device.h"

namespace autodiff {
namespace {

struct NoClock {
  void operator()() const {}
};

}  // namespace

Program::Program(std::shared_ptr<const Plan> plan)
    : plan_(std::move(plan)),
      workspace_(plan_->device == Device::cpu ? plan_->workspace_bytes() : 0),
      bases_(plan_->externals.size() + plan_->outputs.size() + 2) {
  if (plan_->device != Device::cpu) {
    device_ = std::make_unique<detail::OnDevice>(*plan_, bases_.data());
    return;
  }
  bases_[Operand::arena] = workspace_.data();
  for (std::size_t i = 0; i < plan_->externals.size(); ++i) {
    bases_[i + 2] = static_cast<std::byte*>(const_cast<void*>(plan_->externals[i].constant));  // only read
  }
  for (const Plan::Output& out : plan_->outputs) {
    bases_[static_cast<std::size_t>(out.place.base)] = workspace_.data() + out.arena_offset;
  }
}

Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;
Program::~Program() = default;

double Program::flops() const {
  double sum = 0;
  for (const Stage& stage : plan_->stages) {
    for (const Step& step : stage.steps) sum += step.row.flops;
  }
  return sum;
}

const std::byte* Program::on_device(Value value) const {
  if (!device_) fail("on_device: want a program that was compiled for a device");
  return address(output(value).place, 0, 0);
}

void Program::enqueue_fixed() { enqueue(0, plan_->fixed_stages); }
void Program::enqueue() { enqueue(plan_->fixed_stages, plan_->stages.size()); }

void Program::enqueue(std::size_t first, std::size_t last) {
  if (!device_) fail("enqueue: want a program that was compiled for a device");
  if (!bound_) check_bound();
  besides_.assign(static_cast<std::size_t>(plan_->besides), -1);
  try {
    for (std::size_t s = first; s < last; ++s) run_steps(plan_->stages[s], 0, 0, NoClock{});
  } catch (...) {
    // Whoever waits for the stream waits for what went beside it, too.
    try {
      wait_for_beside(plan_->besides - 1);
    } catch (const Error&) {  // the first one says more
    }
    throw;
  }
  wait_for_beside(plan_->besides - 1);
}

// Steps from `s` on that go beside others, which are one piece of work there; then `s` is the last.
void Program::run_beside(const Stage& stage, std::size_t& s) {
  const std::size_t first = s;
  const int number = kernels::DeviceStream::beside([&] {
    for (; s < stage.steps.size() && stage.steps[s].beside >= 0; ++s) {
      const Step& step = stage.steps[s];
      std::array<const void*, max_inputs + 1> inputs;
      for (std::size_t i = 0; i < step.inputs.size(); ++i) inputs[i] = address(step.inputs[i], 0, 0);
      inputs[step.inputs.size()] = address(step.scratch, 0, 0);
      step.launch.run(inputs.data(), address(step.output, 0, 0));
    }
  });
  for (std::size_t k = first; k < s; ++k) besides_[static_cast<std::size_t>(stage.steps[k].beside)] = number;
  --s;
}

// For those of this number, and before it, that enqueue() has let go beside.
void Program::wait_for_beside(int number) {
  for (int k = number; k >= 0; --k) {
    const int gone = besides_[static_cast<std::size_t>(k)];
    if (gone >= 0) return kernels::DeviceStream::wait_for_beside(gone);
  }
}

void Program::check_bound() {
  for (std::size_t i = 0; i < plan_->externals.size(); ++i) {
    const External& e = plan_->externals[i];
    if (!bases_[i + 2] && e.size > 0) {
      fail("run: '", e.name, "' has not been bound; want ", e.size,
           e.dtype == DType::F32 ? " floats" : " labels");
    }
  }
  bound_ = true;
}

inline std::byte* Program::address(const Operand& operand, int slot, std::size_t index) const {
  if (operand.base == Operand::scratch) {
    return bases_[Operand::arena] + plan_->arena_bytes +
           static_cast<std::size_t>(slot) * plan_->scratch_bytes + operand.offset;
  }
  return bases_[static_cast<std::size_t>(operand.base)] + operand.offset + operand.stride * index;
}

// `count` rows of a group, from row `begin` of the chunk on.
void Program::run_group(const Group& group, int slot, std::size_t first, std::size_t begin,
                        std::size_t count) const {
  std::array<float*, kernels::most_pointwise_operands> operands;
  for (std::size_t k = 0; k < group.operands.size(); ++k) {
    operands[k] = reinterpret_cast<float*>(address(group.operands[k], slot, first));
    if (k < static_cast<std::size_t>(group.dims.full)) operands[k] += begin * group.dims.columns;
  }
  group.run(group.dims, count, operands.data());
}

// The parts of a step at the same time, and with them the group that it leads.
void Program::run_parts(const Stage& stage, std::size_t s, const std::vector<Launch>& parts,
                        const void* const* inputs, void* out) const {
  const Step& step = stage.steps[s];
  const std::size_t operands = step.inputs.size();
  kernels::parallel_for(static_cast<int>(parts.size()), [&](int i) {
    const Launch& part = parts[static_cast<std::size_t>(i)];
    std::array<const void*, max_inputs + 1> own;
    std::copy_n(inputs, operands, own.begin());
    own[operands] =
        static_cast<const std::byte*>(inputs[operands]) + static_cast<std::size_t>(i) * step.part_scratch;
    part.run(own.data(), out);
    if (step.leads_group) {
      const Group& group = stage.steps[s + 1].group;
      run_group(group, 0, 0, part.first / group.dims.columns, part.count / group.dims.columns);
    }
  });
}

// Runs a step that updates parameters; false where it has to store its output.
bool Program::run_updating(const Stage& stage, std::size_t s, const void* const* inputs) const {
  const Updating& updating = plan_->updatings[static_cast<std::size_t>(stage.steps[s].updating)];
  if (updates_.empty() || !updates_[updating.output]) return false;
  kernels::ParameterUpdate update = *update_;
  update.arrays = update.arrays.at(*updates_[updating.output]);
  run_parts(stage, s, updating.launches, inputs, &update);
  return true;
}

template <class Clock>
void Program::run_steps(const Stage& stage, int chunk, int slot, Clock clock) {
  const auto first = static_cast<std::size_t>(chunk) * static_cast<std::size_t>(stage.chunk);
  const bool tail = chunk > 0 && chunk + 1 == stage.chunks;
  std::array<const void*, max_inputs + 1> inputs;
  std::size_t s = 0;
  try {
    for (; s < stage.steps.size(); ++s) {
      const Step& step = stage.steps[s];
      constexpr bool is_timed = !std::is_same_v<Clock, NoClock>;  // step after step, on one thread or stream
      if (step.awaits >= 0 && !is_timed) wait_for_beside(step.awaits);
      if (step.beside >= 0 && !is_timed) {
        run_beside(stage, s);
        continue;
      }
      if (step.group.run) {
        const Group& group = step.group;
        run_group(group, slot, first, 0, tail ? group.tail_rows : group.rows);
        for (std::size_t k = 0; k < group.steps; ++k) clock();
        s += group.steps - 1;
        continue;
      }
      std::size_t i = 0;
      for (; i < step.inputs.size(); ++i) inputs[i] = address(step.inputs[i], slot, first);
      inputs[i] = address(step.scratch, slot, 0);
      std::byte* out =
          address(step.output, slot, step.output.per_chunk ? static_cast<std::size_t>(chunk) : first);
      const bool stores = !update_ || step.updating < 0 || !run_updating(stage, s, inputs.data());
      if (stores && !is_timed && !step.parts.empty()) {
        run_parts(stage, s, step.parts, inputs.data(), out);
        if (step.leads_group) s += stage.steps[s + 1].group.steps;
      } else if (stores) {
        (tail ? step.tail_launch : step.launch).run(inputs.data(), out);
      }
      clock();
    }
  } catch (const Error& e) {
    const Step::Row& row = stage.steps[s].row;
    fail("stage ", &stage - plan_->stages.data(), ", ", row.op, ' ', row.shape, ": ", e.what());
  }
}

void Program::combine(const Stage& stage) const {
  constexpr std::size_t block = 8192, side_by_side = 256;
  for (const Combination& c : stage.combinations) {
    const std::byte* partials = address(c.partials, 0, 0);
    float* out = reinterpret_cast<float*>(address(c.output, 0, 0));
    if (c.combine) {
      std::array<const float*, most_partials> parts;
      for (std::size_t k = 0; k < c.weights.size(); ++k) {
        parts[k] = reinterpret_cast<const float*>(partials + k * c.partials.stride);
      }
      c.combine(c.weights, parts.data(), out);
      continue;
    }
    const auto blocks = static_cast<int>((c.size + block - 1) / block);
    const auto add_block = [&](int b) {
      const std::size_t first = static_cast<std::size_t>(b) * block, end = std::min(c.size, first + block);
      for (std::size_t begin = first; begin < end; begin += side_by_side) {
        const std::size_t count = std::min(side_by_side, end - begin);
        std::array<double, side_by_side> sums{};
        for (std::size_t k = 0; k < static_cast<std::size_t>(stage.chunks); ++k) {
          const float* part = reinterpret_cast<const float*>(partials + k * c.partials.stride) + begin;
          for (std::size_t i = 0; i < count; ++i) sums[i] += static_cast<double>(part[i]);
        }
        for (std::size_t i = 0; i < count; ++i) out[begin + i] = static_cast<float>(sums[i]);
      }
    };
    if (plan_->slots > 1) {
      kernels::parallel_for(blocks, add_block);
    } else {
      for (int b = 0; b < blocks; ++b) add_block(b);
    }
  }
}

void Program::run() {
  if (!bound_) check_bound();
  if (device_) {
    return device_->run([this](int) {
      enqueue_fixed();
      enqueue();
    });
  }
  bool backwards = false;
  for (std::size_t s = fixed_is_old_ ? 0 : plan_->fixed_stages; s < plan_->stages.size(); ++s) {
    const Stage& stage = plan_->stages[s];
    const int slots = std::min(plan_->slots, stage.chunks);
    // Every other stage begins with the samples that the one before ended with: they are still in the cache.
    const auto run_turn = [&](int turn, int slot) {
      run_steps(stage, backwards ? stage.chunks - 1 - turn : turn, slot, NoClock{});
    };
    if (slots == 1) {
      for (int turn = 0; turn < stage.chunks; ++turn) run_turn(turn, 0);
    } else {
      std::atomic<int> next{0};  // chunks are taken in any order; each writes to places of its own
      kernels::parallel_for(slots, [&](int slot) {
        for (int turn = next++; turn < stage.chunks; turn = next++) run_turn(turn, slot);
      });
    }
    if (!stage.combinations.empty()) combine(stage);
    if (stage.chunks > 1) backwards = !backwards;
  }
  fixed_is_old_ = false;
}

void Program::run(const kernels::ParameterUpdate& update) {
  if (divides(update.dims.kind)) fail("run: want an update without a division, as SGD's");
  struct Reset {
    const kernels::ParameterUpdate*& update;
    ~Reset() { update = nullptr; }
  };
  const Reset reset{update_};
  update_ = &update;
  run();
}

void Program::run_profiled(Profile& profile) {
  using Time = std::chrono::steady_clock;
  if (!bound_) check_bound();
  std::size_t steps = 0, first = 0;
  for (const Stage& stage : plan_->stages) steps += stage.steps.size();
  profile.seconds.resize(steps);
  ++profile.runs;
  for (const Stage& stage : plan_->stages) {
    const auto run_chunk = [&](int chunk) {
      std::size_t at = first;
      auto last = Time::now();
      run_steps(stage, chunk, 0, [&] {
        if (device_) device_->wait();
        const auto now = Time::now();
        profile.seconds[at++] += std::chrono::duration<double>(now - last).count();
        last = now;
      });
    };
    if (device_) {
      device_->run_waiting(run_chunk);
    } else {
      for (int chunk = 0; chunk < stage.chunks; ++chunk) run_chunk(chunk);
      combine(stage);
    }
    first += stage.steps.size();
  }
}

const std::byte* Program::on_host(const Plan::Output& out) const {
  return device_ ? device_->on_host(static_cast<std::size_t>(&out - plan_->outputs.data()))
                 : address(out.place, 0, 0);
}

View<const float> Program::value(Value v) const {
  const Plan::Output& out = output(v);
  if (out.dtype != DType::F32) fail("value: want a float32 output, got labels; use labels()");
  return {reinterpret_cast<const float*>(on_host(out)), out.shape};
}

View<const std::int32_t> Program::labels(Value v) const {
  const Plan::Output& out = output(v);
  if (out.dtype != DType::I32) fail("labels: want an int32 output, got float32; use value()");
  return {reinterpret_cast<const std::int32_t*>(on_host(out)), out.shape};
}

float Program::scalar(Value v) const {
  const View<const float> view = value(v);
  if (view.shape.size() != 1) fail("scalar: want an output of one element, got ", view.shape);
  return *view.data;
}

}  // namespace autodiff
