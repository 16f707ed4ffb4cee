// TensorBoard event files: written as the format says, read back by a small reader, and by TensorBoard where
// python3 has it.
#include "ev3/cli/tfevents.h"

#include <bit>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "autodiff/tensor/hash.h"
#include "ev3/cli/run_metrics.h"
#include "tests/catch.h"
#include "tests/command.h"

namespace {

namespace fs = std::filesystem;
using namespace ev3::cli;

std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t out = 0;
  for (std::size_t i = size; i-- > 0;) out = out << 8 | static_cast<unsigned char>(bytes[at + i]);
  return out;
}

std::uint32_t masked(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u; }

/// The messages of a file; fails where a checksum is wrong or bytes are left over.
std::vector<std::string> messages(const std::string& file) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < file.size();) {
    REQUIRE(file.size() - at >= 16);
    const std::size_t length = number(file, at, 8);
    REQUIRE(file.size() - at - 16 >= length);
    CHECK(number(file, at + 8, 4) == masked(autodiff::crc32c(file.substr(at, 8))));
    out.push_back(file.substr(at + 12, length));
    CHECK(number(file, at + 12 + length, 4) == masked(autodiff::crc32c(out.back())));
    at += 16 + length;
  }
  return out;
}

/// A field of a protobuf message: a number, or the bytes of text and messages.
struct Field {
  unsigned number;
  std::uint64_t value;
  std::string bytes;
};

std::uint64_t varint(const std::string& bytes, std::size_t& at) {
  std::uint64_t out = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.at(at++));
    out |= std::uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return out;
  }
}

std::vector<Field> fields(const std::string& message) {
  std::vector<Field> out;
  for (std::size_t at = 0; at < message.size();) {
    const std::uint64_t tag = varint(message, at);
    Field field{static_cast<unsigned>(tag >> 3), 0, ""};
    const unsigned wire = tag & 7;
    if (wire == 0) {
      field.value = varint(message, at);
    } else if (wire == 2) {
      const std::size_t size = varint(message, at);
      REQUIRE(message.size() - at >= size);
      field.bytes = message.substr(at, size);
      at += size;
    } else {
      REQUIRE((wire == 1 || wire == 5));
      const std::size_t size = wire == 1 ? 8 : 4;
      field.value = number(message, at, size);
      at += size;
    }
    out.push_back(field);
  }
  return out;
}

struct Event {
  double time = 0;
  std::int64_t step = 0;
  std::string version;
  std::map<std::string, float> scalars;
};

Event event(const std::string& message) {
  Event out;
  for (const Field& f : fields(message)) {
    if (f.number == 1) out.time = std::bit_cast<double>(f.value);
    if (f.number == 2) out.step = static_cast<std::int64_t>(f.value);
    if (f.number == 3) out.version = f.bytes;
    if (f.number != 5) continue;
    for (const Field& value : fields(f.bytes)) {
      REQUIRE(value.number == 1);
      const auto parts = fields(value.bytes);
      REQUIRE(parts.size() == 2);
      out.scalars[parts[0].bytes] = std::bit_cast<float>(static_cast<std::uint32_t>(parts[1].value));
    }
  }
  return out;
}

std::vector<Event> events(const std::string& file) {
  std::vector<Event> out;
  for (const std::string& message : messages(file)) out.push_back(event(message));
  return out;
}

fs::path event_file(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(event_file_prefix)) found.push_back(entry.path());
  }
  REQUIRE(found.size() == 1);
  return found.front();
}

const std::string small =
    "--set data.name=moons --set data.samples=300 --set explore.trajectory_length=5 "
    "--set adapt.rounds_before_growth=1 --quiet ";

}  // namespace

TEST_CASE("records have the bytes of the format") {
  // The published test vectors of the checksum.
  CHECK(autodiff::crc32c("123456789") == 0xE3069283u);
  CHECK(masked(autodiff::crc32c("\x1A\x11"
                                "CRC test, one two")) == 0x5794D08Au);
  const std::string first = first_event(1.5);
  CHECK(messages(first).front() == unhex("09000000000000f83f1a0d") + "brain.Event:2");
  const std::string scalars = scalar_event(1.5, 300, {{"a", 0.5}});
  CHECK(messages(scalars).front() == unhex("09000000000000f83f10ac022a0a0a080a0161150000003f"));
  const Event read = event(messages(scalar_event(2, 1LL << 40, {{"x", 0}, {"long name", -1e30}})).front());
  CHECK(read.step == 1LL << 40);
  CHECK(read.scalars == std::map<std::string, float>{{"x", 0.0f}, {"long name", -1e30f}});
  CHECK_THAT(event_file_name(12.3), ContainsSubstring("events.out.tfevents.0000000012."));
}

TEST_CASE("what is cut off or damaged ends the whole records") {
  const std::string one = first_event(1), two = scalar_event(1, 2, {{"a", 1}}), file = one + two;
  CHECK(whole_events(file).records == 2);
  CHECK(whole_events(file).bytes == file.size());
  CHECK(whole_events(file, 1).bytes == one.size());
  for (std::size_t size = 0; size < file.size(); ++size) {
    const WholeEvents whole = whole_events(std::string_view(file).substr(0, size));
    CHECK(whole.records == (size >= one.size() ? 1 : 0));
    CHECK(whole.bytes == (size >= one.size() ? one.size() : 0));
  }
  for (std::size_t at = 0; at < file.size(); ++at) {
    std::string damaged = file;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    CHECK(whole_events(damaged).records == (at < one.size() ? 0 : 1));
  }
}

