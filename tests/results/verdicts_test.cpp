#include "tpsp/results/verdicts.h"

#include <catch2/catch.hpp>

#include "results/example_row.h"

using namespace tpsp;

namespace {

Row row_of(const std::string& plan, std::vector<double> samples, const std::string& order = "random") {
  Row row = example_row();
  row.plan = plan;
  row.order = order;
  if (order == "random") row.turns = "tp;tp+sp;mine";
  row.samples_s = std::move(samples);
  row.latency_s = median(row.samples_s);
  row.latency_low_s = row.latency_high_s = std::nullopt;
  if (const auto interval = median_interval(row.samples_s)) {
    row.latency_low_s = interval->low;
    row.latency_high_s = interval->high;
  }
  return row;
}

std::vector<double> drifting(double factor) {
  std::vector<double> samples;
  for (int i = 0; i < 10; ++i) samples.push_back(factor * (1 + 0.1 * i + (i % 2 == 0 ? 0.001 : 0)));
  return samples;
}

}  // namespace

TEST_CASE("the first plan of a case is the baseline and has no verdict") {
  VerdictBook book;
  Row first = row_of("tp", drifting(1));
  CHECK(book.add(first).empty());
  CHECK(first.baseline.empty());
  CHECK_FALSE(first.ratio);
  CHECK(first.verdict.empty());
}

TEST_CASE("interleaved plans are compared repetition by repetition so that drift cancels") {
  VerdictBook book;
  Row first = row_of("tp", drifting(1));
  Row second = row_of("tp+sp", drifting(0.99));
  book.add(first);
  const auto verdicts = book.add(second);
  REQUIRE(verdicts.size() == 1);
  CHECK(verdicts[0].ratio.verdict == Verdict::faster);
  CHECK(second.baseline == "tp");
  CHECK(second.ratio.value() == Approx(0.99));
  CHECK(second.ratio_high.value() < 1);
  CHECK(second.verdict == "faster");
}

TEST_CASE("plans that were not interleaved are compared by their medians") {
  VerdictBook book;
  Row first = row_of("tp", drifting(1), "sequential");
  Row second = row_of("tp+sp", drifting(0.99), "sequential");
  book.add(first);
  book.add(second);
  CHECK(second.verdict == "undecided");
  CHECK(second.ratio.value() == Approx(0.99));
  Row third = row_of("sp", {1, 2, 3});
  CHECK(book.add(third).size() == 2);
  CHECK(third.verdict == "undecided");
  CHECK_FALSE(third.ratio_low);
}

TEST_CASE("a third plan has a verdict against each earlier one and the first in its row") {
  VerdictBook book;
  Row first = row_of("tp", drifting(1));
  Row second = row_of("tp+sp", drifting(0.9));
  Row third = row_of("mine", drifting(2));
  book.add(first);
  book.add(second);
  const auto verdicts = book.add(third);
  REQUIRE(verdicts.size() == 2);
  CHECK(verdicts[0].baseline == "tp");
  CHECK(verdicts[1].baseline == "tp+sp");
  CHECK(third.baseline == "tp");
  CHECK(third.ratio.value() == Approx(2));
}

TEST_CASE("plans of one case that were interleaved with other plans are compared by their medians") {
  VerdictBook book;
  Row first = row_of("tp", drifting(1));
  Row second = row_of("mine", drifting(0.99));
  second.turns = "mine;yours";
  book.add(first);
  book.add(second);
  CHECK(second.verdict == "undecided");
}

TEST_CASE("rows of two runs are compared by their medians, and those of one run with each other") {
  VerdictBook book;
  Row old = row_of("tp", drifting(1));
  old.run_id = "old";
  book.add(old);
  Row late = row_of("tp+sp", drifting(0.99));
  CHECK(book.add(late).size() == 1);
  CHECK(late.verdict == "undecided");
  Row tp = row_of("tp", drifting(1));
  book.add(tp);
  Row again = row_of("tp+sp", drifting(0.99));
  CHECK(book.add(again).size() == 1);
  CHECK(again.verdict == "faster");
}

TEST_CASE("plans of two runs differ only outside the margin that stands for the spread between runs") {
  const auto verdict = [](double factor, const std::string& run_id) {
    VerdictBook book;
    Row first = row_of("tp", std::vector<double>(8, 1), "sequential");
    book.add(first);
    Row second = row_of("tp+sp", std::vector<double>(8, 1), "sequential");
    second.run_id = run_id;
    second.latency_s = factor;
    second.latency_low_s = factor * 0.995;
    second.latency_high_s = factor * 1.005;
    return book.add(second).at(0).ratio.verdict;
  };
  const std::string same_run = example_row().run_id;
  CHECK(verdict(0.98, same_run) == Verdict::faster);
  CHECK(verdict(0.98, "another") == Verdict::undecided);
  CHECK(verdict(1.018, "another") == Verdict::undecided);
  CHECK(verdict(1.01, same_run) == Verdict::slower);
  CHECK(verdict(1.01, "another") == Verdict::same);
  CHECK(verdict(1.04, "another") == Verdict::slower);
}

