// Distillation as a user does it: a teacher is trained, its logits are recorded, and students learn from the
// file and from the model; and what is refused on the way.
#include <vector>

#include "tests/cifar_files.h"
#include "tests/wrong_input.h"

namespace {

using namespace wrong_input;

const std::string images =
    "--set data.name=cifar10 --set data.path=@/ten --set data.batch=8 --set data.shrink=4 --set pools.test=0 "
    "--set rounds=2 --set explore.trajectory_length=3 --set 'assess.batches=1' --set adapt.batches=2 ";

std::string in(const fs::path& folder, const std::string& arguments) {
  return with_folder(arguments, folder);
}

}  // namespace

TEST_CASE("a teacher's logits are recorded, and students learn from the file and from the model") {
  const TempFolder temp;
  const fs::path folder = temp / "x";
  make_cifar10(folder / "ten", 20);
  const auto succeeds = [&](const std::string& arguments) {
    const Outcome outcome = ev3_command(in(folder, arguments));
    INFO(arguments << "\n" << outcome.err);
    CHECK(outcome.code == 0);
    return outcome.out;
  };
  succeeds("run " + images + "--out @/teacher --quiet");
  const std::string teacher = "@/teacher/model.safetensors";
  const std::string record =
      "logits " + teacher + " --data @/ten --shrink 4 --batches 6 --batch 8 --pad 1 --flip -o ";
  CHECK_THAT(succeeds(record + "@/a.safetensors"), ContainsSubstring("48 rows of mlp 192-8-10"));
  succeeds(record + "@/b.safetensors");
  CHECK(content_of(folder / "a.safetensors") == content_of(folder / "b.safetensors"));  // the same seed
  succeeds(record + "@/b.safetensors --seed 2 --overwrite");
  CHECK(content_of(folder / "a.safetensors") != content_of(folder / "b.safetensors"));
  CHECK_THAT(succeeds("data @/a.safetensors"), ContainsSubstring("48 samples [8, 8, 3]"));

  succeeds("run " + images +
           "--set data.logits=@/a.safetensors --set pools.explore=0 --set 'loss=[{kind=\"distillation\"}]' "
           "--out @/from_file --quiet");
  const std::string from_model = "run " + images + "--set 'teachers=[\"" + teacher + "\"]' ";
  const std::string losses =
      "--set 'loss=[{kind=\"cross_entropy\"},{kind=\"distillation\",teacher=0,temperature=2.0,"
      "divergence=\"forward\",scale=\"tau_squared\",hard_weight=0.5}]' ";
  succeeds(from_model + losses + "--out @/one --threads 1 --quiet");
  succeeds(from_model + losses + "--out @/two --threads 2 --quiet");
  CHECK(content_of(folder / "one" / "model.safetensors") == content_of(folder / "two" / "model.safetensors"));
  CHECK_THAT(succeeds("show @/one/config.toml"), ContainsSubstring("from teacher 0"));
  CHECK_THAT(succeeds("report @/one"), ContainsSubstring("distill"));
}

TEST_CASE("teachers and logits that cannot be used are refused") {
  const std::string run = "run " + small + "--out @/out ";
  const std::string distill = "--set 'loss=[{kind=\"distillation\",teacher=0}]' ";
  check_all_refused({
      {"a teacher that is not there", run + distill, "wants teacher 0, but `teachers` names 0"},
      {"a teacher's file that is missing", run + distill + "--set 'teachers=[\"@/none.safetensors\"]'",
       "none.safetensors"},
      {"a teacher with other inputs",
       run + distill +
           "--set 'teachers=[\"@/run/model.safetensors\"]' --set data.name=digits --set data.samples=9",
       "unknown key 'data.samples'"},
      {"a teacher with other samples",
       "run --out @/out --set rounds=1 " + distill + "--set 'teachers=[\"@/run/model.safetensors\"]'",
       "but those of digits are [8, 8, 1]"},
      {"a negative teacher", run + "--set 'loss=[{kind=\"distillation\",teacher=-1}]'",
       "of at least 0, got -1"},
      {"a share of labels above 1", run + "--set 'loss=[{kind=\"distillation\",hard_weight=2.0}]'",
       "hard_weight"},
      {"distillation without a teacher", run + "--set 'loss=[{kind=\"distillation\"}]'",
       "a model in `teachers`"},
      {"logits of data that are no images", "logits @/run/model.safetensors --data moons -o @/l.safetensors",
       "want images of bytes"},
      {"logits of a model that is not there", "logits @/none.safetensors --data moons -o @/l.safetensors",
       "none.safetensors"},
      {"too many rows",
       "logits @/run/model.safetensors --data moons --batches 10000000 --batch 100000 -o @/l.safetensors",
       "at most 2^31 - 1 rows"},
      {"growth that the family does not have",
       run + "--set 'adapt.growth={kind=\"deepen_all\"}' --set adapt.rounds_before_growth=1",
       "want widen, deepen or expand for the family mlp"},
      {"a stage that a family does not have", run + "--set model.blocks=[1]", "unknown key 'model.blocks'"},
      {"a residual net for points", run + "--set 'model={family=\"resnet_cifar\"}'", "want inputs [H, W, C]"},
      {"new units for a network without norms",
       run + "--set 'adapt.growth={kind=\"widen\",new_units=\"scale_zero\"}' --set "
             "adapt.rounds_before_growth=1",
       "wants a network with batch norm"},
      {"a residual net without filters", "run --out @/out --set 'model={family=\"resnet_cifar\",filters=0}'",
       "model.filters"},
      {"a residual net without stages", "run --out @/out --set 'model={family=\"resnet_cifar\",blocks=[]}'",
       "1 to 8 stages"},
      {"a cnn too deep for its images",
       "run --out @/out --set 'model={family=\"cnn\",stages=[[2],[2],[2],[2]]}'", "too many for images"},
  });
}
