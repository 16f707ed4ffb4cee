#include "datasets/npz.h"

#include <algorithm>
#include <initializer_list>
#include <string>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/npy.h"

namespace datasets {
namespace {

using autodiff::fail;

std::string find_key(const autodiff::Npz& file, std::initializer_list<const char*> keys,
                     const std::string& path) {
  std::string wanted, present;
  for (const char* key : keys) {
    if (file.contains(key)) return key;
    wanted += (wanted.empty() ? "" : ", ") + std::string(key);
  }
  for (const std::string& key : file.names()) present += (present.empty() ? "" : ", ") + key;
  fail(path, ": want an array named one of ", wanted, ", got ", present);
}

}  // namespace

Dataset read_npz(const std::filesystem::path& path) {
  const std::string name = path.string();
  const auto file = autodiff::Npz::read(path);
  const std::string x_key = find_key(file, {"feature", "features", "x"}, name);
  const std::string y_key = find_key(file, {"label", "labels", "y"}, name);
  const autodiff::Array x = file.array(x_key), y = file.array(y_key);
  if (x.shape.size() < 2)
    fail(name, ": want ", x_key, " [n, sample...], got ", autodiff::sizes_text(x.shape));
  if (y.shape.size() != 1) {
    fail(name, ": want one class per sample, ", y_key, " [n], got ", autodiff::sizes_text(y.shape));
  }
  autodiff::Shape shape = autodiff::to_shape(x.shape, name);
  if (shape.rank() == 3) shape = autodiff::Shape{shape[0], shape[1], shape[2], 1};

  Dataset out{.name = name};
  if (x.dtype == autodiff::DType::U8) {
    out.pixels = Pixels(shape);
    std::copy(x.bytes.begin(), x.bytes.end(), out.pixels.begin());
  } else {
    out.features = autodiff::Tensor(shape, x.to_floats(name + ": " + x_key));
  }
  out.labels = autodiff::Labels(autodiff::to_shape(y.shape, name), y.to_ints(name + ": " + y_key));
  out.classes = classes_in(out.labels, name);
  check(out);
  check_classes(out);
  return out;
}

}  // namespace datasets
