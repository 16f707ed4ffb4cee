// What goes into a program and comes out of it: memory of the caller, or of a device.
#include <algorithm>

#include "autodiff/program/on_device.h"
#include "autodiff/program/program.h"

namespace autodiff {

// Of a source that the program reads, else the number of all; refuses what is no source.
std::size_t Program::source_index(Value source) const {
  const Graph* graph = plan_->outputs.front().value.graph;
  if (source.graph != graph) fail("bind: want an input or a parameter of the graph that was compiled");
  for (std::size_t i = 0; i < plan_->externals.size(); ++i) {
    const External& e = plan_->externals[i];
    if (e.node == source.id && !e.constant) return i;
  }
  const Node& node = graph->node(source);
  if (node.source == Source::constant) fail("bind: want an input or a parameter, got a constant");
  if (node.source == Source::op) {
    fail("bind: want an input or a parameter, got the result of ", node.op->name());
  }
  return plan_->externals.size();
}

void Program::bind(Value source, const void* elements, std::size_t count, DType dtype) {
  const std::size_t i = source_index(source);
  if (i == plan_->externals.size()) return;
  const External& e = plan_->externals[i];
  const auto kind = [](DType type) { return type == DType::F32 ? " floats" : " labels"; };
  if (e.dtype != dtype || e.size != count) {
    fail("bind '", e.name, "': want ", e.size, kind(e.dtype), ", got ", count, kind(dtype));
  }
  if (device_) return device_->bind(i, elements);
  if (e.parameter) fixed_is_old_ = true;
  bases_[i + 2] = static_cast<std::byte*>(const_cast<void*>(elements));  // only read
}

void Program::bind(Value source, std::span<const float> elements) {
  bind(source, elements.data(), elements.size(), DType::F32);
}

void Program::bind(Value source, std::span<const std::int32_t> elements) {
  bind(source, elements.data(), elements.size(), DType::I32);
}

const Plan::Output& Program::output(Value value) const {
  for (const Plan::Output& out : plan_->outputs) {
    if (out.value == value) return out;
  }
  fail("program: this value is not one of the ", plan_->outputs.size(), " outputs it was compiled for");
}

void Program::write_to(Value value, std::span<float> destination) {
  const Plan::Output& out = output(value);
  if (out.dtype != DType::F32) fail("write_to: want a float32 output, got labels");
  if (out.shape.size() != destination.size()) {
    fail("write_to: want ", out.shape.size(), " floats for shape ", out.shape, ", got ", destination.size());
  }
  if (device_)
    return device_->write_to(static_cast<std::size_t>(&out - plan_->outputs.data()), destination.data());
  bases_[static_cast<std::size_t>(out.place.base)] = reinterpret_cast<std::byte*>(destination.data());
  fixed_is_old_ = true;
}

bool Program::update_by(Value value, Value parameter, std::size_t first) {
  const Plan::Output& out = output(value);
  const std::size_t source = source_index(parameter);
  if (parameter.dtype() != DType::F32 || parameter.shape().size() != out.shape.size()) {
    fail("update_by: want a parameter of ", out.shape.size(), " floats, got ", parameter.shape());
  }
  if (plan_->fixed_stages > 0) return false;  // which are not run again when parameters change
  const auto reads_parameter = [&](const Operand& input) {
    return source < plan_->externals.size() && input.base == Operand::external + static_cast<int>(source);
  };
  bool formed = false;
  for (const Stage& stage : plan_->stages) {
    for (const Step& step : stage.steps) {
      const bool forms = step.output.base == out.place.base;
      if (forms && step.updating < 0) return false;
      formed = formed || forms;
      for (const Operand& input : step.inputs) {
        if (input.base == out.place.base || (formed && reads_parameter(input))) return false;
      }
    }
  }
  if (!formed) return false;
  updates_.resize(plan_->outputs.size());
  updates_[static_cast<std::size_t>(&out - plan_->outputs.data())] = first;
  return true;
}

std::size_t Program::updates() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(updates_, [](const auto& first) { return first.has_value(); }));
}

void Program::bind_on_device(Value source, const void* elements) {
  const std::size_t i = source_index(source);
  if (!device_) fail("bind_on_device: want a program that was compiled for a device");
  if (i < plan_->externals.size()) device_->bind_address(i, elements);
}

void Program::write_on_device(Value value, float* destination) {
  const Plan::Output& out = output(value);
  if (!device_) fail("write_on_device: want a program that was compiled for a device");
  if (out.dtype != DType::F32) fail("write_on_device: want a float32 output, got labels");
  device_->write_address(static_cast<std::size_t>(&out - plan_->outputs.data()), destination);
}

}  // namespace autodiff
