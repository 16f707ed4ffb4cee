// Everything that can be wrong with what the program is given: one clear line, exit code 2, and nothing is
// changed. Long, because most of it is one table.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "autodiff/kernels/device.h"
#include "tests/wrong_input.h"

namespace {

using namespace wrong_input;

std::string big_endian(std::uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
  return out;
}

/// n images of 2 x 2 pixels, as an IDX file that announces `announced` of them.
std::string images(std::uint32_t n, std::uint32_t announced) {
  return big_endian(2051) + big_endian(announced) + big_endian(2) + big_endian(2) + std::string(4 * n, '\7');
}
std::string labels(const std::string& classes) {
  return big_endian(2049) + big_endian(static_cast<std::uint32_t>(classes.size())) + classes;
}
const std::string ten("\0\1\2\3\4\5\6\7\10\11", 10);

/// A folder with MNIST's names, and training files of this content.
void mnist(const fs::path& folder, const std::string& image_file, const std::string& label_file) {
  write(folder / "train-images-idx3-ubyte", image_file);
  write(folder / "train-labels-idx1-ubyte", label_file);
  write(folder / "t10k-images-idx3-ubyte", images(10, 10));
  write(folder / "t10k-labels-idx1-ubyte", labels(ten));
}

std::string safetensors(const std::string& header, const std::string& data) {
  return little_endian(header.size(), 8) + header + data;
}
/// A model 2-2 (weights, bias), with another header.
std::string model(const std::string& kernel, const std::string& bias, const std::string& network) {
  return safetensors(R"({"__metadata__":{"network":")" + network + R"("},"dense1.kernel":)" + kernel +
                         R"(,"dense1.bias":)" + bias + "}",
                     std::string(24, '\0'));
}
const std::string kernel = R"({"dtype":"F32","shape":[2,2],"data_offsets":[0,16]})",
                  bias = R"({"dtype":"F32","shape":[2],"data_offsets":[16,24]})",
                  network = R"({\"family\":\"mlp\",\"inputs\":[2],\"hidden\":[],\"classes\":2})";

Case config(const char* name, const std::string& text, const std::string& part) {
  return {name, "run @/c.toml --out @/out", part, [text](const fs::path& f) { write(f / "c.toml", text); }};
}
Case csv(const char* name, const std::string& text, const std::string& part, const std::string& more = "") {
  return {name, "run --set data.name=file --set data.path=@/d.csv --out @/out " + more, part,
          [text](const fs::path& f) { write(f / "d.csv", text); }};
}
Case idx(const char* name, const std::string& image_file, const std::string& label_file,
         const std::string& part) {
  return {name, "run --set data.name=mnist --set data.path=@/m --set pools.test=0 --out @/out", part,
          [=](const fs::path& f) { mnist(f / "m", image_file, label_file); }};
}
Case eval(const char* name, const std::string& bytes, const std::string& part) {
  return {name, "eval @/m.safetensors --data moons", part,
          [bytes](const fs::path& f) { write(f / "m.safetensors", bytes); }};
}
Case resume(
    const char* name, const std::string& arguments, const std::string& part,
    const std::function<void(const fs::path&)>& prepare = [](const fs::path&) {}) {
  return {name, "run --resume @/run " + arguments, part, prepare};
}

const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      // the command line
      {"unknown option", "run --rouns 3", "unknown option '--rouns': did you mean '--rounds'?"},
      {"no threads", "run --threads 0", "--threads"},
      {"unknown backend", "run --backends gpu --out @/out", "gpu"},
      {"unknown device", "run --device gpu --out @/out", "--device"},
      {"a precision that the CPU does not have", "run --precision tf32 --out @/out",
       "the CPU computes in float32 only"},
      {"negative seed", "run --seed -1 --out @/out", "seed: want a whole number of at least 0, got -1"},
      {"no rounds", "run --rounds 0 --out @/out", "rounds: want a whole number of at least 1, got 0"},
      {"--set without a value", "run --set rounds --out @/out", "want KEY=VALUE"},
      {"--set of an unknown key", "run --set explore.lenght=3 --out @/out", "unknown key 'explore.lenght'"},
      {"--set of a list entry that is not there", "run --set loss.9.kind=x --out @/out",
       "want an index from 0 to 2"},
      // configs
      {"no config", "run @/no.toml", "cannot read"},
      {"a config that is a folder", "run @", "it is a directory"},
      config("no TOML", "rounds 3", "c.toml:1:8: "),
      config("a key twice", "rounds = 3\nrounds = 4", "c.toml:2:"),
      config("not UTF-8", "# \xff\xfe\n", "c.toml:1:"),
      config("unknown key", "[optimiser]\nkind = \"sgd\"",
             "unknown key 'optimiser': did you mean 'optimizer'?"),
      config("wrong type", "[assess]\nbatches = 2.5", "c.toml:2:11: assess.batches: want a whole number"),
      config("out of range", "[explore]\ntrajectory_factor = 0", "want a number above 0, got 0"),
      config("too large", "[data]\nbatch = 3000000000", "at most 2147483647, got 3000000000"),
      config("not a number", "[assess]\nalpha = nan", "assess.alpha: want a number of at least 0, got nan"),
      config("unknown kind", "[[optimizer]]\nkind = \"sdg\"",
             "want one of \"sgd\", \"adam\", \"adamw\", \"rmsprop\""),
      config("unknown family", "[model]\nfamily = \"rnn\"", "model.family: want one of \"mlp\", \"cnn\", "),
      config("a network of 2^31 parameters", "[model]\nhidden = [60000, 60000]", "parameters"),
      config("growth without a when", "[adapt]\ngrowth = {kind = \"widen\"}", "the network never grows"),
      config("history too short",
             "history_limit = 1\n[adapt]\nrounds_before_growth = 2\ngrowth = {kind = \"widen\"}",
             "is too short for"),
      config("pools above 1", "[pools]\ntest = 0.5", "sum up to at most 1"),
      config("a pool without samples", "[data]\nname = \"moons\"\nsamples = 10\n[pools]\ntest = 0.01",
             "is none"),
      config("no room for the teacher", "[[loss]]\nkind = \"distillation\"", "wants the logits of a teacher"),
      // data
      {"no data", "run --set data.name=file --set data.path=@/no.csv --out @/out", "no.csv"},
      {"unknown kind of file", "run --set data.name=file --set data.path=@/run/lock --out @/out",
       "want a folder"},
      csv("text where a number should be", "1,2,a\n1,x,b\n", "d.csv"),
      csv("a cell that is not finite", "1,2,a\n1,nan,b\n", "d.csv"),
      csv("lines of different length", "1,2,a\n1,b\n", "d.csv"),
      csv("no samples", "", "d.csv"),
      csv("no such label column", "x,y,z\n1,2,a\n", "d.csv", "--set data.label=klass"),
      csv("a class without a sample", "1,2,0\n1,3,2\n2,2,0\n", "d.csv"),
      {"no folder for MNIST",
       "run --set data.name=mnist --set data.path=@/none --set pools.test=0 --out @/out",
       "none, and no file"},
      {"no files in MNIST's folder",
       "run --set data.name=mnist --set data.path=@/run --set pools.test=0 --out @/out",
       "train-images-idx3-ubyte"},
      {"truncated .gz", "run --set data.name=mnist --set data.path=@/m --set pools.test=0 --out @/out",
       "train-images-idx3-ubyte.gz",
       [](const fs::path& f) {
         mnist(f / "m", images(10, 10), labels(ten));
         fs::remove(f / "m/train-images-idx3-ubyte");
         write(f / "m/train-images-idx3-ubyte.gz", unhex("1f8b08000000000000036364"));
       }},
      idx("wrong magic number", "XXXX" + images(10, 10), labels(ten), "train-images-idx3-ubyte"),
      idx("truncated images", images(9, 10), labels(ten), "train-images-idx3-ubyte"),
      idx("images and labels of unequal number", images(9, 9), labels(ten), "9"),
      idx("label out of range", images(10, 10), labels(ten.substr(0, 9) + "\12"), "train-labels-idx1-ubyte"),
      idx("huge sizes", images(10, 0xffffffff), labels(ten), "train-images-idx3-ubyte"),
      {"a broken .npz", "run --set data.name=file --set data.path=@/d.npz --out @/out", "d.npz",
       [](const fs::path& f) { write(f / "d.npz", "PK\3\4 and no more"); }},
      {"a test set of another shape",
       "run --set data.name=file --set data.path=@/d.csv --set data.test_path=@/t.csv --set pools.test=0 "
       "--out @/out",
       "the test set has samples of shape",
       [](const fs::path& f) {
         write(f / "d.csv", "1,2,0\n1,3,1\n2,2,0\n");
         write(f / "t.csv", "2,0\n3,1\n");
       }},
      // models
      {"no model", "eval @/no.safetensors --data moons", "no.safetensors"},
      eval("a model cut off in its header", safetensors("{\"a\":", "").substr(0, 11), "m.safetensors"),
      eval("a header that is no JSON", safetensors("{nonsense}", ""), "m.safetensors"),
      eval("a header of 2^60 bytes", little_endian(std::uint64_t{1} << 60, 8) + "{}", "m.safetensors"),
      eval("overlapping arrays",
           model(kernel, R"({"dtype":"F32","shape":[2],"data_offsets":[12,20]})", network), "dense1"),
      eval("an array of 2^62 elements",
           model(R"({"dtype":"F32","shape":[2147483648,2147483648],"data_offsets":[0,16]})", bias, network),
           "dense1"),
      eval("an unknown type", model(R"({"dtype":"F99","shape":[2,2],"data_offsets":[0,16]})", bias, network),
           "F99"),
      eval("arrays of other shapes than the network's",
           model(kernel, bias, R"({\"family\":\"mlp\",\"inputs\":[3],\"hidden\":[],\"classes\":2})"),
           "dense1.kernel"),
      eval("an unknown network", model(kernel, bias, R"({\"family\":\"rnn\"})"), "rnn"),
      eval("arrays, but no model", safetensors("{}", ""), "this is no model"),
      {"a model for other data", "eval @/m.safetensors --data digits", "2",
       [](const fs::path& f) { write(f / "m.safetensors", model(kernel, bias, network)); }},
      // the run folder
      {"--out is taken", "run " + small + "--out @/run", "which is not overwritten; go on with it"},
      {"--out is a file", "run " + small + "--out @/run/config.toml",
       "want a folder, there is a file of that name"},
      {"--out below a file", "run " + small + "--out @/run/config.toml/x", "config.toml"},
      {"--out and --resume", "run --resume @/run --out @/x", "excludes"},
      resume("a config that is not there", "@/x.toml", "cannot read"),
      {"no run to go on with", "run --resume @/no", "no such folder"},
      {"a folder that is no run", "run --resume @", "not the folder of a run: it has no config.toml"},
      resume("another experiment", "--seed 2", "seed = 1 there, seed = 2 here"),
      resume("fewer rounds than done", "--rounds 2", "want at least 3 rounds, as many are done; got 2"),
      resume("a config that was changed", "", "has been changed since the run began",
             [](const fs::path& f) {
               replace(f / "run/config.toml", "trajectory_length = 5", "trajectory_length = 6");
             }),
      resume("a config that is damaged", "", "config.toml:",
             [](const fs::path& f) { replace(f / "run/config.toml", "rounds = 3", "rounds = "); }),
      resume("two damaged checkpoints", "", "a.safetensors: ",
             [](const fs::path& f) {
               for (const char* slot : {"a", "b"}) {
                 const fs::path path = f / "run/checkpoints" / (std::string(slot) + ".safetensors");
                 write(path, content_of(path) + "x");
               }
             }),
      resume("no checkpoints", "", "no checkpoint to go on from",
             [](const fs::path& f) {
               fs::remove_all(f / "run/checkpoints");
               fs::create_directory(f / "run/checkpoints");
             }),
      resume("records that are missing", "--rounds 5",
             "has the records of 0 rounds, but the checkpoint is that of round 3",
             [](const fs::path& f) { write(f / "run/rounds.jsonl", ""); }),
      resume("records that are damaged", "--rounds 5", "rounds.jsonl:1: not the record of a round",
             [](const fs::path& f) { replace(f / "run/rounds.jsonl", "\"explore\"", "\"explode\""); }),
  };
  if (!autodiff::kernels::device_info().found) {
    static const std::vector<Case> longer = [] {
      std::vector<Case> all = list;
      all.push_back({"no device", "run --device cuda --out @/out", "use cpu, or auto"});
      all.push_back(
          {"no device for a sweep", "sweep --device cuda --seeds 1,2 --out @/out", "use cpu, or auto"});
      all.push_back(
          {"no device for logits", "logits m --data d --device cuda --out @/out", "use cpu, or auto"});
      all.push_back({"a precision of devices", "sweep --precision tf32 --out @/out", "add --device cuda"});
      return all;
    }();
    return longer;
  }
  return list;
}

}  // namespace

