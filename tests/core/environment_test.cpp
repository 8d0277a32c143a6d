#include "tpsp/core/environment.h"

#include <stdlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <initializer_list>
#include <utility>
#include <vector>

#include "support/thrown.h"
#include "tpsp/core/text.h"

using namespace tpsp;
using Catch::Contains;
using Variable = std::pair<const char*, const char*>;

namespace {

/// The launcher's variables are exactly `set`; what they were before comes back at the end.
class Launcher {
 public:
  Launcher(std::initializer_list<Variable> set) {
    for (const char* name : names) {
      before_.emplace_back(environment(name));
      ::unsetenv(name);
    }
    for (const auto& [name, value] : set) ::setenv(name, value, 1);
  }
  ~Launcher() {
    for (std::size_t i = 0; i < std::size(names); ++i) {
      before_[i] ? ::setenv(names[i], before_[i]->c_str(), 1) : ::unsetenv(names[i]);
    }
  }
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

 private:
  static constexpr const char* names[] = {
      "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK",           "PMI_RANK", "PMI_SIZE",
      "SLURM_NTASKS",         "SLURM_PROCID",         "SLURM_STEP_NUM_TASKS"};
  std::vector<std::optional<std::string>> before_;
};

void check_launch(const Launch& launch, bool mpi, int rank, int size) {
  CHECK(launch.mpi == mpi);
  CHECK(launch.rank == rank);
  CHECK(launch.size == size);
}

}  // namespace

TEST_CASE("a variable that is not set differs from an empty one") {
  const Launcher launcher{{"PMI_RANK", ""}};
  CHECK(environment("PMI_RANK") == "");
  CHECK_FALSE(environment("PMIX_RANK").has_value());
}

TEST_CASE("variables are found by how their names begin, whatever is in them") {
  const Launcher launcher{{"PMI_RANK", ""}, {"PMI_SIZE", "PMI_OTHER=1"}};
  CHECK(variables_with("PMI_") == std::vector<std::string>{"PMI_RANK", "PMI_SIZE"});
  CHECK(variables_with("PMI_RANKS").empty());
}

TEST_CASE("of the environment only what changes times is recorded") {
  ::setenv("OMP_TEST", "a;b\n\xFF", 1);
  ::setenv("NCCL_TEST", std::string(1000, 'x').c_str(), 1);
  ::setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
  ::setenv("NOT_OMP_TEST", "1", 1);
  const auto recorded = recorded_environment();
  for (const char* name : {"OMP_TEST", "NCCL_TEST", "AWS_SECRET_ACCESS_KEY", "NOT_OMP_TEST"}) ::unsetenv(name);
  const auto text = join(recorded, ";");
  CHECK_THAT(text, Contains("OMP_TEST=a b "));
  CHECK_THAT(text, Contains("NCCL_TEST=xxxx"));
  CHECK_THAT(text, !Contains("secret") && !Contains("NOT_OMP_TEST"));
  CHECK(std::none_of(recorded.begin(), recorded.end(), [](const auto& entry) { return entry.starts_with("HOME="); }));
  CHECK(std::is_sorted(recorded.begin(), recorded.end()));
  for (const auto& entry : recorded) CHECK(entry.size() <= 210);
}

TEST_CASE("a path in the user's home folder is shown without it") {
  const auto before = environment("HOME");
  ::setenv("HOME", "/home/someone", 1);
  CHECK(without_home("/home/someone/.cache/gemm.json") == "~/.cache/gemm.json");
  CHECK(without_home("/home/someone_else/gemm.json") == "/home/someone_else/gemm.json");
  CHECK(without_home("results/gemm.json") == "results/gemm.json");
  ::setenv("HOME", "/", 1);
  CHECK(without_home("/gemm.json") == "/gemm.json");
  before ? ::setenv("HOME", before->c_str(), 1) : ::unsetenv("HOME");
}

TEST_CASE("a process started alone is rank 0 of 1 without MPI") {
  const Launcher launcher{};
  check_launch(detect_launch(), false, 0, 1);
}

TEST_CASE("mpirun sets rank and size even for one rank") {
  {
    const Launcher launcher{{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}};
    check_launch(detect_launch(), true, 3, 4);
  }
  const Launcher launcher{{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}};
  check_launch(detect_launch(), true, 0, 1);
}

TEST_CASE("srun with pmix sets the rank and the step's task count") {
  {
    const Launcher launcher{{"PMIX_RANK", "1"}, {"SLURM_NTASKS", "2"}};
    check_launch(detect_launch(), true, 1, 2);
  }
  const Launcher launcher{{"PMIX_RANK", "1"}, {"SLURM_NTASKS", "8"}, {"SLURM_STEP_NUM_TASKS", "2"}};
  check_launch(detect_launch(), true, 1, 2);
}

TEST_CASE("another PMI launcher sets rank and size") {
  const Launcher launcher{{"PMI_RANK", "5"}, {"PMI_SIZE", "8"}};
  check_launch(detect_launch(), true, 5, 8);
}

TEST_CASE("the shell of a batch job is no launch") {
  const Launcher launcher{{"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}};
  check_launch(detect_launch(), false, 0, 1);
}

TEST_CASE("an srun without PMIx has tasks that MPI does not know") {
  {
    const Launcher launcher{{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}};
    check_launch(detect_launch(), false, 1, 2);
  }
  const Launcher launcher{{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}};
  check_launch(detect_launch(), false, 0, 1);
}

TEST_CASE("a launcher that contradicts itself is refused") {
  {
    const Launcher launcher{{"OMPI_COMM_WORLD_RANK", "4"}, {"OMPI_COMM_WORLD_SIZE", "4"}};
    CHECK_THAT(complaint_of(detect_launch), Contains("launcher: rank 4 of 4 (OMPI_COMM_WORLD_RANK"));
  }
  {
    const Launcher launcher{{"PMIX_RANK", "0"}};
    CHECK_THAT(complaint_of(detect_launch), Contains("PMIX_RANK is set but SLURM_NTASKS is not"));
  }
  const Launcher launcher{{"PMI_RANK", "first"}, {"PMI_SIZE", "2"}};
  CHECK_THAT(complaint_of(detect_launch), Contains("PMI_RANK: 'first' is not an integer"));
}

TEST_CASE("the time is UTC to the second") {
  CHECK_THAT(utc_time(), Catch::Matches("20\\d\\d-[01]\\d-[0-3]\\dT[0-2]\\d:[0-5]\\d:[0-6]\\dZ"));
}

TEST_CASE("a run's name is its time and four hexadecimal digits") {
  CHECK_THAT(make_run_id(), Catch::Matches("20\\d{6}T\\d{6}Z-[0-9a-f]{4}"));
}

TEST_CASE("the host has a name") { CHECK_FALSE(host_name().empty()); }
