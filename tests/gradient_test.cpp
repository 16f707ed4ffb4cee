// gradient(): the chain rule on graphs of every form, and the errors of it and of all builders.
#include <functional>

#include "autodiff/graph/ops.h"
#include "autodiff/program/immediate.h"
#include "autodiff/program/reference.h"
#include "tests/catch.h"

using namespace autodiff;

namespace {

using Numbers = std::vector<double>;

Numbers interpreted(Value v) { return interpret<double>(*v.graph, std::span<const Value>(&v, 1), {})[0]; }

Value leaf(Graph& g, const Shape& shape, std::vector<float> x) { return g.constant(Tensor(shape, x)); }

}  // namespace

TEST_CASE("the chain rule sums over all paths") {
  Graph g;
  const Value x = leaf(g, {2}, {3, 5});
  CHECK(interpreted(gradient(sum(x * x), x)) == Numbers{6, 10});     // one op twice
  CHECK(interpreted(gradient(sum(x + x + x), x)) == Numbers{3, 3});  // several ops
  const Value shared = square(x);                                    // x^2 + x^6: 2x + 6x^5
  CHECK(interpreted(gradient(sum(shared + shared * shared * shared), x)) == Numbers{1464, 18760});
  const Value a = leaf(g, {1, 2}, {1, 2}), square_matrix = leaf(g, {2, 2}, {1, 2, 3, 4});
  CHECK(interpreted(gradient(sum(matmul(matmul(a, square_matrix), square_matrix)), square_matrix)) ==
        Numbers{3 + 7, 7 + 7, 6 + 10, 14 + 10});  // a^T (M 1)^T + (a M)^T 1^T
}

TEST_CASE("the gradient of what the loss does not depend on is zeros of its shape") {
  Graph g;
  const Value x = leaf(g, {2}, {3, 5}), unused = leaf(g, {2, 1}, {1, 1});
  const Value loss = sum(x), later = square(x);
  CHECK(interpreted(gradient(loss, unused)) == Numbers{0, 0});
  CHECK(gradient(loss, unused).shape() == Shape{2, 1});
  CHECK(interpreted(gradient(loss, later)) == Numbers{0, 0});  // made after the loss
  CHECK(interpreted(gradient(sum(stop_gradient(x)), x)) == Numbers{0, 0});
  const Value data = g.input({4, 3});
  CHECK(gradient(loss, data).shape() == data.shape());
  CHECK(gradient(loss, data).batched());  // programs can cut it into chunks like the data
}

TEST_CASE("gradients by intermediate values, by the loss itself, by one value twice") {
  Graph g;
  const Value x = leaf(g, {2}, {3, 5}), y = square(x), z = y * x, loss = sum(z);
  CHECK(interpreted(gradient(loss, y)) == Numbers{3, 5});
  CHECK(interpreted(gradient(loss, z)) == Numbers{1, 1});
  CHECK(interpreted(gradient(loss, loss)) == Numbers{1});
  // A total derivative even where another asked-for value lies on the path.
  const std::vector<Value> both = gradient(loss, std::vector<Value>{x, y, x});
  REQUIRE(both.size() == 3);
  CHECK(interpreted(both[0]) == Numbers{27, 75});
  CHECK(interpreted(both[1]) == Numbers{3, 5});
  CHECK(interpreted(both[2]) == Numbers{27, 75});
  CHECK(gradient(loss, std::vector<Value>{}).empty());
  CHECK(interpreted(gradient(reshape(loss, {1, 1}), x)) == Numbers{27, 75});  // any shape of one element
}

TEST_CASE("gradients of gradients") {
  Graph g;
  const Value x = leaf(g, {}, {2});
  Value d = square(x) * square(x) * x;  // x^5
  const Numbers want[] = {{80}, {160}, {240}, {240}, {120}, {0}};
  for (const Numbers& derivative : want) {
    d = gradient(d, x);
    CHECK(interpreted(d) == derivative);
  }
}

TEST_CASE("a chain of 100,000 ops is differentiated, interpreted and freed without recursion") {
  Graph g;
  const Value x = leaf(g, {2}, {1, 2});
  Value y = x;
  for (int i = 0; i < 100000; ++i) y = shift(y, 0.5f);
  CHECK(interpreted(gradient(sum(y * x), x)) == Numbers{50002, 50004});
}

TEST_CASE("a chain of 5,000 ops is compiled and run in the memory of two values") {
  Graph g;
  const Value x = g.input({64, 16});
  Value y = x;
  for (int i = 0; i < 5000; ++i) y = shift(y, 1.0f);
  const Value total = sum(y);
  Program program = compile(g, {total}, {.threads = 1});
  CHECK(program.workspace_bytes() < 3 * 64 * 16 * sizeof(float));
  const std::vector<float> zeros(64 * 16);
  program.bind(x, zeros);
  program.run();
  CHECK(program.scalar(total) == 5000.0f * 1024);
}

