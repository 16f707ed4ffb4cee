// An experiment as data: what `ev3 run` does, read from TOML and written back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/augment.h"
#include "datasets/cifar.h"
#include "datasets/csv.h"
#include "datasets/scaling.h"
#include "ev3/logits_batches.h"
#include "ev3/passes.h"

namespace ev3::cli {

/// Which defaults the options take: `reference` is ev3::reference_profile.
enum class Profile { standard, reference };

enum class DataKind { digits, gaussian, moons, spirals, exclusive_or, mnist, file, cifar10, cifar100 };

/// [data]: where the samples come from. Which fields matter depends on `name`.
struct DataConfig {
  DataKind name = DataKind::digits;
  std::string path = {};       ///< mnist, cifar10, cifar100: folder of its files; file: .csv, .csv.gz or .npz
  std::string test_path = {};  ///< file: a second file with the test set
  std::string label = "-1";    ///< file: column of the class
  datasets::Header header = datasets::Header::automatic;
  std::string separator = ",";
  int samples = 10000, features = 2, labels = 2;  ///< synthetic tasks
  double noise = 0.05;
  std::int64_t seed = 0;
  // images of bytes: mnist, cifar10, cifar100; of .npz files without the first three
  std::optional<int> first = {}, first_test = {};                   ///< the first so many; absent: all
  datasets::CifarLabels granularity = datasets::CifarLabels::fine;  ///< cifar100
  int shrink = 1;
  datasets::Scaling scaling = {};
  std::string logits = {};  ///< explore draws from this file; the other phases from the data above
  RowOrder logits_order = RowOrder::windows;
  int batch = 32;
  std::optional<int> assess_batch = {}, adapt_batch = {};  ///< absent: batch
};

/// Whether the samples may be images of bytes.
inline bool may_be_bytes(DataKind kind) { return kind >= DataKind::mnist; }
/// Whether the data come with a test set.
inline bool has_test_set(const DataConfig& d) {
  return may_be_bytes(d.name) && (d.name != DataKind::file || !d.test_path.empty());
}

/// [augment]: what each phase does to the images it draws; absent: nothing. The test set is never augmented.
struct AugmentConfig {
  std::optional<datasets::Augmentation> explore, assess, adapt;
};

/// [pools]: which fraction of the samples each phase gets. No sample is in two pools; `shared`: all three
/// phases draw from the explore pool, as the reference does. test = 0: the data brings its own test set.
/// explore = 0: explore draws from data.logits.
struct PoolsConfig {
  bool shared = false;
  double explore = 0.48, assess = 0.16, adapt = 0.16, test = 0.2;
  bool stratified = true;
};

enum class Family { mlp, cnn, resnet_cifar, resnet_imagenet, vit, sequential };
/// Whether its networks are residual ones, which have batch norms.
constexpr bool is_resnet(Family family) {
  return family == Family::resnet_cifar || family == Family::resnet_imagenet;
}

/// Whether there is a way in which its networks grow.
constexpr bool can_grow(Family family) { return family != Family::vit && family != Family::sequential; }

/// [model]: inputs and classes are those of the data. Which fields matter depends on the family.
struct ModelConfig {
  Family family = Family::mlp;
  std::vector<int> hidden = {32};                       ///< of an mlp
  std::vector<std::vector<int>> stages = {{32}, {64}};  ///< of a cnn: the filters of its convolutions
  std::vector<int> dense = {256};                       ///< of a cnn: its hidden layers, the key `hidden`
  int filters = 16;                                     ///< of a resnet
  std::vector<int> blocks = {3, 3, 3};                  ///< of a resnet
  bool bottleneck = false;                              ///< of a resnet in ImageNet form
  nn::Vit vit = {};                                     ///< of a vit: its sizes
  std::vector<nn::Layer> layers = {};                   ///< of a sequential network, the key `layer`
};

struct Experiment {
  std::int64_t seed = 1;
  int rounds = 30;
  Profile profile = Profile::standard;
  int history_limit = 5;
  DataConfig data;
  AugmentConfig augment;
  PoolsConfig pools;
  ModelConfig model;
  std::vector<std::string> teachers;  ///< model files that losses refer to by number
  std::vector<nn::Loss> losses = {nn::CrossEntropy{}};
  std::vector<nn::Optimizer> optimizers = {nn::AdamW{}};
  ExploreOptions explore;
  AssessOptions assess;
  AdaptOptions adapt;
  std::optional<PassOptions> passes;
  std::optional<std::int64_t> max_gradient_steps;
  bool consume_check_batches = false;
};

/// EV3 on the embedded digits: the text of configs/digits.toml.
extern const char* const digits_toml;

/// The experiment that `text` and then the overrides ("explore.trajectory_length=50", lists by index:
/// "optimizer.0.learning_rate=0.01") describe. Values of overrides are TOML, anything else is taken as text.
/// Throws Error "WHERE:line:column: ..." for what is no TOML, unknown keys (with the nearest known one),
/// wrong types, values out of range and contradictions.
Experiment parse_experiment(std::string_view text, const std::string& where,
                            const std::vector<std::string>& overrides = {});
/// The same from a file.
Experiment read_experiment(const std::filesystem::path& path, const std::vector<std::string>& overrides = {});

/// The complete experiment as TOML; parse_experiment gives the same one again.
std::string to_toml(const Experiment& experiment);

/// Tells experiments apart whose results may differ: a hash of to_toml without `rounds` and paths.
std::uint64_t identity(const Experiment& experiment);
/// What makes them differ: "seed = 1 there, seed = 2 here"; "" where identity() is the same.
std::string difference(const Experiment& there, const Experiment& here);

}  // namespace ev3::cli
