#include "tpsp/report/html.h"

#include <catch2/catch.hpp>
#include <limits>
#include <nlohmann/json.hpp>

#include "results/example_row.h"

using namespace tpsp;
using nlohmann::json;

namespace {

std::string page_of(const std::vector<Row>& rows) { return html_report(rows, standard_columns()); }

/// The text of the element that holds the data.
std::string data_text(const std::string& page) {
  const std::string opening = R"(<script type="application/json" id="data">)";
  const std::size_t begin = page.find(opening) + opening.size();
  return page.substr(begin, page.find("</script>", begin) - begin);
}

json data_of(const std::vector<Row>& rows) { return json::parse(data_text(page_of(rows))); }

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

Row with_plan(const std::string& plan, std::vector<double> samples) {
  Row row = example_row();
  row.plan = plan;
  row.order = "random";
  row.turns = "tp;tp+sp";
  row.latency_s = samples.front();
  row.samples_s = std::move(samples);
  return row;
}

}  // namespace

TEST_CASE("a page names no address to load anything from") {
  const std::string page = page_of({example_row()});
  for (const char* loader : {"src=", "@import", "url(http", "url(\"", "fetch(", "XMLHttpRequest", "import("}) {
    CHECK(count(page, loader) == 0);
  }
  CHECK(count(page, "default-src 'none'") == 1);
  CHECK(count(page, "http") == count(page, "http-equiv") + count(page, "http://www.w3.org/2000/svg"));
}

TEST_CASE("nothing of the template is left to be filled in") {
  const std::string page = page_of({example_row()});
  CHECK(count(page, "{{") == 0);
  CHECK(page.starts_with("<!doctype html>\n"));
  CHECK(page.ends_with("</html>\n"));
}

TEST_CASE("no text of a row ends the data or begins a comment") {
  Row row = example_row();
  const std::string bait = "</script><script>alert(1)</script> <!-- ]]> \u2028 \u2029 &amp; \" \\ \n";
  row.plan = row.plan_text = row.message = row.command = bait;
  row.warnings = {{bait, bait}};
  const std::string page = page_of({row}), plain = page_of({example_row()});
  CHECK(count(page, "</script") == count(plain, "</script"));
  CHECK(count(page, "<script") == count(plain, "<script"));
  CHECK(count(page, "<!--") == 0);
  for (const char* unwanted : {"<", ">", "&", "\u2028", "\u2029"}) CHECK(count(data_text(page), unwanted) == 0);
  const json data = json::parse(data_text(page));
  CHECK(data["rows"][0]["plan_text"] == bait);
  CHECK(data["warnings"][0]["text"] == bait);
}

TEST_CASE("bytes that are no UTF-8 do not keep a page from being made") {
  Row row = example_row();
  row.plan = row.message = "\xff\xfe";
  row.warnings = {{"\xff", "\xff"}};
  CHECK(data_of({row})["rows"][0]["plan"] == "\uFFFD\uFFFD");
}

