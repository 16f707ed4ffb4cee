// A run that is killed again and again, at any moment, ends with the same bytes as one that is left alone.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <thread>

#include "ev3/cli/tfevents.h"
#include "tests/catch.h"
#include "tests/cifar_files.h"
#include "tests/command.h"

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

const std::vector<std::string> experiment{"--set",  "data.name=spirals",
                                          "--set",  "data.samples=2000",
                                          "--set",  "model.hidden=[8]",
                                          "--set",  "rounds=30",
                                          "--set",  "explore.trajectory_length=150",
                                          "--set",  "history_limit=2",
                                          "--set",  "adapt.rounds_before_growth=2",
                                          "--quiet"};

/// A process `ev3 run ...` of its own, without a shell in between; killed when it is not waited for.
class RunProcess {
 public:
  explicit RunProcess(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {EV3_PROGRAM, "run"});
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (const int stream : {0, 1, 2})
      posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0);
    REQUIRE(posix_spawn(&id_, EV3_PROGRAM, &actions, nullptr, argv.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  /// Waits at most so long, then sends the signal. The exit code, or minus the signal that ended it.
  int wait(double seconds, int signal) {
    const Clock::time_point start = Clock::now();
    int status = 0;
    while (::waitpid(id_, &status, WNOHANG) == 0) {
      if (Seconds(Clock::now() - start).count() > seconds) {
        ::kill(id_, signal);
        ::waitpid(id_, &status, 0);
        break;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t id_ = 0;
};

int run_to_end(const std::vector<std::string>& arguments) { return RunProcess(arguments).wait(300, SIGKILL); }

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// All files that must not depend on when and where they were made.
// Runs `arguments` as a whole, and again killed at 20 random moments and resumed each time, with 1, 2 and 3
// threads in turn: the same bytes. The files of the whole run.
std::map<std::string, std::string> same_after_kills(const std::vector<std::string>& arguments,
                                                    const TempFolder& temp) {
  const fs::path whole = temp / "whole";
  const Clock::time_point start = Clock::now();
  REQUIRE(run_to_end(arguments + std::vector<std::string>{"--out", whole.string()}) == 0);
  const double duration = Seconds(Clock::now() - start).count();
  auto expected = lasting_files(whole);
  const auto lines = [](const fs::path& file) {
    const std::string text = content_of(file);
    return std::count(text.begin(), text.end(), '\n');
  };

  const autodiff::Random random(autodiff::Seed{3});
  int kills = 0, before_folder = 0;
  for (int attempt = 0; kills < 20; ++attempt) {
    const fs::path folder = temp / ("killed-" + std::to_string(attempt));
    for (int code = -SIGKILL; code != 0;) {
      const bool there = fs::exists(folder);
      const std::vector<std::string> where{there ? "--resume" : "--out", folder.string(), "--threads",
                                           std::to_string(1 + kills % 3)};
      // Longer from kill to kill, so that a run gets ahead however long its start takes.
      const double longest = duration / 6 * (1 + kills / 20.0);
      const double delay = random.uniform(static_cast<std::uint64_t>(kills), 0, longest);
      code = RunProcess(there ? where + std::vector<std::string>{"--quiet"} : arguments + where)
                 .wait(delay, SIGKILL);
      REQUIRE((code == 0 || code == -SIGKILL));
      kills += code != 0;
      before_folder += code != 0 && !fs::exists(folder);
      REQUIRE(kills < 500);
    }
    CHECK(lasting_files(folder) == expected);
    for (const char* metrics : {"metrics.jsonl", "metrics.csv"}) {
      CHECK(lines(folder / metrics) == lines(whole / metrics));
    }
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (!entry.path().filename().string().starts_with("events")) continue;
      const std::string events = content_of(entry.path());
      CHECK(ev3::cli::whole_events(events).records == 1 + lines(whole / "rounds.jsonl"));
      CHECK(ev3::cli::whole_events(events).bytes == events.size());
    }
  }
  WARN("killed " << kills << " times, " << before_folder << " of them before there was a folder");
  return expected;
}

}  // namespace

TEST_CASE("killed at 20 random moments and resumed each time, a run ends with the same bytes", "[slow]") {
  const TempFolder temp;
  CHECK(same_after_kills(experiment, temp).size() == 6);
}

TEST_CASE("so does a residual network with teachers, growth and passes", "[slow]") {
  const TempFolder temp;
  make_cifar10(temp / "ten", 40);
  const std::vector<std::string> data{"--set",  "data.name=cifar10",
                                      "--set",  "data.path=" + (temp / "ten").string(),
                                      "--set",  "data.shrink=4",
                                      "--set",  "data.batch=16",
                                      "--set",  "augment={explore={pad=1,flip=true}}",
                                      "--set",  "pools.test=0",
                                      "--set",  "model={family=\"resnet_cifar\",filters=2,blocks=[1,1]}",
                                      "--set",  "explore.trajectory_length=20",
                                      "--quiet"};
  const std::vector<std::string> teacher{"--set", "rounds=3", "--out", (temp / "teacher").string()};
  REQUIRE(run_to_end(data + teacher) == 0);
  const auto files = same_after_kills(
      data +
          std::vector<std::string>{
              "--set", "teachers=[\"" + (temp / "teacher").string() + "/model.safetensors\"]", "--set",
              "loss=[{kind=\"distillation\",teacher=0}]", "--set", "rounds=40", "--set", "history_limit=-1",
              "--set", "adapt.rounds_before_growth=1", "--set", "adapt.growth={kind=\"deepen_all\"}", "--set",
              "passes={count=3,largest_blocks=2}"},
      temp);
  const std::string& rounds = files.at("rounds.jsonl");
  CHECK_THAT(rounds, ContainsSubstring("\"grown to resnet 2x2-2\""));
  CHECK_THAT(rounds, ContainsSubstring("\"pass\":3"));
  CHECK_THAT(rounds, ContainsSubstring("resnet 2x1-1 of pass 1"));
  CHECK(files.contains("archive/resnet-2x1-1.safetensors"));
  CHECK(files.contains("archive/resnet-2x2-2.safetensors"));
}

TEST_CASE("so does a run with dropout, whose masks do not depend on what came before", "[slow]") {
  const TempFolder temp;
  const std::vector<std::string> dropout{
      "--set",
      "data.name=spirals",
      "--set",
      "data.samples=2000",
      "--set",
      "model={family=\"sequential\",layer=[{kind=\"dense\",units=12},{kind=\"relu\"},"
      "{kind=\"dropout\",rate=0.2},{kind=\"dense\"}]}",
      "--set",
      "rounds=20",
      "--set",
      "explore.trajectory_length=150",
      "--set",
      "adapt={}",
      "--quiet"};
  CHECK(same_after_kills(dropout, temp).size() == 6);
}

TEST_CASE("an interrupted run says so, exits with 130 and goes on exactly", "[slow]") {
  const TempFolder temp;
  const fs::path whole = temp / "whole", broken = temp / "broken";
  REQUIRE(run_to_end(experiment + std::vector<std::string>{"--out", whole.string()}) == 0);
  for (const int signal : {SIGINT, SIGTERM}) {
    RunProcess process(experiment + (fs::exists(broken)
                                         ? std::vector<std::string>{"--out", (temp / "other").string()}
                                         : std::vector<std::string>{"--out", broken.string()}));
    while (!fs::exists(temp / (signal == SIGINT ? "broken" : "other"))) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    CHECK(process.wait(0, signal) == 130);
  }
  REQUIRE(run_to_end({"--resume", broken.string(), "--quiet"}) == 0);
  CHECK(lasting_files(broken) == lasting_files(whole));
}

TEST_CASE("a write that fails in the middle of a run loses nothing", "[slow]") {
  const TempFolder temp;
  const std::string whole = temp / "whole", full = temp / "full";
  std::string arguments;
  for (const std::string& argument : experiment) arguments += " '" + argument + "'";
  REQUIRE(ev3_command("run" + arguments + " --out " + whole).code == 0);
  // The records alone are larger than the limit; checkpoints fit for some rounds.
  const std::string err = temp / "err";
  const std::string command =
      "ulimit -f 100; " EV3_PROGRAM " run" + arguments + " --out " + full + " 2>" + err;
  const int status = std::system(command.c_str());
  CHECK(WEXITSTATUS(status) == 2);
  const std::string message = content_of(err);
  CHECK_THAT(message, ContainsSubstring("cannot write " + full) && ContainsSubstring("go on with: ") &&
                          ContainsSubstring("ev3 run --resume " + full));
  CHECK(std::count(message.begin(), message.end(), '\n') == 1);
  for (const auto& [name, content] : lasting_files(full)) CHECK_FALSE(name.ends_with(".tmp"));
  REQUIRE(run_to_end({"--resume", full, "--quiet"}) == 0);
  CHECK(lasting_files(full) == lasting_files(whole));
}
