// A program as a table.
#include <algorithm>
#include <cstdio>
#include <ostream>
#include <string>

#include "autodiff/program/program.h"

namespace autodiff {
namespace {

template <class... Args>
std::string format(const char* pattern, Args... args) {
  char line[512];
  const int n = std::snprintf(line, sizeof line, pattern, args...);
  return std::string(line, static_cast<std::size_t>(std::min(n, static_cast<int>(sizeof line) - 1)));
}

std::string place_of(const Plan& plan, const Operand& o, bool partial) {
  if (partial) return "partial sums";
  if (o.base == Operand::nowhere) return "in the group";
  if (o.base == Operand::scratch) return format("scratch+%zu", o.offset);
  if (o.base == Operand::arena) return format("arena+%zu", o.offset);
  const auto output = static_cast<std::size_t>(o.base - Operand::external) - plan.externals.size();
  return format("output %zu", output);
}

}  // namespace

std::string table(const Program& program, const Profile* profile) {
  const Plan& plan = program.plan();
  std::string out;
  std::size_t number = 0, parameters = 0;
  double flops = 0, seconds = 0;
  if (profile) {
    for (const double s : profile->seconds) seconds += s;
  }
  std::size_t op_width = 2, shape_width = 5, input_width = 6;
  for (const Stage& stage : plan.stages) {
    for (const Step& step : stage.steps) {
      const Step::Row& row = step.row;
      op_width = std::max(op_width, row.op.size());
      shape_width = std::max(shape_width, row.shape.str().size());
      input_width = std::min(std::max(input_width, row.inputs.size()), std::size_t{36});
    }
  }
  const auto w = [](std::size_t n) { return static_cast<int>(n); };
  out += format("%4s %5s  %-*s  %-*s  %-*s %10s %12s  %-9s  %s", "step", "stage", w(op_width), "op",
                w(input_width), "inputs", w(shape_width), "shape", "bytes", "FLOPs", "kernel", "place");
  out += profile ? "        time\n" : "\n";
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const Stage& stage = plan.stages[s];
    for (const Step& step : stage.steps) {
      const Step::Row& row = step.row;
      std::string inputs = row.inputs;
      if (inputs.size() > input_width) inputs = inputs.substr(0, input_width - 3) + "...";
      out += format(
          "%4zu %5zu  %-*s  %-*s  %-*s %10zu %12.0f  %-9s  %-14s", number, s, w(op_width), row.op.c_str(),
          w(input_width), inputs.c_str(), w(shape_width), row.shape.str().c_str(),
          row.shape.size() * dtype_size(row.dtype), row.flops, std::string(step.launch.backend).c_str(),
          (place_of(plan, step.output, step.output.per_chunk) + (step.beside < 0 ? "" : ", beside")).c_str());
      if (profile && profile->runs > 0) {
        const double own = profile->seconds[number];
        out +=
            format(" %9.2f us %5.1f %%", own / profile->runs * 1e6, seconds > 0 ? 100 * own / seconds : 0.0);
      }
      while (out.back() == ' ') out.pop_back();
      out += '\n';
      flops += row.flops;
      ++number;
    }
  }
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const Stage& stage = plan.stages[s];
    if (stage.chunked) {
      out += format("stage %zu: %d samples in %d chunk%s of %d\n", s, stage.samples, stage.chunks,
                    stage.chunks == 1 ? "" : "s", stage.chunk);
    } else {
      out += format("stage %zu: as a whole%s\n", s,
                    s < plan.fixed_stages ? ", when parameters have been bound" : "");
    }
  }
  for (const External& e : plan.externals) parameters += e.constant ? 0 : e.size;
  out += format(
      "workspace %zu bytes (arena %zu, scratch %d x %zu); reads %zu values of the caller; %.0f FLOPs\n",
      program.workspace_bytes(), plan.arena_bytes, plan.slots, plan.scratch_bytes, parameters, flops);
  if (profile && profile->runs > 0) {
    out += format("%d runs, %.2f us each on one thread, %.2f GFLOP/s\n", profile->runs,
                  seconds / profile->runs * 1e6, flops * profile->runs / std::max(seconds, 1e-12) * 1e-9);
  }
  return out;
}

std::ostream& operator<<(std::ostream& out, const Program& program) { return out << table(program); }

}  // namespace autodiff
