// Every case of op_cases.h, and its gradients, on every backend: the same bits for any number of threads.
#include "autodiff/graph/ops.h"
#include "tests/catch.h"
#include "tests/guards.h"
#include "tests/op_graph.h"

using namespace autodiff;
using namespace tests;

TEST_CASE("every op gives the same bits on one, two and three threads") {
  std::map<std::string, std::vector<std::vector<float>>> one;
  for (const int threads : {1, 2, 3}) {
    const ThreadsGuard guard(threads);
    for (const OpCase& c : op_cases()) {
      CaseGraph built(c, true);
      for (const auto& [name, backends] : all_backends()) {
        Program program = built.compile({.backends = backends, .threads = threads});
        program.run();
        auto& first = one[c.op + c.sizes + name];
        for (std::size_t i = 0; i < built.outputs.size(); ++i) {
          if (threads == 1) {
            first.push_back(case_output(program, built.outputs[i]));
          } else {
            INFO(c.op << " " << c.sizes << " on " << name << ", " << threads << " threads");
            CHECK(same_bits(case_output(program, built.outputs[i]), first[i]));
          }
        }
      }
    }
  }
}
