// Which source of a setting wins: command line, environment, --config, default.
#include <catch2/catch.hpp>

#include "run.h"

using namespace tpsp;
using Catch::Contains;

namespace {

using Environment = std::map<std::string, std::string>;

// "seq plan" of every row of a run on one rank.
std::vector<std::string> cases(const TemporaryFolder& folder, const std::string& arguments,
                               const Environment& environment = {}) {
  const Run run(folder, "--model llama-tiny --warmup 0 --reps 1 --check off " + arguments,
                {.environment = environment});
  REQUIRE(run.code() == 0);
  std::vector<std::string> result;
  for (const auto& row : read_csv(folder / "tpsp-results.csv")) result.push_back(row.at("seq") + " " + row.at("plan"));
  return result;
}

using Cases = std::vector<std::string>;

}  // namespace

TEST_CASE("without any word of the user it is tp and tp+sp at 256, 512 and 1024") {
  const TemporaryFolder folder;
  CHECK(cases(folder, "--layers 1") == Cases{"256 tp", "256 tp+sp", "512 tp", "512 tp+sp", "1024 tp", "1024 tp+sp"});
}

TEST_CASE("a configuration file beats the defaults") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml", "seq: [3, 5]\nplan: tp+sp\n");
  CHECK(cases(folder, "--config mine.yaml") == Cases{"3 tp+sp", "5 tp+sp"});
}

TEST_CASE("the environment beats a configuration file") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml", "seq: 3\nplan: tp+sp\n");
  CHECK(cases(folder, "--config mine.yaml", {{"TPSP_SEQ", "4,6"}}) == Cases{"4 tp+sp", "6 tp+sp"});
}

TEST_CASE("the command line beats the environment and a configuration file") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml", "seq: 3\nplan: tp+sp\n");
  CHECK(cases(folder, "--config mine.yaml --seq 7 --tp", {{"TPSP_SEQ", "4"}, {"TPSP_PLAN", "tp+sp"}}) == Cases{"7 tp"});
}

TEST_CASE("the environment can name the configuration file") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml", "seq: 3\nplan: tp\n");
  CHECK(cases(folder, "", {{"TPSP_CONFIG", "mine.yaml"}}) == Cases{"3 tp"});
}

TEST_CASE("every setting of a configuration file reaches the row") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml",
             "model: llama-tiny\nlayers: 1\nplan: tp\nseq: 4\nbatch: 3\ndtype: bf16\nseed: 9\ndevice: cpu\n"
             "backend: serial\nthreads: 2\nwarmup: 0\nreps: 3\ncheck: on\nout: there.csv\nweights: kept\n"
             "order: sequential\nprofile: off\n");
  const Run run(folder, "--config mine.yaml", {.environment = {{"TPSP_THREADS", "2"}}});
  REQUIRE(run.code() == 0);
  const auto row = read_csv(folder / "there.csv").at(0);
  const Record expected{{"model", "llama-tiny"}, {"layers", "1"},     {"plan", "tp"},          {"seq", "4"},
                        {"batch", "3"},          {"dtype", "bf16"},   {"seed", "9"},           {"device", "cpu"},
                        {"threads", "2"},        {"warmup", "0"},     {"reps", "3"},           {"check", "pass"},
                        {"backend", "serial"},   {"weights", "kept"}, {"order", "sequential"}, {"split_s", ""}};
  for (const auto& [name, value] : expected) CHECK(row.at(name) == value);
}

TEST_CASE("USE_SEQUENCE_PARALLELISM chooses tp+sp when true and tp when false") {
  const auto [value, plan] = GENERATE(
      table<std::string, std::string>({{"True", "4 tp+sp"}, {"1", "4 tp+sp"}, {"False", "4 tp"}, {"0", "4 tp"}}));
  const TemporaryFolder folder;
  CHECK(cases(folder, "--seq 4", {{"USE_SEQUENCE_PARALLELISM", value}}) == Cases{plan});
}

TEST_CASE("USE_SEQUENCE_PARALLELISM that is neither true nor false is refused") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --seq 4", {.environment = {{"USE_SEQUENCE_PARALLELISM", "ture"}}});
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("USE_SEQUENCE_PARALLELISM: 'ture' is neither true nor false"));
}

