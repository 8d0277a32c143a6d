#include "stall.h"

#include <catch2/catch.hpp>

using namespace tpsp;

namespace {

const std::vector<std::string> places{"a (pid 10)", "a (pid 11)", "b (pid 12)"};

RankReport in_call(std::uint64_t number, const std::string& what) {
  return {.activity = {.steps = 9, .joint_calls = number, .what = what, .ended = false, .joint = true}};
}

RankReport computing(std::uint64_t calls, const std::string& what) {
  return {.activity = {.steps = 9, .joint_calls = calls, .what = what, .ended = false, .joint = false}};
}

}  // namespace

TEST_CASE("a report as text and back is the same") {
  const RankReport report{.phase = "tp at seq 256, timing, 3 done",
                          .activity = {.steps = 77, .joint_calls = 41, .what = "gemm of \"w2\"\n", .ended = true},
                          .idle_s = 12.25,
                          .failure = "a \t failure"};
  const auto back = report_in(text_of(report));
  CHECK(back.phase == report.phase);
  CHECK(back.activity.steps == 77);
  CHECK(back.activity.joint_calls == 41);
  CHECK(back.activity.what == report.activity.what);
  CHECK(back.activity.ended);
  CHECK_FALSE(back.activity.joint);
  CHECK(back.idle_s == 12.25);
  CHECK(back.failure == report.failure);
}

TEST_CASE("a rank that does not answer keeps the others waiting") {
  const auto verdict = verdict_of({{0, in_call(41, "reduce-scatter of layers.7.feed_forward.w2")},
                                   {1, in_call(41, "reduce-scatter of layers.7.feed_forward.w2")}},
                                  places);
  CHECK(verdict ==
        "rank 2 on b (pid 12) did not answer: stopped, gone, or out of reach; the others wait in reduce-scatter of "
        "layers.7.feed_forward.w2 (call 41)");
}

TEST_CASE("a rank that has not begun the call that others are in keeps them waiting") {
  const auto verdict = verdict_of({{0, in_call(41, "all-reduce of layers.0.attention.wo")},
                                   {1, computing(40, "gemm of layers.0.attention.wo")},
                                   {2, in_call(41, "all-reduce of layers.0.attention.wo")}},
                                  places);
  CHECK(verdict ==
        "rank 1 on a (pid 11) never entered all-reduce of layers.0.attention.wo (call 41): rank 1 is in gemm of "
        "layers.0.attention.wo");
}

TEST_CASE("of ranks that wait for each other in a chain, the one that all wait for is named") {
  // rank 0 waits for rank 1 over the replicas, and rank 1 for rank 2 in its own group
  const auto verdict = verdict_of({{0, in_call(43, "all-reduce of norm")},
                                   {1, in_call(42, "all-gather of output")},
                                   {2, computing(41, "gemm of output")}},
                                  places);
  CHECK_THAT(verdict,
             Catch::StartsWith("rank 2 on b (pid 12) never entered") && Catch::EndsWith("rank 2 is in gemm of output"));
}

TEST_CASE("a rank that is between two things is late too") {
  auto late = computing(7, "norm of norm");
  late.activity.ended = true;
  const auto verdict = verdict_of({{0, in_call(8, "a barrier")}, {1, in_call(8, "a barrier")}, {2, late}}, places);
  CHECK(verdict ==
        "rank 2 on b (pid 12) never entered a barrier (call 8): rank 2 is between two steps, after norm of "
        "norm");
}

TEST_CASE("ranks in different calls are told apart") {
  const auto verdict = verdict_of({{0, in_call(8, "all-gather of output")},
                                   {1, in_call(8, "reduce-scatter of output")},
                                   {2, in_call(8, "all-gather of output")}},
                                  places);
  CHECK_THAT(verdict, Catch::EndsWith("the others wait in all-gather of output (call 8)"));
  CHECK_THAT(verdict, Catch::Contains("rank 1 on a (pid 11) waits in reduce-scatter of output (call 8)"));
}

TEST_CASE("a transport that has failed is named with what it says") {
  auto failed = in_call(8, "all-gather of output");
  failed.failure = "\"unhandled system error\" from NCCL";
  const auto verdict = verdict_of({{0, in_call(8, "all-gather of output")}, {1, failed}, {2, failed}}, places);
  CHECK(verdict ==
        "rank 1 on a (pid 11) reports \"unhandled system error\" from NCCL, in all-gather of output (call 8)");
}

TEST_CASE("where all ranks are in one call, it is the call") {
  const auto one = in_call(8, "all-gather of output");
  CHECK(verdict_of({{0, one}, {1, one}, {2, one}}, places) ==
        "all ranks are in all-gather of output (call 8), which does not end");
}

TEST_CASE("of many silent ranks three are named") {
  const std::vector<std::string> many(8, "a (pid 1)");
  const auto verdict = verdict_of({{3, in_call(8, "a barrier")}}, many);
  CHECK_THAT(verdict, Catch::Contains("rank 0 on a (pid 1) and rank 1 on a (pid 1) and rank 2 on a (pid 1) and 4 other "
                                      "ranks did not answer"));
}
