// Aligned memory: what arenas, parameter blocks and tensors are made of.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace autodiff {

/// Every buffer starts at a multiple of this many bytes: one cache line, one AVX-512 register.
inline constexpr std::size_t alignment = 64;

/// Buffers from this size on begin at a page of 2 MiB and ask the system for such pages, which saves the
/// lookup of addresses: a ResNet-8 step on a Zen 4 took 0.9 of its time.
inline constexpr std::size_t huge_buffer = 4 << 20, huge_page = 2 << 20;

namespace detail {
/// Asks for huge pages where the system has them.
void use_huge_pages(void* data, std::size_t bytes);
}  // namespace detail

/// `bytes` rounded up to a multiple of the alignment.
constexpr std::size_t aligned(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

/// A fixed number of trivially copyable elements, zero at first, 64-byte aligned. Copying copies the
/// elements.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  AlignedBuffer() = default;
  /// `size` zeros. Throws std::bad_alloc when there is no memory for them.
  explicit AlignedBuffer(std::size_t size) : data_(allocate(size), Free{align(size)}), size_(size) {
    if (size) std::memset(static_cast<void*>(data_.get()), 0, size * sizeof(T));
  }
  AlignedBuffer(const AlignedBuffer& other)
      : data_(allocate(other.size_), Free{align(other.size_)}), size_(other.size_) {
    if (size_) std::memcpy(static_cast<void*>(data_.get()), other.data_.get(), size_ * sizeof(T));
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
  /// Copies into the memory already held where the sizes agree (no allocation).
  AlignedBuffer& operator=(const AlignedBuffer& other) {
    if (this == &other) return *this;
    if (size_ != other.size_) return *this = AlignedBuffer(other);
    if (size_) std::memcpy(static_cast<void*>(data_.get()), other.data_.get(), size_ * sizeof(T));
    return *this;
  }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }

 private:
  struct Free {
    std::align_val_t align{alignment};
    void operator()(T* pointer) const { ::operator delete(pointer, align); }
  };
  static std::align_val_t align(std::size_t size) {
    return std::align_val_t{size * sizeof(T) < huge_buffer ? alignment : huge_page};
  }
  static T* allocate(std::size_t size) {
    if (size == 0) return nullptr;
    if (size > static_cast<std::size_t>(-1) / 2 / sizeof(T)) throw std::bad_alloc();
    T* data = static_cast<T*>(::operator new(size * sizeof(T), align(size)));
    if (size * sizeof(T) >= huge_buffer) detail::use_huge_pages(data, size * sizeof(T));
    return data;
  }
  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0;
};

}  // namespace autodiff
