// A user's program: includes and links the installed library.
#include <iostream>

#include "autodiff/tensor/tensor.h"

int main() {
  const autodiff::Shape shape{2, 3};
  std::cout << "shape " << shape << '\n';
  return shape.size() == 6 ? 0 : 1;
}