TEST_CASE("a number that a script can not hold is there as its digits") {
  Row row = example_row();
  row.seed = std::numeric_limits<std::uint64_t>::max();
  row.max_rel_err = std::numeric_limits<double>::quiet_NaN();
  const json cells = data_of({row})["rows"][0];
  CHECK(cells["seed"] == "18446744073709551615");
  CHECK(cells["max_rel_err"] == "nan");
  CHECK(cells["allocated_bytes"] == 1'250'000'000);
}

TEST_CASE("every column is in the page with its unit and meaning") {
  std::vector<Column> columns = standard_columns();
  columns.push_back({"joules", "J", "energy of one forward", "a meter", [](const Row&) { return Value(12.5); }, {}});
  const json data = json::parse(data_text(html_report({example_row()}, columns)));
  CHECK(data["columns"].size() == columns.size());
  CHECK(data["columns"].back()["unit"] == "J");
  CHECK(data["rows"][0]["joules"] == 12.5);
}

TEST_CASE("rows with samples are compared anew") {
  const json data = data_of({with_plan("tp", {2, 2, 2, 2, 2, 2, 2, 2}), with_plan("tp+sp", {1, 1, 1, 1, 1, 1, 1, 1})});
  REQUIRE(data["verdicts"].size() == 1);
  CHECK(data["verdicts"][0]["row"] == 1);
  CHECK(data["verdicts"][0]["verdict"] == "faster");
  CHECK(data["verdicts"][0]["ratio"] == 0.5);
  CHECK(data["rows"][1]["ratio"] == 0.5);
}

TEST_CASE("the page reports a pair of one run, not one of two runs") {
  Row alone = with_plan("tp+sp", std::vector<double>(8, 3));
  alone.run_id = "first";
  const json data =
      data_of({alone, with_plan("tp", std::vector<double>(8, 2)), with_plan("tp+sp", std::vector<double>(8, 1))});
  REQUIRE(data["verdicts"].size() == 1);
  CHECK(data["verdicts"][0]["row"] == 2);
  CHECK(data["verdicts"][0]["baseline"] == "tp");
  CHECK(data["verdicts"][0]["ratio"] == 0.5);
  CHECK(data["verdicts"][0]["across_runs"] == false);
  CHECK_FALSE(data["rows"][1].contains("ratio"));
  CHECK(data["rows"][2]["ratio"] == 0.5);
}

TEST_CASE("plans that no run measured together are compared across runs, which the page says") {
  Row alone = with_plan("tp", std::vector<double>(8, 2));
  alone.run_id = "first";
  Row other = with_plan("tp+sp", std::vector<double>(8, 1));
  for (const bool samples : {true, false}) {
    if (!samples) alone.samples_s = other.samples_s = {};
    const json data = data_of({alone, other});
    REQUIRE(data["verdicts"].size() == 1);
    CHECK(data["verdicts"][0]["baseline"] == "tp");
    CHECK(data["verdicts"][0]["across_runs"] == true);
    CHECK(data["rows"][1]["ratio"] == 0.5);
  }
}

TEST_CASE("small differences across runs are no verdict of the page, whether a row has samples or brings the ratio") {
  Row alone = with_plan("tp", std::vector<double>(8, 1));
  alone.run_id = "first";
  alone.latency_low_s = alone.latency_high_s = 1;
  Row other = with_plan("tp+sp", std::vector<double>(8, 0.98));
  other.latency_low_s = 0.975;
  other.latency_high_s = 0.985;
  Row bare = other;
  bare.samples_s.clear();
  bare.baseline = "tp";
  bare.verdict = "faster";
  bare.ratio = 0.98;
  bare.ratio_low = 0.975;
  bare.ratio_high = 0.985;
  for (const Row& later : {other, bare}) {
    const json data = data_of({alone, later});
    CHECK(data["verdicts"].at(0)["verdict"] == "undecided");
    CHECK(data["verdicts"].at(0)["low"] == Approx(0.975));
    CHECK(data["rows"][1]["verdict"] == "undecided");
  }
}

TEST_CASE("a ratio that a row without samples brings is across runs where its run lacks the baseline") {
  Row first = with_plan("tp", {1});
  Row second = with_plan("tp+sp", {1});
  first.samples_s = second.samples_s = {};
  second.baseline = "tp";
  second.ratio = 1.25;
  CHECK(data_of({first, second})["verdicts"][0]["across_runs"] == false);
  first.run_id = "first";
  CHECK(data_of({first, second})["verdicts"][0]["across_runs"] == true);
}

TEST_CASE("rows without samples keep the ratio that they bring") {
  Row row = with_plan("tp+sp", {1});
  row.samples_s.clear();
  row.baseline = "tp";
  row.ratio = 1.25;
  row.ratio_low = 1.2;
  row.ratio_high = 1.3;
  row.verdict = "slower";
  const json data = data_of({row});
  CHECK(data["rows"][0]["ratio"] == 1.25);
  REQUIRE(data["verdicts"].size() == 1);
  CHECK(data["verdicts"][0]["baseline"] == "tp");
  CHECK(data["verdicts"][0]["verdict"] == "slower");
  CHECK(data["verdicts"][0]["low"] == 1.2);
}

TEST_CASE("rows of collectives are in the page, and say nothing of plans") {
  Row row = with_plan("", {1});
  row.collective = "all-reduce";
  row.baseline = "shm";
  row.ratio = 1.25;
  Row bare = row;
  bare.samples_s.clear();
  const json data = data_of({row, bare});
  CHECK(data["rows"][0]["collective"] == "all-reduce");
  CHECK(data["verdicts"].empty());
}

TEST_CASE("a training step's row has its columns in the page, a forward's has none of them") {
  Row step = with_plan("tp", {1});
  step.workload = std::string("train");
  step.recompute = std::string("block");
  step.regather = std::string("off");
  step.optimizer = std::string("adamw");
  step.micro_batches = 2;
  step.forward_s = 0.25;
  step.backward_s = 0.625;
  step.optimizer_s = 0.125;
  step.saved_bytes = 7'000;
  step.gradient_bytes = 1'000;
  step.optimizer_bytes = 2'000;
  step.saved_at_peak_bytes = 6'000;
  step.recomputed_bytes = 500;
  step.dp = 4;
  step.shard = std::string("parameters");
  step.unit_bytes = 300;
  step.dp_comm_bytes = 800;
  const json data = data_of({step, with_plan("tp", {1})});
  const json expected = {{"workload", "train"},      {"recompute", "block"},
                         {"regather", "off"},        {"optimizer", "adamw"},
                         {"micro_batches", 2},       {"forward_s", 0.25},
                         {"backward_s", 0.625},      {"optimizer_s", 0.125},
                         {"saved_bytes", 7'000},     {"gradient_bytes", 1'000},
                         {"optimizer_bytes", 2'000}, {"saved_at_peak_bytes", 6'000},
                         {"recomputed_bytes", 500},  {"dp", 4},
                         {"shard", "parameters"},    {"unit_bytes", 300},
                         {"dp_comm_bytes", 800}};
  for (const auto& [name, value] : expected.items()) {
    INFO(name);
    CHECK(data["rows"][0].at(name) == value);
    CHECK_FALSE(data["rows"][1].contains(name));
  }
}

TEST_CASE("plans of training steps are compared within one policy of recomputation") {
  std::vector<Row> rows;
  for (const char* policy : {"none", "block"}) {
    for (const auto& [plan, seconds] : {std::pair{"tp", 2.0}, std::pair{"tp+sp", policy[0] == 'n' ? 1.0 : 4.0}}) {
      Row& row = rows.emplace_back(with_plan(plan, std::vector<double>(8, seconds)));
      row.workload = std::string("train");
      row.recompute = policy;
      row.case_id = case_id(row);
    }
  }
  const json verdicts = data_of(rows)["verdicts"];
  REQUIRE(verdicts.size() == 2);
  CHECK(verdicts[0]["verdict"] == "faster");
  CHECK(verdicts[0]["row"] == 1);
  CHECK(verdicts[1]["verdict"] == "slower");
  CHECK(verdicts[1]["row"] == 3);
}

TEST_CASE("no rows make a page as well") { CHECK(data_of({})["rows"].empty()); }
