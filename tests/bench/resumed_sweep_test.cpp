// Cases by their keys: what a resumed sweep leaves out, and what it makes all the same.
#include <set>

#include "bench/small_sweeps.h"

using namespace tpsp;

namespace {

/// Of a sweep that was resumed, on rank 0.
struct Resumed {
  std::vector<Row> rows;
  std::vector<Row> left_out;
  double weights_s = 0;
};

Resumed resumed(const Sweep& sweep, const std::set<std::string>& done) {
  Resumed result;
  on_ranks(2, [&](World& ranks, ProcessGroup& comm) {
    at::set_num_threads(1);
    TimeBreakdown breakdown;
    const auto keep_in = [&](std::vector<Row>& rows) {
      return [&](const Row& row) {
        if (ranks.rank() == 0) rows.push_back(row);
      };
    };
    run_sweep(sweep, ranks, comm,
              {.row = keep_in(result.rows),
               .is_done = [&](const std::string& key) { return done.contains(key); },
               .left_out = keep_in(result.left_out),
               .breakdown = &breakdown});
    if (ranks.rank() == 0) result.weights_s = breakdown.weights_s;
  });
  return result;
}

}  // namespace

TEST_CASE("cases that are done are left out, but for those that are interleaved with one that is not") {
  const auto sweep = standard_sweep(2);
  const auto all = rows_of(sweep, 2);
  const auto [rows, left_out, weights_s] = resumed(sweep, {all[0].key, all[1].key, all[2].key});
  CHECK(cases_of(rows) == std::vector<std::string>{"tp 16", "tp+sp 16"});
  CHECK(cases_of(left_out) == std::vector<std::string>{"tp 6", "tp+sp 6"});
  CHECK(left_out[0].key == all[0].key);
}

TEST_CASE("a resumed sweep that keeps weights has those of the plans that are done, as one in a piece has") {
  auto sweep = standard_sweep(2);
  sweep.weights = WeightPolicy::kept;
  const auto all = rows_of(sweep, 2);
  const auto second = resumed(sweep, {all[0].key, all[1].key}).rows;
  REQUIRE(cases_of(second) == std::vector<std::string>{"tp+sp 6", "tp+sp 16"});
  for (const std::size_t i : {0U, 1U}) {
    CHECK(second[i].resident_bytes == all[i + 2].resident_bytes);
    CHECK(second[i].allocated_bytes == all[i + 2].allocated_bytes);
  }
  const auto first = resumed(sweep, {all[2].key, all[3].key}).rows;
  REQUIRE(cases_of(first) == std::vector<std::string>{"tp 6", "tp 16"});
  CHECK(first[0].resident_bytes == 0);
}

TEST_CASE("a resumed sweep with nothing left to measure makes no weights") {
  for (const auto policy : {WeightPolicy::shared, WeightPolicy::own, WeightPolicy::kept}) {
    auto sweep = standard_sweep(2);
    sweep.weights = policy;
    std::set<std::string> done;
    for (const auto& row : rows_of(sweep, 2)) done.insert(row.key);
    const auto [rows, left_out, weights_s] = resumed(sweep, done);
    CHECK(rows.empty());
    CHECK(left_out.size() == 4);
    CHECK(weights_s == 0);
  }
}

TEST_CASE("a case has the same key in every run and on every rank, and no other case has it") {
  std::set<std::string> keys;
  for (const auto& row : rows_of(standard_sweep(2), 2)) keys.insert(row.key);
  CHECK(keys.size() == 4);
  for (const auto& row : rows_of(standard_sweep(2), 2)) CHECK(keys.contains(row.key));
  auto other = standard_sweep(2);
  other.seed = 1;
  for (const auto& row : rows_of(other, 2)) CHECK_FALSE(keys.contains(row.key));
  other = standard_sweep(2);
  other.protocol.reps = 3;
  for (const auto& row : rows_of(other, 2)) CHECK_FALSE(keys.contains(row.key));
  other = standard_sweep(2);
  auto config = load_model("llama-tiny");
  config.ffn *= 2;
  other.model = std::make_shared<Llama>(config);
  for (const auto& plan : {"tp", "tp+sp"}) other.plans.push_back(lower(load_plan(plan), modules_of(config), 2));
  other.plans.erase(other.plans.begin(), other.plans.begin() + 2);
  for (const auto& row : rows_of(other, 2)) CHECK_FALSE(keys.contains(row.key));
}

TEST_CASE("a case's key contains what other plans' weights are kept beside its own, and nothing else of other plans") {
  const auto key_of_last = [](const std::vector<Plan>& plans, WeightPolicy policy) {
    auto sweep = sweep_of(plans, 2);
    sweep.weights = policy;
    sweep.seqs = {6};
    return rows_of(sweep, 2).back().key;
  };
  const auto alone = [&](WeightPolicy policy) { return key_of_last({load_plan("tp+sp")}, policy); };
  const auto second = [&](WeightPolicy policy) { return key_of_last({load_plan("tp"), load_plan("tp+sp")}, policy); };
  CHECK(alone(WeightPolicy::shared) == second(WeightPolicy::shared));
  CHECK(alone(WeightPolicy::own) == second(WeightPolicy::own));
  CHECK(alone(WeightPolicy::kept) != second(WeightPolicy::kept));
}
