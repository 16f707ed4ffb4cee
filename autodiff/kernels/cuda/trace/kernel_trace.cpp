// Where a training step on a CUDA device spends its time: a library that the driver loads into a program,
// which keeps CUPTI's record of every kernel.
//
//     export CUDA_INJECTION64_PATH=build/cuda/bench/libkernel_trace.so EV3_KERNEL_TRACE=table.txt
//     build/cuda/bench/bench_device --benchmark_filter=resnet20_sgd
//
// When the program ends, the file has the kernels of the step of median length, by name, and how long no
// kernel was at work; then all of them in their order, with begin and end. Steps end with end_step_kernel.
#include <cupti.h>
#include <cxxabi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

struct Record {
  std::string name;
  unsigned long long begin, end;  // nanoseconds
};

std::mutex mutex;
// Never freed: the program ends when they are read.
std::vector<Record>& records() {
  static auto* all = new std::vector<Record>;
  return *all;
}

void CUPTIAPI want_buffer(std::uint8_t** buffer, std::size_t* size, std::size_t* most_records) {
  *size = 8 << 20;
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(8, *size));
  *most_records = 0;
}

void CUPTIAPI take_buffer(CUcontext, std::uint32_t, std::uint8_t* buffer, std::size_t, std::size_t bytes) {
  const std::lock_guard lock(mutex);
  CUpti_Activity* at = nullptr;
  while (cuptiActivityGetNextRecord(buffer, bytes, &at) == CUPTI_SUCCESS) {
    if (at->kind != CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) continue;
    const auto* kernel = reinterpret_cast<const CUpti_ActivityKernel9*>(at);
    records().push_back({kernel->name ? kernel->name : "?", kernel->start, kernel->end});
  }
  std::free(buffer);
}

// Without namespaces and parameters.
std::string short_name(const std::string& mangled) {
  int status = 0;
  char* text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  std::string name = text ? text : mangled;
  std::free(text);
  for (const std::string noise :
       {"(anonymous namespace)::", "autodiff::kernels::cuda::", "autodiff::kernels::device::",
        "autodiff::kernels::", "(Precision)", "void "}) {
    for (std::size_t at = name.find(noise); at != std::string::npos; at = name.find(noise))
      name.erase(at, noise.size());
  }
  return name.substr(0, name.find('('));
}

void write_table() {
  cuptiActivityFlushAll(1);
  const char* path = std::getenv("EV3_KERNEL_TRACE");
  std::FILE* out = path ? std::fopen(path, "w") : stderr;
  if (!out) return;
  std::vector<Record>& all = records();
  std::sort(all.begin(), all.end(), [](const Record& a, const Record& b) { return a.begin < b.begin; });
  std::vector<std::size_t> ends;  // of steps
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].name.find("end_step_kernel") != std::string::npos) ends.push_back(i);
  }
  // From the end of the step before; the first ones warm up.
  std::vector<std::pair<unsigned long long, std::size_t>> lengths;
  for (std::size_t k = 2; k < ends.size(); ++k)
    lengths.push_back({all[ends[k]].end - all[ends[k - 1]].end, k});
  if (lengths.empty()) {
    std::fprintf(out, "no training steps among %zu kernels\n", all.size());
  } else {
    std::sort(lengths.begin(), lengths.end());
    const auto [length, step] = lengths[lengths.size() / 2];
    struct Sum {
      int kernels = 0;
      double us = 0;
    };
    std::map<std::string, Sum> sums;
    double busy = 0;  // some kernel was at work
    unsigned long long done = all[ends[step - 1]].end;
    for (std::size_t i = ends[step - 1] + 1; i <= ends[step]; ++i) {
      Sum& sum = sums[short_name(all[i].name)];
      ++sum.kernels;
      sum.us += static_cast<double>(all[i].end - all[i].begin) / 1e3;
      if (all[i].end > done) busy += static_cast<double>(all[i].end - std::max(done, all[i].begin)) / 1e3;
      done = std::max(done, all[i].end);
    }
    std::vector<std::pair<std::string, Sum>> rows(sums.begin(), sums.end());
    std::sort(rows.begin(), rows.end(),
              [](const auto& a, const auto& b) { return a.second.us > b.second.us; });
    const double us = static_cast<double>(length) / 1e3;
    std::fprintf(out, "step of %.1f us: kernels %.1f us, gaps %.1f us; %zu steps seen\n", us, busy, us - busy,
                 lengths.size());
    for (const auto& [name, sum] : rows)
      std::fprintf(out, "%9.1f us  %4d kernels  %s\n", sum.us, sum.kernels, name.c_str());
    std::fprintf(out, "\n");
    const unsigned long long start = all[ends[step - 1]].end;
    for (std::size_t i = ends[step - 1] + 1; i <= ends[step]; ++i) {
      const auto since = [&](unsigned long long time) {
        return (static_cast<double>(time) - static_cast<double>(start)) / 1e3;
      };
      std::fprintf(out, "%9.1f to %9.1f us  %s\n", since(all[i].begin), since(all[i].end),
                   short_name(all[i].name).c_str());
    }
  }
  if (path) std::fclose(out);
}

}  // namespace

// What the driver calls when a program uses it for the first time.
extern "C" int InitializeInjection() {
  records();
  const bool ok = cuptiActivityRegisterCallbacks(want_buffer, take_buffer) == CUPTI_SUCCESS &&
                  cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) == CUPTI_SUCCESS;
  if (!ok) std::fprintf(stderr, "kernel_trace: CUPTI refuses to trace kernels\n");
  std::atexit(write_table);
  return 1;
}
