#include "tpsp/core/activity.h"

#include <catch2/catch.hpp>
#include <thread>

using namespace tpsp;

TEST_CASE("a thread that has done nothing is in nothing") {
  const Activity activity;
  const auto now = activity.now();
  CHECK(now.steps == 0);
  CHECK(now.what.empty());
  CHECK(now.ended);
}

TEST_CASE("the innermost that has not ended is what a thread does") {
  Activity activity;
  activity.begin("reduce-scatter", "layers.0.attention.wo", true);
  activity.begin("a barrier", {}, true);
  CHECK(activity.now().what == "a barrier");
  activity.end();
  auto now = activity.now();
  CHECK(now.what == "reduce-scatter of layers.0.attention.wo");
  CHECK(now.joint);
  CHECK_FALSE(now.ended);
  CHECK(now.joint_calls == 2);
  activity.begin("gemm", "output", false);
  now = activity.now();
  CHECK(now.what == "gemm of output");
  CHECK_FALSE(now.joint);
  CHECK(now.joint_calls == 2);
}

TEST_CASE("between two things the last one is known, as ended") {
  Activity activity;
  activity.begin("norm", "norm", false);
  activity.end();
  const auto now = activity.now();
  CHECK(now.what == "norm of norm");
  CHECK(now.ended);
}

TEST_CASE("every beginning and every end is a step") {
  Activity activity;
  activity.begin("gemm", "output", false);
  CHECK(activity.now().steps == 1);
  activity.end();
  CHECK(activity.now().steps == 2);
}

TEST_CASE("each thread has an activity of its own") {
  const Doing mine("waiting");
  std::thread([] {
    const Doing theirs("computing");
    CHECK(this_activity().now().what == "computing");
  }).join();
  CHECK(this_activity().now().what == "waiting");
}
