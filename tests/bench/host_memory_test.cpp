#include "tpsp/bench/host_memory.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <limits>

#include "support/temporary_folder.h"

using namespace tpsp;

namespace {

constexpr auto unlimited = std::numeric_limits<std::int64_t>::max();

void make_group(const std::filesystem::path& folder, const std::string& limit, const std::string& current,
                const std::string& stat = "anon 1\ninactive_file 0\n") {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "memory.max") << limit << '\n';
  std::ofstream(folder / "memory.current") << current << '\n';
  std::ofstream(folder / "memory.stat") << stat;
}

}  // namespace

TEST_CASE("a control group leaves its limit less what it holds") {
  const TemporaryFolder root;
  make_group(root / "job", "1000", "300");
  CHECK(available_in_groups(root / ".", "/job") == 700);
}

TEST_CASE("the tightest of a group and those above it counts") {
  const TemporaryFolder root;
  make_group(root / "job", "500", "300");
  make_group(root / "job/step", "1000", "100");
  CHECK(available_in_groups(root / ".", "/job/step") == 200);
}

TEST_CASE("file pages that can be reclaimed are not held") {
  const TemporaryFolder root;
  make_group(root / "job", "1000", "900", "anon 1\ninactive_file 250\n");
  CHECK(available_in_groups(root / ".", "/job") == 350);
}

TEST_CASE("a group without a limit, or that can not be read, refuses nothing") {
  const TemporaryFolder root;
  make_group(root / "free", "max", "300");
  CHECK(available_in_groups(root / ".", "/free") == unlimited);
  CHECK(available_in_groups(root / ".", "/absent") == unlimited);
}

TEST_CASE("this host has memory left") {
  CHECK(available_host_bytes() > 1 << 20);
  CHECK(available_host_bytes() < std::int64_t{1} << 50);
}
