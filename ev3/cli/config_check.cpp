#include "ev3/cli/config_check.h"

#include "ev3/cli/config_fields.h"
#include "ev3/cli/config_toml.h"

namespace ev3::cli {
namespace {

// Refuses at the value of `key`, or at the last section before it that is there.
class At {
 public:
  explicit At(const toml::table& root) : root_(root) {}
  template <class... Parts>
  [[noreturn]] void operator()(const std::string& key, const Parts&... parts) const {
    const toml::node* node = &root_;
    if (const auto section = root_[key.substr(0, key.find('.'))]) node = section.node();
    if (const auto value = root_.at_path(key)) node = value.node();
    refuse(node->source(), key, ": ", parts...);
  }

 private:
  const toml::table& root_;
};

void check_data(const Experiment& e, const At& at) {
  const DataConfig& d = e.data;
  if (d.name == DataKind::gaussian && d.labels > 2 && d.features != 2) {
    at("data.labels", "want 2 labels, or 2 features, got ", d.labels, " labels and ", d.features,
       " features");
  }
  if (d.separator.size() != 1) at("data.separator", "want one character, got ", toml_string(d.separator));
  if (may_be_bytes(d.name) && d.path.empty()) {
    at("data.path", "want a folder or file, got \"\"");
  }
}

void check_pools(const Experiment& e, const At& at) {
  const PoolsConfig& p = e.pools;
  const auto want_some = [&](const char* key, double fraction) {
    if (fraction == 0) at(key, "want a fraction above 0: without samples this pool is of no use");
  };
  if (e.data.logits.empty() || p.shared) {
    want_some("pools.explore", p.explore);
  } else if (p.explore > 0) {
    at("pools.explore", "want 0, as explore draws from data.logits, got ", p.explore);
  }
  if (!p.shared) {
    want_some("pools.assess", p.assess);
    want_some("pools.adapt", p.adapt);
  }
  const double sum = p.explore + p.test + (p.shared ? 0 : p.assess + p.adapt);
  if (sum > 1 + 1e-9) at("pools.explore", "want fractions that sum up to at most 1, got ", sum);

  const bool own_test = has_test_set(e.data);
  if (own_test && p.test > 0) {
    at("pools.test", "want 0, as the data have a test set of their own, got ", p.test);
  }
  if (!own_test && p.test == 0) {
    at("pools.test", "want a fraction above 0, as the data have no test set of their own");
  }
}

// A family of networks has its own ways to grow.
void check_growth(const Growth& growth, Family family, const At& at) {
  const bool resnet = is_resnet(family);
  const bool stages =
      std::holds_alternative<DeepenStage>(growth) || std::holds_alternative<DeepenAll>(growth);
  const char* name = Names<Family>::list.at(static_cast<std::size_t>(family));
  if (stages && !resnet)
    at("adapt.growth", "want widen, deepen or expand for the family ", name, ", got ", describe(growth));
  if (resnet && std::holds_alternative<Deepen>(growth)) {
    at("adapt.growth", "want widen, expand, deepen_stage or deepen_all for the family ", name,
       ", got deepen");
  }
  const auto* widen = std::get_if<Widen>(&growth);
  if (widen && widen->new_units == NewUnits::scale_zero && !resnet) {
    at("adapt.growth", "new_units = \"scale_zero\" wants a network with batch norm, got the family ", name);
  }
}

void check_adapt(const Experiment& e, const At& at) {
  const AdaptOptions& a = e.adapt;
  if (!can_grow(e.model.family) && (a.growth || (a.rounds_before_growth && !a.restart_without_growth))) {
    at(a.growth ? "adapt.growth" : "adapt.rounds_before_growth", "networks of the family ",
       Names<Family>::list.at(static_cast<std::size_t>(e.model.family)),
       " do not grow: leave adapt.growth and adapt.rounds_before_growth out");
  }
  if (a.growth && !a.rounds_before_growth) {
    at("adapt.growth", "without adapt.rounds_before_growth the network never grows: give both or none");
  }
  if (a.max_parameters && !a.growth) at("adapt.max_parameters", "limits adapt.growth, which is not given");
  if (!a.rounds_before_growth) return;
  if (!a.growth && !a.restart_without_growth) {
    at("adapt.rounds_before_growth", "without adapt.growth there is no way to grow: give both or none");
  }
  if (e.history_limit >= 0 && e.history_limit < std::max(1, *a.rounds_before_growth)) {
    at("history_limit", "a history of ", e.history_limit,
       " rounds is too short for adapt.rounds_before_growth = ", *a.rounds_before_growth,
       ": the network would never grow; want at least ", std::max(1, *a.rounds_before_growth),
       ", or -1 for all");
  }
  if (a.growth && e.model.family == Family::mlp && e.model.hidden.empty()) {
    at("adapt.growth", "model.hidden = [] has no hidden layer that could grow");
  }
  if (a.growth) check_growth(*a.growth, e.model.family, at);
}

void check_passes(const Experiment& e, const At& at) {
  const auto candidates = static_cast<std::int64_t>(e.losses.size() * e.optimizers.size());
  if (e.max_gradient_steps && *e.max_gradient_steps < candidates) {
    at("max_gradient_steps", "want at least one step for each of the ", candidates, " candidates, got ",
       *e.max_gradient_steps);
  }
  if (!e.passes) return;
  if (e.passes->largest_blocks && !is_resnet(e.model.family)) {
    at("passes.largest_blocks", "counts the blocks of residual networks; for the family ",
       Names<Family>::list.at(static_cast<std::size_t>(e.model.family)), " want most_parameters");
  }
  try {
    check(*e.passes, e.losses);
  } catch (const autodiff::Error& error) {
    at("passes.count", error.what());
  }
}

}  // namespace

void check(const Experiment& e, const toml::table& root) {
  const At at(root);
  if (e.model.family == Family::sequential && e.model.layers.empty()) {
    at("model.layer", "want at least one layer, got none");
  }
  check_data(e, at);
  check_pools(e, at);
  if (e.losses.empty()) at("loss", "want at least one loss, got none");
  if (e.optimizers.empty()) at("optimizer", "want at least one optimizer, got none");
  for (const nn::Loss& loss : e.losses) {
    const std::optional<int> teacher = nn::teacher_of(loss);
    if (teacher && *teacher >= static_cast<int>(e.teachers.size())) {
      at("loss", "wants teacher ", *teacher, ", but `teachers` names ", e.teachers.size(),
         "; they are counted from 0");
    }
    if (nn::wants_logits(loss) && e.data.logits.empty()) {
      at("loss",
         "distillation wants the logits of a teacher, but the data have classes: want \"cross_entropy\", a "
         "file data.logits, or a model in `teachers` that the loss names by its number");
    }
    if (!nn::wants_logits(loss) && !teacher && !e.data.logits.empty()) {
      at("loss", "explore learns from data.logits: want \"distillation\" only");
    }
  }
  check_adapt(e, at);
  check_passes(e, at);
}

}  // namespace ev3::cli
