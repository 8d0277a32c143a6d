#include "tpsp/core/configs.h"

#include <array>
#include <catch2/catch.hpp>

#include "support/temporary_folder.h"
#include "support/thrown.h"
#include "tpsp/core/files.h"

using namespace tpsp;
using Catch::Contains;

namespace {

constexpr std::array built_in = {
    EmbeddedConfig{"models/llama-7b.yaml", "hidden: 4096\n"},
    EmbeddedConfig{"plans/tp.yaml", "rules: []\n"},
    EmbeddedConfig{"plans/tp.rules", "colwise\n"},
    EmbeddedConfig{"plans/serial.yaml", "rules: [ ]\n"},
};

}  // namespace

TEST_CASE("a built-in configuration is found with and without its ending") {
  CHECK(find_config("plans", "tp", built_in).text == "rules: []\n");
  CHECK(find_config("plans", "tp.yaml", built_in).source == "<built-in>/plans/tp.yaml");
  CHECK(find_config("plans", "tp.rules", built_in).text == "colwise\n");
}

TEST_CASE("the names of a kind are sorted and without yaml endings") {
  CHECK(builtin_names("plans", built_in) == std::vector<std::string>{"serial", "tp", "tp.rules"});
  CHECK(builtin_names("models", built_in) == std::vector<std::string>{"llama-7b"});
  CHECK(builtin_names("suites", built_in).empty());
}

TEST_CASE("a name that is not built in is read as a file") {
  const TemporaryFolder folder;
  const std::string path = (folder / "mine.yaml").string();
  write_file(path, "rules: [x]\n");
  const ConfigText config = find_config("plans", path, built_in);
  CHECK(config.source == path);
  CHECK(config.text == "rules: [x]\n");
}

TEST_CASE("a configuration is called as its file without the ending of YAML, in valid UTF-8") {
  CHECK(find_config("plans", "tp.yaml", built_in).name == "tp");
  CHECK(find_config("plans", "tp.rules", built_in).name == "tp.rules");
  const TemporaryFolder folder;
  for (const auto& [file, name] :
       std::vector<std::pair<std::string, std::string>>{{"mine.yml", "mine"},
                                                        {"llama-3.1.yaml", "llama-3.1"},
                                                        {"caf\xE9.rules", "caf\xEF\xBF\xBD.rules"},
                                                        {"a\n\x1b[31m", "a??[31m"}}) {
    write_file(folder / file, "x\n");
    CHECK(find_config("plans", (folder / file).string(), built_in).name == name);
  }
}

TEST_CASE("a configuration's file may begin with a byte-order mark") {
  const TemporaryFolder folder;
  write_file(folder / "mine.rules", "\xEF\xBB\xBFnorm replicate\n");
  CHECK(find_config("plans", (folder / "mine.rules").string(), built_in).text == "norm replicate\n");
}

TEST_CASE("a mistyped name is refused with the nearest built-in one") {
  CHECK(complaint_of([] { find_config("plans", "tpp", built_in); }) ==
        "--plan 'tpp': no built-in plan and no file is called that; did you mean 'tp'?");
}

TEST_CASE("a name near nothing is refused with all built-in ones") {
  CHECK_THAT(complaint_of([] { find_config("plans", "/no/such/file", built_in); }),
             Contains("--plan '/no/such/file'") && Contains("the choices are serial, tp, tp.rules"));
  CHECK_THAT(complaint_of([] { find_config("plans", "", built_in); }), Contains("--plan ''"));
}

TEST_CASE("a folder or an endless file given as a configuration is refused") {
  CHECK_THAT(complaint_of([] { find_config("plans", "/tmp", built_in); }),
             Contains("/tmp: cannot be read (it is a folder)"));
  CHECK_THAT(complaint_of([] { find_config("models", "/dev/zero", built_in); }), Contains("it has over 1048576 bytes"));
}

TEST_CASE("the plans of configs are built into the program") {
  REQUIRE_FALSE(builtin_names("plans").empty());
  for (const std::string& name : builtin_names("plans")) CHECK_FALSE(find_config("plans", name).text.empty());
}
