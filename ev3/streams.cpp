#include "ev3/streams.h"

namespace ev3 {

SampleSet collect(const Batches& batches, std::int64_t first, int count) {
  SampleSet set;
  datasets::Batch buffer;
  for (int i = 0; i < count; ++i) {
    const BatchView batch = batches.read(first + i, buffer);
    set.features.insert(set.features.end(), batch.features.begin(), batch.features.end());
    set.labels.insert(set.labels.end(), batch.labels.begin(), batch.labels.end());
  }
  return set;
}

}  // namespace ev3
