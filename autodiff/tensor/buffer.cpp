#include "autodiff/tensor/buffer.h"

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#endif

namespace autodiff::detail {

void use_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  madvise(data, bytes, MADV_HUGEPAGE);  // a wish: nothing is lost where it is not granted
#endif
}

}  // namespace autodiff::detail