TEST_CASE("the tags are those of the reference") {
  Round round;
  round.test.samples = 4;
  round.test.hits = 3;
  round.test.loss = 0.5;
  round.record.parameters = 7;
  round.record.round = 2;
  round.record.pass = 1;
  round.record.gradient_steps = 900;
  round.record.adapt.bounds = {{0.5, 0.25, 0.75}, {0.1, 0, 0}, {0.2, 0, 0}};
  round.record.assess.selected = 1;
  const Event e = event(messages(metrics_event(round, 5)).front());
  CHECK(e.time == 5);
  CHECK(e.step == 900);
  CHECK(e.scalars == std::map<std::string, float>{{"train_acc", 0.5f},
                                                  {"train_lcb", 0.25f},
                                                  {"train_ucb", 0.75f},
                                                  {"eval_acc", 0.75f},
                                                  {"eval_loss", 0.5f},
                                                  {"train_selected_loss_idx", 1.0f},
                                                  {"pass_idx", 1.0f},
                                                  {"num_params", 7.0f}});

  const auto tags = [](const char* network) {
    std::map<std::string, double> out;
    for (const Scalar& s : size_scalars(network, 270)) out[s.tag] = s.value;
    return out;
  };
  CHECK(tags(R"({"family":"resnet_cifar","filters":16,"blocks":[3,2,1],"classes":10})") ==
        std::map<std::string, double>{
            {"resnet_num_filters", 16}, {"resnet_stage_size", 3}, {"resnet_num_params", 270}});
  for (const char* network : {R"({"family":"mlp","hidden":[8]})", "null"}) {
    CHECK(tags(network) == std::map<std::string, double>{{"num_params", 270}});
  }
}

TEST_CASE("a run writes a record a round, and cuts back and fills in as it goes on") {
  const TempFolder temp;
  const fs::path run = temp / "run";
  REQUIRE(ev3_command("run " + small + "--rounds 4 --out " + run.string()).code == 0);
  const fs::path path = event_file(run);
  const std::string whole = content_of(path);
  const auto all = events(whole);
  REQUIRE(all.size() == 5);
  CHECK(all[0].version == "brain.Event:2");
  std::istringstream lines(content_of(run / "metrics.jsonl"));
  for (std::size_t round = 1; round <= 4; ++round) {
    std::string train, test;
    std::getline(lines, train);
    std::getline(lines, test);
    const auto a = nlohmann::json::parse(train), b = nlohmann::json::parse(test);
    CHECK(all[round].step == a["step"]);
    CHECK(all[round].time == a["time"]);
    for (const char* tag : {"train_acc", "train_lcb", "train_ucb", "train_selected_loss_idx", "num_params"}) {
      CHECK(all[round].scalars.at(tag) == a[tag].get<float>());
    }
    for (const char* tag : {"eval_acc", "eval_loss"})
      CHECK(all[round].scalars.at(tag) == b[tag].get<float>());
  }

  // The resumed run is given what a kill, or an early version, may leave behind.
  const std::string first = whole.substr(0, whole_events(whole, 1).bytes);
  const std::string three = whole.substr(0, whole_events(whole, 3).bytes);
  int rounds = 4;
  for (const auto& [name, left] :
       std::map<std::string, std::string>{{"a record too many", whole + scalar_event(1, 2, {})},
                                          {"half a record", whole + whole.substr(0, 20)},
                                          {"damaged", three + std::string(40, '?')},
                                          {"no rounds", first},
                                          {"empty", ""}}) {
    INFO(name);
    std::ofstream(path, std::ios::binary) << left;
    REQUIRE(
        ev3_command("run --quiet --rounds " + std::to_string(++rounds) + " --resume " + run.string()).code ==
        0);
    const auto now = events(content_of(path));
    REQUIRE(now.size() == static_cast<std::size_t>(rounds) + 1);
    for (std::size_t i = 1; i < now.size(); ++i) {
      if (i < all.size()) CHECK(now[i].time == all[i].time);
      if (i < all.size()) CHECK(now[i].scalars == all[i].scalars);
      CHECK(now[i].step == all[1].step * static_cast<std::int64_t>(i));
    }
  }
  fs::remove(path);
  REQUIRE(ev3_command("run --quiet --rounds 20 --resume " + run.string()).code == 0);
  CHECK(events(content_of(event_file(run))).size() == 21);
}

TEST_CASE("TensorBoard reads the file") {
  const std::string python =
      std::getenv("EV3_TENSORBOARD_PYTHON") ? std::getenv("EV3_TENSORBOARD_PYTHON") : "python3";
  if (std::system((python + " -c 'import tensorboard' >/dev/null 2>&1").c_str()) != 0) {
    WARN("skipped: python3 has no tensorboard");
    return;
  }
  const TempFolder temp;
  const std::string run = temp / "run", script = temp / "read.py", out = temp / "out";
  REQUIRE(ev3_command("run " + small + "--rounds 3 --out " + run).code == 0);
  std::ofstream(script)
      << "import sys\n"
         "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
         "events = EventAccumulator(sys.argv[1])\n"
         "events.Reload()\n"
         "for tag in sorted(events.Tags()['scalars']):\n"
         "    for e in events.Scalars(tag): print(tag, e.step, repr(e.value))\n";
  REQUIRE(std::system((python + " " + script + " " + run + " >" + out + " 2>/dev/null").c_str()) == 0);
  std::istringstream lines(content_of(out));
  std::map<std::string, std::map<std::int64_t, float>> read;
  std::string tag;
  std::int64_t step = 0;
  double value = 0;
  while (lines >> tag >> step >> value) read[tag][step] = static_cast<float>(value);
  const auto all = events(content_of(event_file(run)));
  REQUIRE(all.size() == 4);
  CHECK(read.size() == all[1].scalars.size());
  for (std::size_t i = 1; i < all.size(); ++i) {
    for (const auto& [name, expected] : all[i].scalars) CHECK(read.at(name).at(all[i].step) == expected);
  }
}
