#include "tpsp/machine/cpus.h"

#include <sched.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "support/thrown.h"

using namespace tpsp;

namespace {

// "tpsp-bench 0-3;4-7": who bound the ranks, and where they are. `ranks` are the lists that they may use before.
std::string shared(const std::string& host, const std::vector<std::string>& ranks) {
  std::vector<Cpus> cpus;
  for (const auto& list : ranks) cpus.push_back(parse_cpu_list(list));
  const auto shares = share_cores(HostCores(host), cpus);
  std::string text(to_string(shares.binding));
  for (std::size_t i = 0; i < shares.of_ranks.size(); ++i) {
    text += (i == 0 ? " " : ";") + cpu_list(shares.of_ranks[i]);
  }
  return text;
}

std::vector<std::string> times(std::size_t ranks, const std::string& list) {
  return std::vector<std::string>(ranks, list);
}

// Two sockets of four cores, whose second hardware threads come after all first ones, as Linux numbers them.
const std::string smt_host = "package:2 core:4 pu:2(indexes=0,8,1,9,2,10,3,11,4,12,5,13,6,14,7,15)";

}  // namespace

TEST_CASE("a list of processors is written with ranges and read back") {
  for (const std::string list : {"", "0", "0-1", "0-3,8", "1,3,5-7,100-163"})
    CHECK(cpu_list(parse_cpu_list(list)) == list);
  CHECK(parse_cpu_list("2-4") == Cpus{2, 3, 4});
  CHECK(parse_cpu_list("none").empty());
}

TEST_CASE("ranks that may run anywhere get equal shares of physical cores, neighbours together") {
  CHECK(shared("core:2 pu:1", times(2, "0-1")) == "tpsp-bench 0;1");
  CHECK(shared("package:2 core:4 pu:1", times(2, "0-7")) == "tpsp-bench 0-3;4-7");
  CHECK(shared("package:2 core:4 pu:1", times(8, "0-7")) == "tpsp-bench 0;1;2;3;4;5;6;7");
}

TEST_CASE("where the division leaves a rest, no rank gets more cores than another") {
  CHECK(shared("core:3 pu:1", times(2, "0-2")) == "tpsp-bench 0;1");
  CHECK(shared("package:2 core:4 pu:1", times(3, "0-7")) == "tpsp-bench 0-1;2-3;5-6");
}

TEST_CASE("ranks are within a NUMA node, whose memory they then write first") {
  CHECK(shared("numa:2 core:4 pu:1", times(2, "0-7")) == "tpsp-bench 0-3;4-7");
  CHECK(shared("numa:2 core:4 pu:1", times(3, "0-7")) == "tpsp-bench 0-1;2-3;4-5");
  CHECK(shared("numa:2 core:6 pu:1", times(5, "0-11")) == "tpsp-bench 0-1;2-3;4-5;6-7;9-10");
  CHECK(shared("numa:2 core:7 pu:1", times(3, "0-13")) == "tpsp-bench 0-2;3-5;7-9");  // side by side 4-7, across
  CHECK(shared("numa:4 core:4 pu:1", times(4, "0-15")) == "tpsp-bench 0-3;4-7;8-11;12-15");
  CHECK(shared("package:2 numa:2 core:2 pu:2", times(4, "0-15")) == "tpsp-bench 0-3;4-7;8-11;12-15");
  CHECK(shared("numa:4 core:2 pu:1", times(3, "0-7")) == "tpsp-bench 0-1;2-3;4-5");
}

TEST_CASE("nodes of which ranks may use different numbers of cores get as many ranks as they have cores for") {
  CHECK(shared("numa:2 core:4 pu:1", times(3, "0-5")) == "tpsp-bench 0-1;2-3;4-5");
  CHECK(shared("numa:2 core:4 pu:1", times(2, "0-4")) == "tpsp-bench 0-1;2-3");
  CHECK(shared("numa:3 core:4 pu:1", times(3, "2-9")) == "tpsp-bench 2-3;4-5;8-9");
}

TEST_CASE("ranks are on two NUMA nodes rather than leave more than a quarter of the cores idle") {
  CHECK(shared("numa:4 core:2 pu:1", times(2, "0-7")) == "tpsp-bench 0-3;4-7");
  CHECK(shared("numa:2 core:3 pu:1", times(3, "0-5")) == "tpsp-bench 0-1;2-3;4-5");
}

TEST_CASE("the hardware threads of a core go to one rank together") {
  CHECK(shared("core:2 pu:2", times(2, "0-3")) == "tpsp-bench 0-1;2-3");
  CHECK(shared(smt_host, times(2, "0-15")) == "tpsp-bench 0-3,8-11;4-7,12-15");
  CHECK(shared("core:2 pu:2", times(3, "0-3")) == "none 0-3;0-3;0-3");
}

TEST_CASE("only processors that some rank may use are given out") {
  CHECK(shared("core:8 pu:1", times(2, "2-5")) == "tpsp-bench 2-3;4-5");
  CHECK(shared(smt_host, times(2, "0-1,8")) == "tpsp-bench 0,8;1");
  CHECK(shared("core:4 pu:1", {"0-1", "1-2"}) == "tpsp-bench 0;1");
  CHECK(shared("core:4 pu:1", {"0-3", "2"}) == "tpsp-bench 0-1;2-3");
}

TEST_CASE("ranks that share no processor are left where their launcher put them") {
  CHECK(shared("core:2 pu:1", {"0", "1"}) == "launcher 0;1");
  CHECK(shared("core:8 pu:1", {"0-1", "6"}) == "launcher 0-1;6");
  CHECK(shared("core:2 pu:2", {"0", "1"}) == "launcher 0;1");
}

TEST_CASE("one rank on a host is bound only if it may not use all of it") {
  CHECK(shared("core:4 pu:1", {"0-3"}) == "none 0-3");
  CHECK(shared("core:4 pu:1", {"2"}) == "launcher 2");
}

TEST_CASE("more ranks than cores are left where they are") {
  CHECK(shared("core:2 pu:1", times(3, "0-1")) == "none 0-1;0-1;0-1");
  CHECK(shared("core:2 pu:1", times(2, "0")) == "none 0;0");
}

TEST_CASE("ranks whose processors nobody knows are left where they are") {
  CHECK(shared("core:2 pu:1", {"", ""}) == "none ;");
  CHECK(shared("core:2 pu:1", {"0-1", ""}) == "none 0-1;");
}

TEST_CASE("a host that is not one is refused") { CHECK_THROWS_AS(HostCores("core:none"), Error); }

TEST_CASE("binding keeps threads that run already, and can be undone") {
  const HostCores host;
  const auto before = host.binding();
  REQUIRE_FALSE(before.empty());
  const Cpus one{*before.begin()};
  std::atomic<bool> is_bound = false;
  std::atomic<int> processors = 0;
  std::thread other([&] {
    is_bound.wait(false);
    cpu_set_t mask;
    sched_getaffinity(0, sizeof mask, &mask);
    processors = CPU_COUNT(&mask);
  });
  CHECK(host.bind(one));
  CHECK(host.binding() == one);
  is_bound = true;
  is_bound.notify_all();
  other.join();
  CHECK(processors == 1);
  CHECK(host.bind(before));
  CHECK(host.binding() == before);
}
