// Plan, model and configuration files that are wrong: exit code 2 and one message with the place.
#include <catch2/catch.hpp>

#include "run.h"

using namespace tpsp;
using Catch::Contains;

namespace {

struct Bad {
  std::string file;
  std::string text;
  const char* said;  ///< a part of the message
};

// Writes each file, names it by `option`, and checks that it is refused: the first by two ranks together.
void check_refused(const std::string& option, const std::vector<Bad>& all) {
  for (const auto& bad : all) {
    const TemporaryFolder folder;
    write_text(folder / bad.file, bad.text);
    const Run run(folder, "--seq 4 " + option + " " + bad.file,
                  {.ranks = &bad == &all.front() ? 2 : 0, .environment = {{"TPSP_MODEL", "llama-tiny"}}});
    CHECK(run.code() == 2);
    CHECK_THAT(complaint(run), Contains(bad.said));
    CHECK(run.out().empty());
  }
}

}  // namespace

TEST_CASE("a plan with a key twice is refused at its second place") {
  check_refused("--plan", {{"p.yaml", "rules:\n  - {match: norm, style: replicate, style: sequence}\n", "p.yaml:2:"},
                           {"p.yaml", "rules: []\nrules: []\n", "p.yaml:2:1: the key 'rules' is here twice"}});
}

TEST_CASE("a plan with an unknown key, style or placement is refused with the nearest") {
  check_refused("--plan", {{"p.yaml", "rules:\n  - {match: norm, stile: replicate}\n", "did you mean 'style'?"},
                           {"p.yaml", "rules:\n  - {match: output, style: colwize}\n", "did you mean 'colwise'?"},
                           {"p.rules", "output colwise out=whole\n", "p.rules:1:"}});
}

TEST_CASE("a plan of wrong types is refused") {
  check_refused("--plan", {{"p.yaml", "rules: 5\n", "p.yaml:1:"},
                           {"p.yaml", "rules:\n  - 5\n", "p.yaml:2:"},
                           {"p.yaml", "- rules\n", "p.yaml:1:"},
                           {"p.yaml", "", "p.yaml"}});
}

TEST_CASE("a plan that is no YAML is refused where it breaks") {
  check_refused("--plan", {{"p.yaml", "rules: [{match: norm\n", "p.yaml:"},
                           {"p.yaml", std::string("\x00\xff\xfe{[", 5), "p.yaml"}});
}

TEST_CASE("anchors and cycles in YAML are refused") {
  check_refused("--plan", {{"p.yaml", "rules: &a\n  - *a\n", "anchors"},
                           {"p.yaml", "a: &a [x, x]\nb: &b [*a, *a]\nrules: [*b, *b]\n", "anchors"}});
}

TEST_CASE("a plan of ten megabytes is refused at once") {
  check_refused("--plan", {{"p.yaml", "rules:\n" + std::string(10'000'000, '#') + "\n", "p.yaml: cannot be read"}});
}

TEST_CASE("a regular expression that does not compile is refused with its place") {
  check_refused("--plan", {{"p.yaml", "rules:\n  - {match: 'layers\\.(', style: colwise}\n", "p.yaml:2:"},
                           {"p.rules", "# mine\n  norm(  replicate\n", "p.rules:2:3:"}});
}

TEST_CASE("a rule whose style does not fit the module is refused") {
  check_refused("--plan", {{"p.rules", "norm colwise\n", "norm: the style does not fit"}});
}

TEST_CASE("a folder is no plan") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "plans");
  const Run run(folder, "--model llama-tiny --plan plans", {.ranks = 2});
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("it is a folder"));
}

TEST_CASE("a model whose sizes do not fit is refused with its place") {
  check_refused("--model", {{"m.yaml", "hidden: 30\nlayers: 1\nheads: 4\nvocabulary: 50\n", "m.yaml:3:"},
                            {"m.yaml", "hidden: 32\nlayers: 1\nheads: 4\n", "'vocabulary' is missing"},
                            {"m.yaml", "hidden: -32\nlayers: 1\nheads: 4\nvocabulary: 50\n", "'-32'"}});
}

TEST_CASE("files may begin with the byte-order mark that some editors write") {
  const std::string mark = "\xEF\xBB\xBF";
  const TemporaryFolder folder;
  for (const auto* file : {"plans/tp.rules", "plans/tp+sp.yaml", "models/llama-tiny.yaml"}) {
    const auto path = std::filesystem::path(file);
    write_text(folder / path.filename(), mark + text_of(std::string(TPSP_SOURCE_DIR "/configs/") + file));
  }
  write_text(folder / "c.yaml", mark + "reps: 1\n");
  write_text(folder / "s.yaml",
             mark + "cases:\n  - {plan: [./tp.rules, ./tp+sp.yaml], model: ./llama-tiny.yaml, seq: 4}\n");
  const Run run(folder, "--suite s.yaml --config c.yaml");
  REQUIRE(run.code() == 0);
  CHECK(read_csv(folder / "tpsp-results.csv").size() == 2);
}

TEST_CASE("a configuration file that is missing is refused") {
  const TemporaryFolder folder;
  const Run run(folder, "--config nope.yaml", {.ranks = 2});
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("nope.yaml: cannot be read"));
}

TEST_CASE("a configuration file with an unknown key or a bad value is refused with its place") {
  check_refused("--config", {{"c.yaml", "sequ: 4\n", "c.yaml:1:1: unknown key 'sequ'; did you mean 'seq'?"},
                             {"c.yaml", "batch: many\n", "c.yaml:1:1: 'many' is not an integer"},
                             {"c.yaml", "batch: {a: 1}\n", "c.yaml:1:1"},
                             {"c.yaml", "config: c.yaml\n", "unknown key 'config'"},
                             {"c.yaml", "accelerator: 1\n",
                              "output, part, peaks, plan, profile, rank, recompute, regather, reps, seed, seq"}});
}
