// The test program's main, the same for both versions of Catch2. With EV3_DEVICE=cuda in the environment
// programs run on a device, where there is one.
#define CATCH_CONFIG_RUNNER
#include <cstdlib>
#include <string_view>

#include "autodiff/kernels/device.h"
#include "tests/catch.h"

int main(int argc, char** argv) {
  const char* device = std::getenv("EV3_DEVICE");
  if (device && std::string_view(device) == "cuda") {
    autodiff::kernels::set_default_device(autodiff::kernels::Device::cuda);
  }
  return Catch::Session().run(argc, argv);
}
