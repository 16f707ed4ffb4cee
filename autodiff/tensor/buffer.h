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
  explicit AlignedBuffer(std::size_t size) : data_(allocate(size)), size_(size) {
    if (size) std::memset(static_cast<void*>(data_.get()), 0, size * sizeof(T));
  }
  AlignedBuffer(const AlignedBuffer& other) : data_(allocate(other.size_)), size_(other.size_) {
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
    void operator()(T* pointer) const { ::operator delete (pointer, std::align_val_t{alignment}); }
  };
  static T* allocate(std::size_t size) {
    if (size == 0) return nullptr;
    if (size > static_cast<std::size_t>(-1) / 2 / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(::operator new (size * sizeof(T), std::align_val_t{alignment}));
  }
  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0;
};

}  // namespace autodiff
