#include "autodiff/kernels/cuda/emulated/fiber.h"

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define EV3_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EV3_ASAN 1
#endif
#endif
#if EV3_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

// Without a system call, which swapcontext makes twice: only what a function must leave alone is kept.
#if defined(__x86_64__)
asm(R"(
.text
.globl ev3_emulated_switch
.type ev3_emulated_switch, @function
ev3_emulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size ev3_emulated_switch, .-ev3_emulated_switch
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl ev3_emulated_switch
.type ev3_emulated_switch, %function
ev3_emulated_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size ev3_emulated_switch, .-ev3_emulated_switch
)");
#endif

namespace emulated {

#if defined(__x86_64__) || defined(__aarch64__)
extern "C" void ev3_emulated_switch(void** top, void* other_top);
#endif

void Fiber::begin(std::byte* stack, std::size_t bytes, void (*body)()) {
  stack_ = stack, bytes_ = bytes, notes_ = nullptr;
#if defined(__x86_64__) || defined(__aarch64__)
  // As if it had been called, and had saved its registers, where it begins.
#if defined(__x86_64__)
  constexpr int saved = 8, address = 6;
#else
  constexpr int saved = 20, address = 11;
#endif
  auto* top =
      reinterpret_cast<std::uintptr_t*>((reinterpret_cast<std::uintptr_t>(stack) + bytes) / 16 * 16) - saved;
  for (int k = 0; k < saved; ++k) top[k] = 0;
  top[address] = reinterpret_cast<std::uintptr_t>(body);
  top_ = top;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = bytes;
  context_.uc_link = nullptr;
  makecontext(&context_, body, 0);
#endif
}

void Fiber::arrive_from([[maybe_unused]] Fiber& other) {
#if EV3_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &other.stack_, &other.bytes_);
#endif
}

void Fiber::go(Fiber& other, [[maybe_unused]] bool returns) {
#if EV3_ASAN
  __sanitizer_start_switch_fiber(returns ? &notes_ : nullptr, other.stack_, other.bytes_);
#endif
#if defined(__x86_64__) || defined(__aarch64__)
  ev3_emulated_switch(&top_, other.top_);
#else
  swapcontext(&context_, &other.context_);
#endif
#if EV3_ASAN
  __sanitizer_finish_switch_fiber(notes_, nullptr, nullptr);
#endif
}

}  // namespace emulated
