#include "autodiff/graph/graph.h"

#include "autodiff/graph/op.h"

namespace autodiff {

const Shape& Value::shape() const { return graph->node(id).shape; }
DType Value::dtype() const { return graph->node(id).dtype; }
bool Value::batched() const { return graph->node(id).batched; }

Value Graph::push(Node node) {
  nodes_.push_back(std::move(node));
  return {this, size() - 1};
}

Value Graph::input(const Shape& shape, std::string name) {
  if (shape.rank() == 0)
    fail("input '", name, "': want a shape whose first axis counts samples, got a scalar");
  return push({.source = Source::input, .name = std::move(name), .shape = shape, .batched = true});
}

Value Graph::labels(int n, std::string name) {
  return push(
      {.source = Source::input, .name = std::move(name), .shape = {n}, .dtype = DType::I32, .batched = true});
}

Value Graph::parameter(std::string name, const Shape& shape) {
  return push({.source = Source::parameter, .name = std::move(name), .shape = shape});
}

Value Graph::constant(Tensor tensor) {
  const Shape shape = tensor.shape();
  return push(
      {.source = Source::constant, .shape = shape, .constant = std::make_shared<Tensor>(std::move(tensor))});
}

Value Graph::constant(float value) { return constant(Tensor({}, {value})); }

Value Graph::add(std::shared_ptr<const Op> op, std::vector<Value> inputs, const Shape& shape, DType dtype) {
  if (inputs.size() > max_inputs) {
    fail(op->name(), ": want at most ", max_inputs, " inputs, got ", inputs.size());
  }
  for (const Value& value : inputs) {
    if (value.graph != this)
      fail(op->name(), ": want values of one graph, got values of two, or an empty one");
  }
  const bool batched = op->role(inputs) == BatchRole::map;
  return push({.source = Source::op,
               .op = std::move(op),
               .inputs = std::move(inputs),
               .shape = shape,
               .dtype = dtype,
               .batched = batched});
}

Value Graph::copy(const Node& node, std::vector<Value> inputs) {
  Node own = node;
  own.inputs = std::move(inputs);
  return push(std::move(own));
}

void want_floats(const char* who, Value x) {
  if (!x.valid()) fail(who, ": got an empty value");
  if (x.dtype() != DType::F32) fail(who, ": want float32, got int32 of shape ", x.shape());
}

BatchRole samplewise_role(std::span<const Value> inputs) {
  int rank = 0, samples = -1;
  for (const Value& v : inputs) rank = std::max(rank, v.shape().rank());
  for (const Value& v : inputs) {
    if (!v.batched()) continue;
    if (v.shape().rank() != rank || (samples >= 0 && v.shape()[0] != samples)) return BatchRole::whole;
    samples = v.shape()[0];
  }
  if (samples < 0) return BatchRole::whole;
  for (const Value& v : inputs) {  // an unbatched input must be the same for all samples
    if (!v.batched() && v.shape().rank() == rank && v.shape()[0] != 1) return BatchRole::whole;
  }
  return BatchRole::map;
}

}  // namespace autodiff
