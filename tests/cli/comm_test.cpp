// tpsp-bench comm: the collectives alone.
#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "run.h"

using namespace tpsp;
using Catch::Contains;

namespace {

const std::string quick_run = "comm --bytes 4096 --reps 3 ";

std::vector<std::string> column(const std::vector<Record>& rows, const std::string& name) {
  std::vector<std::string> values;
  for (const auto& row : rows) values.push_back(row.at(name));
  return values;
}

std::set<std::string> kinds(const std::vector<Record>& rows, const std::string& name) {
  const auto values = column(rows, name);
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("two backends are interleaved for every collective and buffer, and all results are right") {
  const TemporaryFolder folder;
  const Run run(folder, quick_run + "--backend shm,mpi", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(rows.size() == 18);
  CHECK(kinds(rows, "collective") ==
        std::set<std::string>{"all-reduce", "reduce-scatter", "all-gather", "all-gather-read", "fused-add-norm"});
  CHECK(kinds(rows, "buffer") == std::set<std::string>{"registered", "user"});
  CHECK(kinds(rows, "key").size() == 18);
  CHECK(kinds(rows, "case_id").size() == 9);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& row = rows[i];
    CHECK(row.at("backend") == (i % 2 == 0 ? "shm" : "mpi"));
    CHECK(row.at("message_bytes") == "4096");
    CHECK(row.at("wrong") == "0");
    CHECK(row.at("check") == "pass");
    CHECK(row.at("turns") == "shm;mpi");
    CHECK(row.at("baseline") == (i % 2 == 0 ? "" : "shm"));
    CHECK(row.at("model") + row.at("plan") + row.at("seq") + row.at("layers") + row.at("tokens_per_s") == "");
    const bool nothing_moves =
        row.at("collective") == "all-gather" && row.at("buffer") == "registered" && row.at("backend") == "shm";
    CHECK((row.at("busbw_bytes_per_s") == "") == nothing_moves);
    if (nothing_moves) continue;
    CHECK(std::stod(row.at("algbw_bytes_per_s")) == Approx(4096 / std::stod(row.at("latency_s"))));
  }
  CHECK(widest_line(run.out()) <= 80);
  CHECK_THAT(run.out(), Contains("   size op             type backend buf        time   algbw   busbw  #wrong\n"));
}

TEST_CASE("sizes may have letters, and types and buffers are chosen") {
  const TemporaryFolder folder;
  const Run run(folder, "comm --bytes 1K..4K*2,5000 --op all-gather --dtype fp32,bf16 --buffer user --reps 1");
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  CHECK(column(rows, "message_bytes") ==
        std::vector<std::string>{"1024", "2048", "4096", "5000", "1024", "2048", "4096", "5000"});
  CHECK(column(rows, "dtype") ==
        std::vector<std::string>{"fp32", "fp32", "fp32", "fp32", "bf16", "bf16", "bf16", "bf16"});
  CHECK(kinds(rows, "buffer") == std::set<std::string>{"user"});
  CHECK(kinds(rows, "backend") == std::set<std::string>{"serial"});
}

TEST_CASE("what the lists of comm repeat is measured once, with a warning") {
  const TemporaryFolder folder;
  const Run run(folder,
                "comm --reps 1 --buffer user --bytes 1K,1024 --op all-gather,all-gather --dtype fp32,fp32 "
                "--backend serial,serial");
  REQUIRE(run.code() == 0);
  CHECK(read_csv(folder / "tpsp-results.csv").size() == 1);
  for (const auto* word : {"--bytes: 1024 is", "--op: all-gather is", "--dtype: fp32 is", "--backend: serial is"}) {
    CHECK_THAT(run.err(), Contains(word + std::string(" in the list more than once")));
  }
}

TEST_CASE("all backends are those that can serve") {
  const TemporaryFolder folder;
  const Run run(folder, quick_run + "--backend all --op all-reduce --buffer registered", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto backends = kinds(read_csv(folder / "tpsp-results.csv"), "backend");
  CHECK(backends.count("shm") + backends.count("mpi") == 2);
  CHECK(backends.count("serial") + backends.count("threads") == 0);
}

TEST_CASE("every setting of comm reaches the row, also from a configuration file and the environment") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml",
             "op: [all-reduce]\nbytes: 64K\nbuffer: registered\ndtype: bf16\nwarmup: 0\nmin-reps: 2\nmin-time: 0\n"
             "max-noise: 100\nmax-time: 0\norder: sequential\nbackend: [shm, mpi]\nthreads: 1\nout: there.csv\n");
  const Run run(folder, "comm --config mine.yaml --quiet --device cpu",
                {.ranks = 2, .environment = {{"TPSP_SEED", "7"}}});
  REQUIRE(run.code() == 0);
  CHECK(run.out().empty());
  const auto rows = read_csv(folder / "there.csv");
  REQUIRE(rows.size() == 2);
  const Record expected{{"collective", "all-reduce"},
                        {"message_bytes", "65536"},
                        {"buffer", "registered"},
                        {"dtype", "bf16"},
                        {"warmup", "0"},
                        {"reps", "2"},
                        {"order", "sequential"},
                        {"turns", ""},
                        {"threads", "1"},
                        {"seed", "7"},
                        {"device", "cpu"},
                        {"world", "2"}};
  for (const auto& [name, value] : expected) CHECK(rows[1].at(name) == value);
}

TEST_CASE("collectives are resumed, compared and reported as other rows are") {
  const TemporaryFolder folder;
  const Run first(folder, quick_run + "--op fused-add-norm", {.ranks = 2});
  const Run second(folder, quick_run + "--op fused-add-norm,all-gather --resume", {.ranks = 2});
  REQUIRE(first.code() + second.code() == 0);
  CHECK(column(read_csv(folder / "tpsp-results.csv"), "collective") ==
        std::vector<std::string>{"fused-add-norm", "all-gather", "all-gather"});
  const Run compared(folder, "compare tpsp-results.jsonl tpsp-results.csv --fail-on unmatched");
  CHECK(compared.code() == 0);
  CHECK_THAT(compared.out(), Contains("3 pairs: "));
  CHECK(widest_line(compared.out()) <= 80);
  const Run page(folder, "report tpsp-results.jsonl");
  CHECK(page.code() == 0);
}

TEST_CASE("a transport with a wrong sum fails its rows, with exit code 4") {
  const TemporaryFolder folder;
  const Run run(folder, quick_run + "--backend mpi,broken --op all-reduce,all-gather --buffer user",
                {.ranks = 2, .program = TPSP_BROKEN_BENCH});
  CHECK(run.code() == 4);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  CHECK(column(rows, "status") == std::vector<std::string>{"ok", "failed", "ok", "ok"});
  CHECK(column(rows, "wrong") == std::vector<std::string>{"0", "4", "0", "0"});  // one a call and rank
  CHECK_THAT(run.out(), Contains("4 elements of the results of two calls are wrong"));
}

TEST_CASE("options of comm that make no sense are refused before anything is measured") {
  struct Bad {
    const char* arguments;
    const char* said;
  };
  const TemporaryFolder folder;
  for (const auto& [arguments, said] :
       {Bad{"--op all-reduse", "--op: 'all-reduse' is not one of its values; did you mean 'all-reduce'?"},
        Bad{"--bytes 2", "--bytes: '2' is out of range; give a number from 4 to"},
        Bad{"--bytes 8X", "--bytes: '8X'"},
        Bad{"--bytes 99999999999G", "--bytes: "},
        Bad{"--bytes 8M,", "empty item"},
        Bad{"--buffer here", "--buffer: 'here'"},
        Bad{"--dtype fp32,fp16", "--dtype: 'fp16'"},
        Bad{"--backend mpo", "did you mean 'mpi'?"},
        Bad{"--backend threads", "--backend threads: "},
        Bad{"--order never", "--order: 'never'"},
        Bad{"--warmup x", "--warmup: 'x'"},
        Bad{"--min-reps 0", "--min-reps: '0'"},
        Bad{"--min-time x", "--min-time: 'x'"},
        Bad{"--max-noise 101", "--max-noise: '101'"},
        Bad{"--max-time x", "--max-time: 'x'"},
        Bad{"--reps 0", "--reps: '0'"},
        Bad{"--threads 0", "--threads: '0'"},
        Bad{"--seed -1", "--seed: '-1'"},
        Bad{"--device gpu", "--device: 'gpu'"},
        Bad{"--seq 4", "'--seq': there is no such option"}}) {
    const Run run(folder, "comm " + std::string(arguments));
    CHECK(run.code() == 2);
    CHECK_THAT(complaint(run), Contains(said));
    CHECK_FALSE(std::filesystem::exists(folder / "tpsp-results.csv"));
  }
  const Run both(folder, "comm --bytes 4", {.ranks = 2});
  CHECK(both.code() == 2);
  CHECK_THAT(complaint(both), Contains("give a number from 8 to"));
}

TEST_CASE("comm --help is about comm, in 80 columns") {
  const TemporaryFolder folder;
  const Run run(folder, "comm --help");
  CHECK(run.code() == 0);
  CHECK(widest_line(run.out()) <= 80);
  for (const auto* part : {"Case:", "Machine:", "Protocol:", "Output:", "--op LIST", "--bytes LIST", "--buffer NAME",
                           "--backend LIST", "--resume", "all-gather-read"}) {
    CHECK_THAT(run.out(), Contains(part));
  }
  CHECK_THAT(run.out(), !Contains("--seq") && !Contains("forward"));
}
