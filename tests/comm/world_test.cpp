#include "support/torch_and_catch.h"

#include "tpsp/comm/world.h"

#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>

#include "comm/ranks.h"

using namespace tpsp;
using Catch::Contains;

namespace {

/// How `agree` ended: the exit code's digit and the text of its error, or nothing.
std::string agreement(World& world, const std::function<void()>& step) {
  try {
    agree(world, step);
    return {};
  } catch (const AgreedError& error) {
    return std::to_string(static_cast<int>(error.code())) + " " + error.what();
  }
}

/// The agreement of each rank, when rank r ran `step(r)`.
std::vector<std::string> agreements(int ranks, const std::function<void(int)>& step) {
  return on_ranks(ranks, [&](World& world, ProcessGroup&) { return agreement(world, [&] { step(world.rank()); }); });
}

std::vector<std::string> on_each(std::size_t ranks, const std::string& text) {
  return std::vector<std::string>(ranks, text);
}

Error check_failed(const std::string& text) { return {ExitCode::check_failed, text}; }

}  // namespace

TEST_CASE("agreement on success is silent") {
  CHECK(agreements(3, [](int) {}) == on_each(3, ""));
}

TEST_CASE("one error on all ranks becomes one message without a rank") {
  const auto all = agreements(3, [](int) { throw check_failed("the logits differ"); });
  CHECK(all == on_each(3, "4 the logits differ"));
}

TEST_CASE("one rank's failure reaches all ranks and names it") {
  const auto all = agreements(4, [](int rank) {
    if (rank == 2) throw check_failed("the logits differ");
  });
  CHECK(all == on_each(4, "4 rank 2: the logits differ"));
}

TEST_CASE("of several failing ranks the lowest is heard") {
  const auto all = agreements(4, [](int rank) {
    if (rank >= 1) throw check_failed("failure " + std::to_string(rank));
  });
  CHECK(all == on_each(4, "4 rank 1: failure 1"));
}

TEST_CASE("agreement keeps every exit code") {
  const auto code =
      GENERATE(ExitCode::bad_input, ExitCode::rows_not_ok, ExitCode::check_failed, ExitCode::output_failed);
  const auto all = agreements(2, [&](int rank) {
    if (rank == 0) throw Error(code, std::string("no"));
  });
  CHECK(all == on_each(2, std::to_string(static_cast<int>(code)) + " rank 0: no"));
}

TEST_CASE("an exception that is no Error becomes a row that is not ok") {
  const auto all = agreements(2, [](int rank) {
    if (rank == 1) throw std::runtime_error("out of memory");
  });
  CHECK(all == on_each(2, "3 rank 1: out of memory"));
}

TEST_CASE("an error without a text is still an error on all ranks") {
  const auto all = agreements(2, [](int rank) {
    if (rank == 1) throw check_failed("");
  });
  CHECK(all == on_each(2, "4 rank 1: "));
}

TEST_CASE("ranks can go on after they have agreed on a failure") {
  const auto sums = on_ranks(3, [](World& world, ProcessGroup& comm) {
    agreement(world, [] { throw check_failed("no"); });
    auto buffer = at::ones({1});
    comm.all_reduce(buffer, buffer);
    return buffer.item<float>();
  });
  CHECK(sums == std::vector<float>{3, 3, 3});
}

TEST_CASE("a rank alone agrees with itself") {
  SerialWorld world;
  CHECK_NOTHROW(agree(world, [] {}));
  CHECK_THROWS_WITH(agree(world, [] { throw check_failed("the logits differ"); }), "the logits differ");
}

TEST_CASE("exchange gives every rank's bytes in rank order, zero bytes and empty texts too") {
  const std::vector<std::string> texts{std::string("a\0b", 3), "", "third"};
  const auto all = on_ranks(
      3, [&](World& world, ProcessGroup&) { return world.exchange(texts[static_cast<std::size_t>(world.rank())]); });
  CHECK(all == std::vector<std::vector<std::string>>(3, texts));
}

TEST_CASE("the largest over the ranks is taken element by element") {
  const auto all = on_ranks(3, [](World& world, ProcessGroup&) {
    const double rank = world.rank();
    return max_over_ranks(world, {rank, -rank, rank == 1 ? 7.5 : 0.25});
  });
  CHECK(all == std::vector<std::vector<double>>(3, {2.0, 0.0, 7.5}));
}

TEST_CASE("a rank's NaN is never hidden by the others' numbers") {
  const int broken = GENERATE(0, 1, 2);
  const auto all = on_ranks(3, [&](World& world, ProcessGroup&) {
    return max_over_ranks(world, {world.rank() == broken ? std::numeric_limits<double>::quiet_NaN() : 1.0});
  });
  for (const auto& largest : all) CHECK(std::isnan(largest.at(0)));
}

TEST_CASE("LibTorch's stack trace is no part of a message") {
  try {
    TORCH_CHECK(false, "sizes do not match");
  } catch (const std::exception& error) {
    CHECK_THAT(message_of(error), Contains("sizes do not match") && !Contains("frame #") && !Contains("\n"));
    return;
  }
  FAIL("TORCH_CHECK did not throw");
}

TEST_CASE("any other exception's message is its own text") {
  CHECK(message_of(std::runtime_error("plain text")) == "plain text");
}
