#include "tpsp/machine/host_memory.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <limits>

#include "support/temporary_folder.h"

using namespace tpsp;

namespace {

constexpr auto unlimited = std::numeric_limits<std::int64_t>::max();

void put(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

void make_group(const std::filesystem::path& root, const std::string& group, const std::string& limit,
                const std::string& current, const std::string& stat = "anon 1\ninactive_file 0\n") {
  const auto folder = root / "sys/fs/cgroup" / group;
  put(folder / "memory.max", limit + "\n");
  put(folder / "memory.current", current + "\n");
  put(folder / "memory.stat", stat);
}

void make_group_v1(const std::filesystem::path& root, const std::string& group, const std::string& limit,
                   const std::string& current, const std::string& stat = "inactive_file 7\ntotal_inactive_file 0\n") {
  const auto folder = root / "sys/fs/cgroup/memory" / group;
  put(folder / "memory.limit_in_bytes", limit + "\n");
  put(folder / "memory.usage_in_bytes", current + "\n");
  put(folder / "memory.stat", stat);
}

void run_in(const std::filesystem::path& root, const std::string& groups) { put(root / "proc/self/cgroup", groups); }

}  // namespace

TEST_CASE("a control group leaves its limit less what it holds") {
  const TemporaryFolder root;
  run_in(root / ".", "0::/job\n");
  make_group(root / ".", "job", "1000", "300");
  CHECK(available_host_bytes(root / ".") == 700);
}

TEST_CASE("the tightest of a group and those above it counts") {
  const TemporaryFolder root;
  run_in(root / ".", "0::/job/step\n");
  make_group(root / ".", "job", "500", "300");
  make_group(root / ".", "job/step", "1000", "100");
  CHECK(available_host_bytes(root / ".") == 200);
}

TEST_CASE("file pages that can be reclaimed are not held") {
  const TemporaryFolder root;
  run_in(root / ".", "0::/job\n");
  make_group(root / ".", "job", "1000", "900", "anon 1\ninactive_file 250\n");
  CHECK(available_host_bytes(root / ".") == 350);
}

TEST_CASE("a group without a limit, or that can not be read, refuses nothing") {
  const TemporaryFolder root;
  make_group(root / ".", "free", "max", "300");
  for (const auto* group : {"0::/free\n", "0::/absent\n", "3:memory:/absent\n", ""}) {
    run_in(root / ".", group);
    CHECK(available_host_bytes(root / ".") == unlimited);
  }
}

TEST_CASE("a limit of cgroup v1 counts, with the groups above it and the pages that can be reclaimed") {
  const TemporaryFolder root;
  run_in(root / ".", "11:cpu,cpuacct:/elsewhere\n9:hugetlb,memory:/job/step\n0::/\n");
  make_group_v1(root / ".", "job", "5000", "4000", "inactive_file 7\ntotal_inactive_file 500\n");
  make_group_v1(root / ".", "job/step", "9223372036854771712", "100");
  CHECK(available_host_bytes(root / ".") == 1500);
}

TEST_CASE("a container's own limit of cgroup v1 lies at the root of what it sees") {
  const TemporaryFolder root;
  run_in(root / ".", "4:memory:/docker/0123abc\n");
  make_group_v1(root / ".", ".", "1000", "400");
  CHECK(available_host_bytes(root / ".") == 600);
}

TEST_CASE("the least of the machine's memory and its groups of either version counts") {
  const TemporaryFolder root;
  put(root / "proc/meminfo", "MemTotal: 9 kB\nMemAvailable: 1 kB\n");
  run_in(root / ".", "4:memory:/job\n0::/job\n");
  CHECK(available_host_bytes(root / ".") == 1024);
  make_group(root / ".", "job", "1000", "0");
  CHECK(available_host_bytes(root / ".") == 1000);
  make_group_v1(root / ".", "job", "900", "0");
  CHECK(available_host_bytes(root / ".") == 900);
}

TEST_CASE("this host has memory left") {
  CHECK(available_host_bytes() > 1 << 20);
  CHECK(available_host_bytes() < std::int64_t{1} << 50);
}