TEST_CASE("TPSP_PLAN beats USE_SEQUENCE_PARALLELISM, which beats a configuration file") {
  const TemporaryFolder folder;
  CHECK(cases(folder, "--seq 4", {{"USE_SEQUENCE_PARALLELISM", "True"}, {"TPSP_PLAN", "tp"}}) == Cases{"4 tp"});
  const TemporaryFolder other;
  write_text(other / "mine.yaml", "plan: tp\n");
  CHECK(cases(other, "--seq 4 --config mine.yaml", {{"USE_SEQUENCE_PARALLELISM", "True"}}) == Cases{"4 tp+sp"});
}

TEST_CASE("the option --tp beats USE_SEQUENCE_PARALLELISM and TPSP_PLAN") {
  const TemporaryFolder folder;
  CHECK(cases(folder, "--seq 4 --tp", {{"USE_SEQUENCE_PARALLELISM", "True"}, {"TPSP_PLAN", "tp+sp"}}) == Cases{"4 tp"});
}

TEST_CASE("a bad value in the environment is reported with the variable's name") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny", {.ranks = 2, .environment = {{"TPSP_SEQ", "many"}}});
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Catch::StartsWith("TPSP_SEQ: 'many'"));
}

TEST_CASE("every option with a value may stand in the environment, its dashes as underscores") {
  const TemporaryFolder folder;
  const Run run(
      folder, "--model llama-tiny --tp --seq 4 --verbose",
      {.environment = {
           {"TPSP_MIN_REPS", "3"}, {"TPSP_MIN_TIME", "0"}, {"TPSP_MAX_NOISE", "100"}, {"TPSP_MAX_TIME", "0"}}});
  REQUIRE(run.code() == 0);
  CHECK(read_csv(folder / "tpsp-results.csv").at(0).at("reps") == "3");
  CHECK_THAT(run.err(), Contains("min-reps is 3 (TPSP_MIN_REPS)") && !Contains("warning"));
}

TEST_CASE("a variable that is called as an option's and is none is warned about, with the nearest") {
  const TemporaryFolder folder;
  const std::map<std::string, std::string> variables{{"TPSP_SEQS", "4"},
                                                     {"TPSP_MIN-REPS", "3"},
                                                     {"TPSP_ABRACADABRA", "1"},
                                                     {"TPSP_TEST_SEED", "1"},
                                                     {"TPSP_MARGIN", "1"}};
  const std::string command = GENERATE("", "plan ", "columns ", "info ");
  const bool measures = command.empty();
  const Run run(folder, command + (measures ? "--model llama-tiny --tp --seq 4 --warmup 0 --reps 1" : ""),
                {.ranks = measures ? 2 : 0, .environment = variables});
  CHECK(run.code() == 0);
  std::vector<std::string> warnings;
  for (const auto& line : lines_of(run.err())) {
    if (line.starts_with("[rank 0] warning: 'TPSP_")) warnings.push_back(line.substr(18));
  }
  CHECK(warnings == std::vector<std::string>{
                        "'TPSP_ABRACADABRA': no option is called that, so it sets nothing; see tpsp-bench --help",
                        "'TPSP_MIN-REPS': no option is called that, so it sets nothing; did you mean 'TPSP_MIN_REPS'?",
                        "'TPSP_SEQS': no option is called that, so it sets nothing; did you mean 'TPSP_SEQ'?"});
}

TEST_CASE("USE_SEQUENCE_PARALLELISM that replaces the plans of a suite says so") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml", "model: llama-tiny\nreps: 1\nseq: 4\ncases:\n  - {plan: [tp, tp+sp]}\n");
  const Run run(folder, "--suite mine.yaml", {.environment = {{"USE_SEQUENCE_PARALLELISM", "True"}}});
  REQUIRE(run.code() == 0);
  CHECK(read_csv(folder / "tpsp-results.csv").size() == 1);
  CHECK_THAT(run.err(),
             Contains("warning: USE_SEQUENCE_PARALLELISM: tp+sp instead of the suite's plans (mine.yaml:5:6)"));
  write_text(folder / "other.yaml", "model: llama-tiny\nreps: 1\nseq: 4\ncases:\n  - {batch: 1}\n  - {batch: 2}\n");
  const Run by_default(folder, "--suite other.yaml", {.environment = {{"USE_SEQUENCE_PARALLELISM", "False"}}});
  CHECK_THAT(by_default.err(), Contains("USE_SEQUENCE_PARALLELISM: tp instead of the suite's plans (the default)"));
  const Run chosen(folder, "--suite mine.yaml --tp", {.environment = {{"USE_SEQUENCE_PARALLELISM", "True"}}});
  CHECK_THAT(chosen.err(), !Contains("USE_SEQUENCE_PARALLELISM"));
}
