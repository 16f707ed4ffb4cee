// A CUDA device as the rest of the library sees it: whether there is one, memory on it, and a stream of work.
// The only header about it; what stands behind is in kernels/cuda, or, in builds without CUDA, an error that
// says so.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "autodiff/kernels/parallel.h"
#include "autodiff/kernels/update.h"

namespace autodiff::kernels {

/// Where a program runs.
enum class Device { cpu, cuda };
/// "cpu" or "cuda"
const char* name_of(Device device);

/// What was built in and what was found.
struct DeviceInfo {
  bool found = false;         ///< a device that the kernels run on
  std::string reason = {};    ///< why none was found
  std::string name = {};      ///< "NVIDIA H100 80GB HBM3"
  std::string versions = {};  ///< "compute capability 9.0, toolkit 13.0, driver 13.0"
  std::size_t bytes = 0, free_bytes = 0;
  int multiprocessors = 0;
};
/// Asks the driver, the first time; `free_bytes` every time.
DeviceInfo device_info();

/// Where programs run unless told otherwise: cpu until changed. The setter throws Error for cuda without a
/// device.
Device default_device();
void set_default_device(Device device);

/// How matrix products and convolutions are formed on the device: in float32, or by tensor cores from factors
/// that are rounded to tf32 (10 bits after the point) or bf16 (7 bits), with sums in float32.
enum class Precision { float32, tf32, bf16 };
/// "float32", "tf32" or "bf16"
const char* name_of(Precision precision);
Precision device_precision();
/// For programs that are compiled from now on.
void set_device_precision(Precision precision);

/// Bytes on the device, zero at first.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  /// Throws Error, which says what was wanted and what is free, where there is no room; `what` names it
  /// there.
  explicit DeviceMemory(std::size_t bytes, const std::string& what = "memory");
  std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t size_ = 0;
};

/// Bytes on the host from which the device can copy while the host goes on.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(std::size_t bytes);
  std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t size_ = 0;
};

/// Work for the device, done in order; several streams run side by side. Kernels of the cuda row may only be
/// called inside enqueue() or record().
class DeviceStream {
 public:
  /// Throws Error without a device.
  DeviceStream();
  DeviceStream(DeviceStream&&) noexcept;
  DeviceStream& operator=(DeviceStream&&) noexcept;
  ~DeviceStream();

  /// Work that was recorded once and can be played many times, with one call.
  class Recording {
   public:
    Recording() = default;
    bool empty() const { return !graph_; }
    /// How many kernels and copies it has; what goes together is one kernel.
    std::size_t size() const { return size_; }

   private:
    friend class DeviceStream;
    std::shared_ptr<void> graph_;
    std::size_t size_ = 0;
  };

  /// Calls body(), whose kernels go to the end of this stream.
  template <class Body>
  void enqueue(const Body& body) {
    enqueue_task([&](int) { body(); });
  }
  /// Calls body(), whose kernels are not run but recorded. It may neither wait nor allocate.
  template <class Body>
  Recording record(const Body& body) {
    return record_task([&](int) { body(); });
  }
  void play(const Recording& recording);

  /// Inside enqueue() or record(), about the stream that is meant there: what body() calls begins when all
  /// that was called before is done, and after what went beside earlier; it runs beside what is called next,
  /// and has partial results of its own. Returns a number for wait_for_beside(), before which nobody may read
  /// or write what it writes, or write what it reads.
  template <class Body>
  static int beside(const Body& body) {
    return beside_task([&](int) { body(); });
  }
  /// What is called from now on begins when the one of this number is done, and those before it. All must
  /// have been waited for where a recording ends.
  static void wait_for_beside(int number);

  /// To the device; `from` may be used again when this returns, unless it is pinned: then after wait() or a
  /// mark.
  void to_device(void* to, const void* from, std::size_t bytes);
  /// To the host, when all work before it is done; waits for it.
  void to_host(void* to, const void* from, std::size_t bytes);
  /// On the device.
  void copy(void* to, const void* from, std::size_t bytes);
  void zero(void* to, std::size_t bytes);
  /// Waits until all is done. Throws Error where something failed.
  void wait();

  /// A point in the stream to wait for.
  void mark(int number);
  void wait_for(int number);
  static constexpr int marks = 2;

 private:
  void enqueue_task(IndexedTask body);
  Recording record_task(IndexedTask body);
  static int beside_task(IndexedTask body);
  struct State;
  std::unique_ptr<State> state_;
};

/// What a training step needs besides kernels of ops: they are called inside enqueue() or record(), and all
/// pointers are addresses on the device. `step` counts the steps that were played; arrays that change from
/// step to step are read at [*step].
namespace device {

/// The arrays of an update, all of n elements. Where `is_statistic`, a parameter becomes the one of
/// `statistics`.
struct UpdateArrays {
  const float *gradient = nullptr, *decay_from = nullptr, *statistics = nullptr;
  const unsigned char* is_statistic = nullptr;
  float *parameters = nullptr, *first_moments = nullptr, *second_moments = nullptr;
};
/// What comes after it: all[*step] = value; ++*step.
struct StepEnd {
  const float* value = nullptr;
  float* all = nullptr;
  int* step = nullptr;
};
/// As nn::update, and the end of the step.
void update(const UpdateDims& dims, const UpdateScalars* scalars, const UpdateArrays& arrays,
            const StepEnd& end);
/// As nn::clip_by_norm.
void clip_by_norm(float* gradient, std::size_t n, double most);

/// Which image, and how it is placed; see datasets/augment.h.
struct Sample {
  int index = 0;
  short dy = 0, dx = 0;
  bool flip = false;
};
/// What all samples have in common: images of bytes [height, width, channels] and what a byte means
/// [channels, 256].
struct Images {
  const unsigned char* pixels = nullptr;
  const float* table = nullptr;
  int height = 1, width = 1, channels = 1;
};
/// The samples of a batch: [*step][batch].
struct Drawn {
  const Sample* samples = nullptr;
  const int* step = nullptr;
  int batch = 0;
};
/// Classes by sample, and labels [batch] that become those of a batch; no labels where that is null.
struct Labels {
  const int* classes = nullptr;
  int* labels = nullptr;
};
/// features [batch, height, width, channels] = the images of these samples; and their labels.
void gather_images(const Images& images, const Drawn& drawn, float* features, const Labels& labels);
/// The same of rows of numbers [n, width].
void gather_rows(const float* rows, std::size_t width, const Drawn& drawn, float* features,
                 const Labels& labels);
/// all [*step][count] = values [count]; ++*step.
void end_batch(const float* values, std::size_t count, float* all, int* step);
/// to [count] = from [*step][count]
void take_row(const int* from, std::size_t count, const int* step, int* to);

}  // namespace device

}  // namespace autodiff::kernels