TEST_CASE("rows of another machine, build or version are not compared") {
  for (const auto field : {&Row::host, &Row::device_name, &Row::version, &Row::build, &Row::torch_version,
                           &Row::mpi_version, &Row::cuda_version, &Row::nccl_version}) {
    VerdictBook book;
    Row first = row_of("tp", drifting(1));
    first.*field = "another";
    book.add(first);
    Row second = row_of("tp+sp", drifting(2));
    CHECK(book.add(second).empty());
    CHECK(second.baseline.empty());
    CHECK_FALSE(second.ratio);
  }
}

TEST_CASE("a case has one baseline, in whichever order its plans are measured again") {
  VerdictBook book;
  for (const std::string run : {"first", "second"}) {
    std::vector<std::string> plans{"tp", "tp+sp"};
    if (run == "second") std::swap(plans[0], plans[1]);
    for (const auto& plan : plans) {
      Row row = row_of(plan, drifting(plan == "tp" ? 1 : 2));
      row.run_id = run;
      const auto verdicts = book.add(row);
      INFO(run << " " << plan);
      CHECK(row.baseline == (plan == "tp" ? "" : "tp"));
      CHECK(verdicts.size() == (plan == "tp" ? 0 : 1));
    }
  }
}

TEST_CASE("a verdict on rows of two runs says that they are") {
  VerdictBook book;
  Row old = row_of("tp", drifting(1));
  old.run_id = "old";
  book.add(old);
  Row late = row_of("tp+sp", drifting(1));
  const auto verdicts = book.add(late);
  REQUIRE(verdicts.size() == 1);
  CHECK(verdicts[0].across_runs);
  CHECK_THAT(in_words(verdicts[0]), Catch::EndsWith("; of two runs)"));
}

TEST_CASE("a row with wrong numbers is neither faster nor anybody's baseline") {
  VerdictBook book;
  Row wrong = row_of("tp", drifting(1));
  wrong.status = Status::failed;
  CHECK(book.add(wrong).empty());
  Row right = row_of("tp+sp", drifting(0.5));
  CHECK(book.add(right).empty());
  CHECK(right.verdict.empty());
}

TEST_CASE("another case and a row without a latency have no verdict") {
  VerdictBook book;
  Row first = row_of("tp", drifting(1));
  book.add(first);
  Row longer = row_of("tp+sp", drifting(1));
  longer.case_id = "another";
  CHECK(book.add(longer).empty());
  Row skipped = row_of("tp+sp", drifting(1));
  skipped.latency_s.reset();
  CHECK(book.add(skipped).empty());
  CHECK(skipped.verdict.empty());
}

TEST_CASE("a verdict in words has the plans and the ratio and how sure it is") {
  PlanVerdict verdict{"tp+sp", "tp", 256, {1.003, Interval{0.991, 1.011}, Verdict::same}};
  CHECK(in_words(verdict) == "tp+sp against tp at seq 256: same, 1.003 of its time (95%: 0.991 to 1.011)");
  verdict.across_runs = true;
  CHECK(in_words(verdict) == "tp+sp against tp at seq 256: same, 1.003 of its time (95%: 0.991 to 1.011; of two runs)");
  verdict.across_runs = false;
  verdict.ratio = {1.25, std::nullopt, Verdict::undecided};
  CHECK(in_words(verdict) == "tp+sp against tp at seq 256: undecided, 1.250 of its time (too few repetitions)");
}

TEST_CASE("the backends of one collective are compared in the columns, without words") {
  VerdictBook book;
  const auto row_of_backend = [](const std::string& backend, double factor) {
    Row row = row_of("", drifting(factor));
    row.collective = "all-reduce";
    row.turns = "shm;mpi";
    row.backend = backend;
    return row;
  };
  Row first = row_of_backend("shm", 1);
  Row second = row_of_backend("mpi", 2);
  CHECK(book.add(first).empty());
  CHECK(book.add(second).empty());
  CHECK(first.baseline.empty());
  CHECK(second.baseline == "shm");
  CHECK(second.ratio.value() == Approx(2));
  CHECK(second.verdict == "slower");
}
