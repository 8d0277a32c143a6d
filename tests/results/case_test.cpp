#include "tpsp/results/case.h"

#include <catch2/catch.hpp>

#include "results/example_row.h"
#include "tpsp/results/case_fields.h"
#include "tpsp/results/results.h"

using namespace tpsp;

namespace {

Case forward() {
  Case one = full_row();
  one.collective.clear();
  one.message_bytes.reset();
  one.buffer.clear();
  return one;
}

bool has(const Case& one, const Column& column) { return !text(column.get(row_of(one, {}))).empty(); }

// `one` with the field of `column` as a new case has it.
Case without(const Case& one, const Column& column) {
  Row row = row_of(one, {});
  column.set(row, column.get(Row()));
  return row;
}

}  // namespace

TEST_CASE("every field of a case counts in its key") {
  for (const Case& one : {forward(), Case(full_row())}) {
    for (const auto& field : case_fields()) {
      if (!has(one, field.column)) continue;
      INFO(field.column.name);
      CHECK(case_key(without(one, field.column)) != case_key(one));
    }
  }
}

TEST_CASE("a forward is compared over plans, a collective over backends") {
  const auto left_out = [](const Case& one) {
    std::vector<std::string> names;
    for (const auto& field : case_fields()) {
      if (!has(one, field.column) || case_id(without(one, field.column)) != case_id(one)) continue;
      names.push_back(field.column.name);
    }
    return names;
  };
  CHECK(left_out(forward()) == std::vector<std::string>{"plan", "plan_hash"});
  CHECK(left_out(full_row()) == std::vector<std::string>{"backend"});
}

TEST_CASE("a row's key follows from what JSON Lines says of its case") {
  const auto row = row_of(forward(), {});
  const auto format = format_of("r.jsonl", standard_columns());
  const auto copy = format->row(format->line(row));
  CHECK(copy.key == row.key);
  CHECK(case_key(copy) == row.key);
  CHECK(case_id(copy) == row.case_id);
}

TEST_CASE("a case in words has its fields, one a line") {
  CHECK(text_of(Case{.seq = 256, .dtype = "fp32"}) == "seq 256\nworld 1\ndtype fp32\nthreads 1\nseed 0\n");
}

// As of the first row of results/training/recompute.jsonl, which is of a program without replicas.
TEST_CASE("a step of one replica has the key of a step from before there were replicas") {
  Case one{.model = "llama-7b",
           .layers = 2,
           .plan = "tp",
           .batch = 2,
           .seq = 256,
           .workload = "train",
           .recompute = "none",
           .regather = "on",
           .optimizer = "none",
           .micro_batches = 1,
           .world = 2,
           .dtype = "fp32",
           .device = "cpu",
           .backend = "shm",
           .model_shapes =
               "hidden 4096, heads 32, kv_heads 32, ffn 11008, vocabulary 32000, norm_eps 1e-05, rope_theta 10000",
           .plan_hash = "91f9bafe9a1efac6",
           .protocol = "warmup 1, reps 2, order random, weights shared, check 0, profile off, gemm in-place"};
  CHECK(case_key(one) == "c1c52faa81c000c8");
  one.dp = 1;
  one.shard = "none";
  CHECK(case_key(one) == "c1c52faa81c000c8");
  CHECK(case_id(one) == "aa070f4a2a5026cc");
  one.dp = 2;
  CHECK(case_key(one) != "c1c52faa81c000c8");
}
