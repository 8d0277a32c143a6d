#include "tpsp/bench/gemm_cache.h"

#include "support/torch_and_catch.h"
// The line above comes before Catch2's headers.
#include <fstream>

#include "support/temporary_folder.h"
#include "support/thrown.h"

using namespace tpsp;

namespace {

void put(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace

TEST_CASE("choices come back from the file as they were, each machine its own") {
  const TemporaryFolder folder;
  const auto file = folder / "deep/er/gemm.json";
  {
    GemmCache cache(file);
    CHECK(cache.of("one").empty());
    cache.of("one")[{{1024, 5504, 4096}}] = GemmKernel::onednn;
    cache.of("one")[{{1024, 4096, 5504}}] = GemmKernel::plain;
    cache.of("two")[{{1, 2, 3}}] = GemmKernel::mkl;
    cache.save();
  }
  GemmCache cache(file);
  CHECK((cache.of("one") ==
         KnownChoices{{{{1024, 5504, 4096}}, GemmKernel::onednn}, {{{1024, 4096, 5504}}, GemmKernel::plain}}));
  CHECK((cache.of("two") == KnownChoices{{{{1, 2, 3}}, GemmKernel::mkl}}));
  CHECK(cache.of("three").empty());
  CHECK(std::distance(std::filesystem::directory_iterator(file.parent_path()), {}) == 1);  // no half-written file
}

TEST_CASE("choices travel as text") {
  const KnownChoices choices{{{{1024, 5504, 4096}}, GemmKernel::onednn},
                             {{{1, 2, 3}}, GemmKernel::amx},
                             {{{1, 2, 3}, LinearGemm::input_gradient}, GemmKernel::plain},
                             {{{1, 2, 3}, LinearGemm::weight_gradient}, GemmKernel::onednn_jit}};
  CHECK_THAT(text_of(choices), Catch::Contains("1x2x3:weight-gradient onednn-jit\n"));
  CHECK((choices_in(text_of(choices)) == choices));
  CHECK(choices_in("").empty());
  CHECK((choices_in("1x2x3 abacus\n1x2x4 mkl\n") == KnownChoices{{{{1, 2, 4}}, GemmKernel::mkl}}));
}

TEST_CASE("a file of something else is refused by name, and unknown kernels are no choices") {
  const TemporaryFolder folder;
  const auto file = folder / "gemm.json";
  for (const auto* const text : {"", "[]", "{\"cpu\": 3}", "{\"cpu\": {\"1x2x3\": 4}}", "{\"cpu\": {\"1x2\": \"mkl\"}}",
                                 "{\"cpu\": {\"1x2x3x4\": \"mkl\"}}", "{\"cpu\": {\"1x2x3\": \"mkl\"}"}) {
    CAPTURE(text);
    put(file, text);
    const auto message = complaint_of([&] { GemmCache cache(file); });
    CHECK_THAT(message, Catch::Contains("--gemm-cache " + file.string()));
    CHECK_THAT(message, Catch::Contains("--gemm-cache off"));
  }
  put(file, "{\"cpu\": {\"1x2x3\": \"abacus\", \"1x2x4\": \"mkl\", \"1x2x4:sideways\": \"plain\"}}");
  CHECK((GemmCache(file).of("cpu") == KnownChoices{{{{1, 2, 4}}, GemmKernel::mkl}}));
}

TEST_CASE("choices that can not be kept are an error with the reason") {
  const TemporaryFolder folder;
  put(folder / "a-file", "");
  GemmCache cache(folder / "a-file/gemm.json");
  cache.of("cpu")[{{1, 2, 3}}] = GemmKernel::plain;
  CHECK_THROWS_AS(cache.save(), Error);
}
