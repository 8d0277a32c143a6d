// Options that make no sense: exit code 2 and one message, from all ranks together.
#include <catch2/catch.hpp>

#include "run.h"

using namespace tpsp;
using Catch::Contains;

namespace {

struct Bad {
  const char* arguments;
  const char* said;  ///< a part of the message
};

// Every one of them must end at once with 2 and one message, and nothing is measured: the first under mpirun, where all
// ranks have to end together, the others alone.
void check_refused(const std::vector<Bad>& all) {
  const TemporaryFolder folder;
  for (const auto& bad : all) {
    const Run run(folder, "--tp " + std::string(bad.arguments),
                  {.ranks = &bad == &all.front() ? 2 : 0, .environment = {{"TPSP_MODEL", "llama-tiny"}}});
    CHECK(run.code() == 2);
    CHECK_THAT(complaint(run), Contains(bad.said));
    CHECK(run.out().empty());
    CHECK_FALSE(std::filesystem::exists(folder / "tpsp-results.csv"));
  }
}

}  // namespace

TEST_CASE("an unknown name of a model or a plan is answered with the nearest") {
  check_refused({{"--model llama-tinny", "did you mean 'llama-tiny'?"}, {"--plan tp+ps", "did you mean 'tp+sp'?"}});
}

TEST_CASE("an unknown option or command is answered with the nearest") {
  check_refused({{"--sequ 256", "'--sequ': there is no such option; did you mean '--seq'?"},
                 {"--batchsize=3", "'--batchsize=3': there is no such option"},
                 {"plna", "'plna': not expected here; did you mean 'plan'?"}});
}

TEST_CASE("a second word after an option is not its value") {
  check_refused({{"--model llama-tiny extra", "'extra': not expected here"}, {"--seq 4 8", "'8': not expected here"}});
}

TEST_CASE("an option without its value is refused") { check_refused({{"--seq", "--seq"}, {"--reps=", "--reps"}}); }

TEST_CASE("an empty value or an empty item of a list is refused wherever it stands") {
  check_refused({{"--seq ' '", "--seq: the value is empty; give one, or leave it out"},
                 {"--plan tp+sp,", "--plan: the list 'tp,tp+sp,' has an empty item; write one comma between two items"},
                 {"--out ' '", "--out: the value is empty"},
                 {"--out a.csv,", "--out: the list 'a.csv,' has an empty item"},
                 {"--config ''", "--config: the value is empty"},
                 {"--trace ''", "--trace: the value is empty"},
                 {"--export ''", "--export: the value is empty"},
                 {"--suite ''", "--suite: the value is empty"}});
  const TemporaryFolder folder;
  for (const auto* arguments : {"comm --op all-gather,", "comm --backend ,serial", "comm --dtype fp32,,bf16"}) {
    const Run run(folder, arguments);
    CHECK(run.code() == 2);
    CHECK_THAT(complaint(run), Contains("has an empty item"));
  }
}

TEST_CASE("an unknown dtype, device, backend or check is answered with the choices") {
  check_refused({{"--backend serial", "--backend serial"},
                 {"--backend mpo", "did you mean 'mpi'?"},
                 {"--dtype fp16", "'fp16'"},
                 {"--device gpu", "'gpu'"},
                 {"--check maybe", "'maybe'"}});
}

TEST_CASE("lengths that are no lengths are refused") {
  const std::string seq =
      GENERATE("-1", "0", "99999999999999999999", "256,", "1e3", "''", "4000000000", "4..2*2", "4..8", "1..1000000+1");
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --seq " + seq, {.ranks = seq == "-1" ? 2 : 0});
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Catch::StartsWith("--seq: "));
  CHECK(run.out().empty());
}

TEST_CASE("numbers out of range are refused") {
  check_refused({{"--layers 0", "--layers: '0' is out of range"},
                 {"--batch -2", "--batch: '-2'"},
                 {"--reps 0", "--reps: '0' is out of range"},
                 {"--threads 0", "--threads: '0' is out of range"},
                 {"--warmup x", "--warmup: 'x'"},
                 {"--seed -1", "--seed: '-1'"}});
}

TEST_CASE("a preview of no ranks is refused") {
  const TemporaryFolder folder;
  const Run run(folder, "plan --model llama-tiny --world 0");
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("--world: '0' is out of range"));
}

TEST_CASE("options that stand before a command are refused, since it would not see them") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny plan");
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("--model") && Contains("tpsp-bench plan --model"));
}

TEST_CASE("an option of another command is refused") {
  const TemporaryFolder folder;
  const Run run(folder, "plan --reps 3");
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("'--reps': there is no such option"));
}

TEST_CASE("a world size that does not divide the heads is refused with the sizes that do") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --seq 9", {.ranks = 3});
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("3 ranks") && Contains("a world size of 1, 2, 4"));
}

TEST_CASE("an export of several cases is refused") {
  check_refused({{"--seq 4,8 --export there", "there are 2 cases"}});
}

TEST_CASE("a GPU that is not there is refused with what to do") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --device cuda", {.environment = {{"CUDA_VISIBLE_DEVICES", ""}}});
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("--device cpu"));
}

TEST_CASE("a launcher that contradicts itself is refused") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny",
                {.environment = {{"OMPI_COMM_WORLD_RANK", "5"}, {"OMPI_COMM_WORLD_SIZE", "2"}}});
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("rank 5 of 2"));
}