TEST_CASE("gradient says what it wants") {
  Graph g, other;
  const Value x = leaf(g, {2}, {3, 5});
  CHECK_THROWS_WITH(gradient(x, x), ContainsSubstring("gradient: want a loss with one element, got [2]") &&
                                        ContainsSubstring("mean or sum"));
  CHECK_THROWS_WITH(gradient(Value{}, x), ContainsSubstring("an empty value"));
  CHECK_THROWS_WITH(gradient(sum(x), Value{}), ContainsSubstring("graph of the loss"));
  CHECK_THROWS_WITH(gradient(sum(x), other.constant(1.0f)), ContainsSubstring("graph of the loss"));
  CHECK_THROWS_WITH(gradient(argmax(leaf(g, {1, 2}, {1, 2})), x), ContainsSubstring("gradient: want"));
}

TEST_CASE("sources say what they want") {
  Graph g;
  CHECK_THROWS_WITH(g.input({}, "image"),
                    ContainsSubstring("input 'image'") && ContainsSubstring("got a scalar"));
  CHECK_THROWS_AS(g.labels(-1), Error);
  CHECK_THROWS_WITH(zeros_like(Value{}), ContainsSubstring("zeros_like"));
}

TEST_CASE("every builder names itself, what it wants and what came") {
  Graph g, other;
  const Value scalar = g.constant(1.0f), x = g.input({4, 3}), w = g.parameter("w", {5, 3}),
              foreign = other.input({4, 3}), stack = g.input({4, 2, 5}),
              tall = g.input({1 << 16, 1 << 15, 1});
  const Value vector = g.input({4}), labels = g.labels(4), five = g.labels(5), nothing;
  const std::vector<Value> unequal = {x, w}, none, many(65, x), two_graphs = {x, foreign};
  struct Wrong {
    const char* op;
    std::function<Value()> build;
    const char* want;
    const char* got;
  };
  const Wrong table[] = {
      {"matmul: ", [&] { return matmul(x, w); }, "a [m, k] and b [k, n]", "a [4, 3] and b [5, 3]"},
      {"matmul: ", [&] { return matmul(x, w, {.transpose_a = true}); }, "[k, m]", "[4, 3]"},
      {"matmul: ", [&] { return matmul(x, vector); }, "[k, n]", "b [4]"},
      {"matmul: ", [&] { return matmul(nothing, x); }, "", "empty"},
      {"matmul: ", [&] { return matmul(stack, x); },
       "b [..., k, n] with equal leading axes, or one of them a", "a [4, 2, 5] and b [4, 3]"},
      {"matmul: ",
       [&] {
         return matmul(stack, g.input({2, 5, 1}));
       },
       "equal leading axes", "a [4, 2, 5] and b [2, 5, 1]"},
      {"matmul: ", [&] { return matmul(stack, x, {.transpose_a = true, .sum_stack = true}); },
       "a [..., k, m] and b [..., k, n] with equal leading axes, at least one, to sum over", "[4, 2, 5]"},
      {"matmul: ", [&] { return matmul(x, x, {.transpose_b = true, .sum_stack = true}); }, "at least one",
       "[4, 3]"},
      {"matmul: ",
       [&] {
         return matmul(tall, g.parameter("w", {1, 1}));
       },
       "at most 2^31 - 1 rows", "[65536, 32768, 1]"},
      {"matmul NT: ", [&] { return matmul(x, foreign, {.transpose_b = true}); }, "one graph", "two"},
      {"relu: ", [&] { return relu(labels); }, "float32", "int32 of shape [4]"},
      {"tanh: ", [&] { return tanh(nothing); }, "", "empty"},
      {"scale: ", [&] { return labels * 2.0f; }, "float32", "int32"},
      {"add", [&] { return x + w; }, "", "[4, 3] and [5, 3]"},
      {"sub", [&] { return x - vector; }, "", "[4, 3] and [4]"},
      {"mul", [&] { return x * labels; }, "float32", "int32 of shape [4]"},
      {"div", [&] { return x / nothing; }, "", "empty"},
      {"equal", [&] { return equal(x, foreign); }, "one graph", "two"},
      {"sum: ", [&] { return sum(x, {.axes = {2}}); }, "axes of [4, 3]", "axis 2"},
      {"mean: ",
       [&] {
         return mean(x, {.axes = {0, -2}});
       },
       "different axes of [4, 3]", "-2"},
      {"max: ", [&] { return max(labels); }, "float32", "int32 of shape [4]"},
      {"sum: ", [&] { return sum(nothing); }, "", "empty"},
      {"sum_to", [&] { return sum_to(x, w); }, "", "[4, 3]"},
      {"sum_to: ", [&] { return sum_to(vector, x); }, "", "[4]"},
      {"sum_to: ", [&] { return sum_to(x, nothing); }, "", "empty"},
      {"reshape: ", [&] { return reshape(x, {5}); }, "12 elements like [4, 3]", "[5]"},
      {"flatten: ", [&] { return flatten(scalar); }, "[n, ...]", "scalar"},
      {"transpose: ",
       [&] {
         return transpose(x, {0, 0});
       },
       "each axis of [4, 3] once", "2 axes"},
      {"transpose: ", [&] { return transpose(x, {0}); }, "[4, 3]", "1 axes"},
      {"broadcast_to",
       [&] {
         return broadcast_to(x, {4, 4});
       },
       "", "[4, 3] and [4, 4]"},
      {"broadcast_to: ", [&] { return broadcast_to(x, {3}); }, "[4, 3]", "[3]"},
      {"broadcast_like: ", [&] { return broadcast_like(x, scalar); }, "[4, 3]", "[]"},
      {"broadcast_like: ", [&] { return broadcast_like(x, nothing); }, "", "empty"},
      {"slice: ", [&] { return slice(x, 2, 0, 1); }, "axis of [4, 3]", "2"},
      {"slice: ", [&] { return slice(x, 1, 2, 4); }, "inside axis 1 of [4, 3]", "[2, 4)"},
      {"pad: ", [&] { return pad(x, 0, -1, 0); }, "at least 0", "-1 and 0"},
      {"pad: ", [&] { return pad(x, 5, 1, 0); }, "axis of [4, 3]", "5"},
      {"concat: ", [&] { return concat(unequal, 1); }, "only along axis 1", "[4, 3] and [5, 3]"},
      {"concat: ", [&] { return concat(none, 0); }, "at least one", "none"},
      {"concat: ", [&] { return concat(many, 0); }, "at most 64", "65"},
      {"concat: ", [&] { return concat(two_graphs, 0); }, "one graph", "two"},
      {"stop_gradient: ", [&] { return stop_gradient(labels); }, "float32", "int32"},
      {"softmax: ", [&] { return softmax(scalar); }, "[..., classes]", "[]"},
      {"log_softmax: ",
       [&] {
         return log_softmax(g.input({4, 0}));
       },
       "at least one class", "[4, 0]"},
      {"cross_entropy: ", [&] { return cross_entropy(x, five); }, "labels int32 [n]", "[4, 3] and int32 [5]"},
      {"cross_entropy: ", [&] { return cross_entropy(x, w); }, "probabilities", "float32 [5, 3]"},
      {"cross_entropy: ", [&] { return cross_entropy(vector, labels); }, "[n, classes]", "[4]"},
      {"kl_divergence: ", [&] { return kl_divergence(x, w); }, "one shape", "[4, 3] and [5, 3]"},
      {"argmax: ", [&] { return argmax(vector); }, "[n, classes]", "[4]"},
      {"gather: ", [&] { return gather(x, five); }, "[n, classes]", "[4, 3] and [5]"},
      {"gather: ", [&] { return gather(x, vector); }, "int32 [n]", "float32 [4]"},
      {"scatter: ", [&] { return scatter(vector, labels, 0); }, "at least one class", "0"},
      {"dropout: ", [&] { return dropout(x, five); }, "keys int32 [n]", "float32 [4, 3] and int32 [5]"},
      {"dropout: ", [&] { return dropout(x, vector); }, "keys int32 [n]", "and float32 [4]"},
      {"dropout: ", [&] { return dropout(x, nothing); }, "", "empty"},
      {"dropout: ", [&] { return dropout(x, labels, {.rate = 1}); }, "rate from 0 to below 1", "got 1"},
      {"dropout: ", [&] { return dropout(x, labels, {.layer = -1}); }, "at least 0", "-1"},
      {"one_hot: ", [&] { return one_hot(x, 3); }, "int32 [n]", "float32 [4, 3]"}};
  for (const Wrong& wrong : table) {
    INFO(wrong.op << " " << wrong.got);
    const int before = g.size();
    CHECK_THROWS_WITH(wrong.build(), ContainsSubstring(wrong.op) && ContainsSubstring(wrong.want) &&
                                         ContainsSubstring(wrong.got));
    CHECK(g.size() <= before + 1);  // at most a source made for the occasion
  }
}

TEST_CASE("the immediate form computes in a line") {
  Graph g;
  const Value x = g.input({2, 2}), labels = g.labels(2), w = leaf(g, {2, 1}, {1, 10});
  const Tensor data({2, 2}, {1, 2, 3, 4});
  CHECK(evaluate(matmul(x, w), {{x, data}})[1] == 43);
  CHECK(evaluate(argmax(x), {{x, data}})[0] == 1);
  CHECK(evaluate(gather(x, labels), {{x, data}}, {{labels, Labels({2}, {1, 0})}})[0] == 2);
  CHECK_THROWS_WITH(evaluate(Value{}), ContainsSubstring("evaluate"));
  CHECK_THROWS_WITH(evaluate(matmul(x, w)), ContainsSubstring("'x' has not been bound"));
}