TEST_CASE("every kind of wrong input gets one clear line and changes nothing") {
  REQUIRE(cases().size() >= 40);
  check_all_refused(cases());
}

TEST_CASE("a folder in which another process computes is left alone") {
  const TempFolder temp;
  const fs::path folder = temp / "x";
  fs::copy(finished(), folder, fs::copy_options::recursive);
  const int lock = ::open((folder / "run/lock").c_str(), O_RDWR);
  REQUIRE(::flock(lock, LOCK_EX | LOCK_NB) == 0);
  check_refused(resume("in use", "--rounds 5", "in use by another process"), folder);
  ::close(lock);
  CHECK(ev3_command("run --quiet --rounds 5 --resume " + (folder / "run").string()).code == 0);
}

TEST_CASE("a run whose data have changed does not go on") {
  const TempFolder temp;
  std::string rows;
  for (int i = 0; i < 60; ++i) rows += std::to_string(i % 7) + "," + std::to_string(i % 2) + "\n";
  write(temp / "d.csv", rows);
  const std::string run = temp / "run";
  REQUIRE(ev3_command("run --quiet --set data.name=file --set data.path=" + std::string(temp / "d.csv") +
                      " --set rounds=1 --set explore.trajectory_length=2 --out " + run)
              .code == 0);
  write(temp / "d.csv", rows + "3,1\n");
  check_refused(
      {"other data", "run --rounds 2 --resume " + run, "the data are others than those the run began with"},
      (temp / "run").parent_path());
}

TEST_CASE("a disk that is full before a run has begun leaves no folder") {
  const TempFolder temp;
  const std::string command = "ulimit -f 1; " EV3_PROGRAM " run " + small + "--out " +
                              (temp / "a/b").string() + " >" + (temp / "out").string() + " 2>" +
                              (temp / "err").string();
  CHECK(WEXITSTATUS(std::system(command.c_str())) == 2);
  const std::string message = content_of(temp / "err");
  CHECK_THAT(message, ContainsSubstring("cannot write ") && ContainsSubstring("File too large"));
  CHECK(std::count(message.begin(), message.end(), '\n') == 1);
  CHECK(content_of(temp / "out") == "");
  CHECK(temp.count() == 2);
}

TEST_CASE("a full device behind standard output is an error") {
  const TempFolder temp;
  const int status =
      std::system((EV3_PROGRAM " run --dry-run >/dev/full 2>" + std::string(temp / "err")).c_str());
  CHECK(WEXITSTATUS(status) == 2);
  CHECK_THAT(content_of(temp / "err"), ContainsSubstring("ev3 run: "));
}
