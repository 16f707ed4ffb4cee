// Threads: the only file that knows about them. oneTBB where it was built in, else a plain loop.
#pragma once

#include <type_traits>

namespace autodiff::kernels {

/// Number of threads that parallel_for may use; at first what the machine (or the process's CPU set) offers,
/// 1 without oneTBB.
int threads();
/// Sets it, at least 1; to be called before parallel work starts. Without oneTBB it stays 1.
void set_threads(int count);

/// A reference to a callable, without an allocation; valid while the callable lives.
class IndexedTask {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, IndexedTask>)
      IndexedTask(F&& f)  // NOLINT: implicit on purpose
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, int i) { (*static_cast<std::remove_reference_t<F>*>(object))(i); }) {}
  void operator()(int i) const { call_(object_, i); }

 private:
  void* object_;
  void (*call_)(void*, int);
};

/// body(0) .. body(count - 1), in any order and on any thread; returns when all are done. An exception of the
/// body is thrown again here. Whoever needs the same bits for any number of threads writes to a place chosen
/// by the index.
void parallel_for(int count, IndexedTask body);

}  // namespace autodiff::kernels
