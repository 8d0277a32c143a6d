#include <catch2/catch.hpp>
#include <limits>

#include "support/thrown.h"
#include "tpsp/core/text.h"

using namespace tpsp;
using Sizes = std::vector<std::int64_t>;

namespace {

std::string integer_complaint(const std::string& text) {
  return complaint_of([&] { parse_integer(text, "--reps", 1, 1000); });
}

Sizes sizes(const std::string& text) { return parse_sizes(text, "--seq", 1, 1'000'000); }

std::string sizes_complaint(const std::string& text) {
  return complaint_of([&] { sizes(text); });
}

}  // namespace

TEST_CASE("an integer of decimal digits is read") {
  CHECK(parse_integer("1", "--reps", 1, 1000) == 1);
  CHECK(parse_integer("1000", "--reps", 1, 1000) == 1000);
  CHECK(parse_integer("9223372036854775807", "--seed", 0, std::numeric_limits<std::int64_t>::max()) ==
        std::numeric_limits<std::int64_t>::max());
}

TEST_CASE("an integer with an exponent is refused") {
  CHECK(integer_complaint("1e3") == "--reps: '1e3' is not an integer; write decimal digits, a number from 1 to 1000");
}

TEST_CASE("an integer with a sign or a prefix or a blank is refused") {
  const auto text = GENERATE(as<std::string>(), "+5", "-1", "0x10", " 5", "5 ", "5.0", "", "5\n");
  CHECK_THAT(integer_complaint(text), Catch::Contains("is not an integer"));
}

TEST_CASE("an integer outside its range is refused with the range") {
  CHECK(integer_complaint("1001") == "--reps: '1001' is out of range; give a number from 1 to 1000");
  CHECK(integer_complaint("0") == "--reps: '0' is out of range; give a number from 1 to 1000");
}

TEST_CASE("an integer over 64 bits is out of range and not wrapped around") {
  CHECK_THAT(integer_complaint("18446744073709551617"), Catch::Contains("is out of range"));
}

TEST_CASE("a list of sizes keeps its order and its repeats") {
  CHECK(sizes("512,256,512") == Sizes{512, 256, 512});
  CHECK(sizes("256, 512") == Sizes{256, 512});
}

TEST_CASE("a multiplying range goes up to its end and not over it") {
  CHECK(sizes("256..4096*2") == Sizes{256, 512, 1024, 2048, 4096});
  CHECK(sizes("100..1000*3") == Sizes{100, 300, 900});
  CHECK(sizes("1..1000000*1000000") == Sizes{1, 1'000'000});
}

TEST_CASE("an adding range and single sizes mix") { CHECK(sizes("1,10..30+10,7..7+1") == Sizes{1, 10, 20, 30, 7}); }

TEST_CASE("an empty item in a list of sizes is refused") {
  CHECK_THAT(sizes_complaint("256,"), Catch::Contains("--seq: the list '256,' has an empty item"));
  CHECK_THAT(sizes_complaint(""), Catch::Contains("has an empty item"));
}

TEST_CASE("a range without a step is refused with an example") {
  CHECK_THAT(sizes_complaint("256..512"),
             Catch::Contains("'256..512' is a range without a step") && Catch::Contains("256..4096*2"));
}

TEST_CASE("a range that cannot move on is refused") {
  CHECK_THAT(sizes_complaint("1..8*1"), Catch::Contains("'1' is out of range"));
  CHECK_THAT(sizes_complaint("1..8+0"), Catch::Contains("'0' is out of range"));
  CHECK_THAT(sizes_complaint("8..1*2"), Catch::Contains("ends before it begins"));
  CHECK_THAT(complaint_of([] { parse_sizes("0..8*2", "--seq", 0, 8); }), Catch::Contains("never grows"));
}

TEST_CASE("a list of over a thousand sizes is refused") {
  CHECK(sizes("1..1000+1").size() == 1000);
  CHECK_THAT(sizes_complaint("1..1000000+1"), Catch::Contains("over 1000 values"));
}

TEST_CASE("a range near the largest integer ends") {
  const auto max = std::numeric_limits<std::int64_t>::max();
  CHECK(parse_sizes("9223372036854775806..9223372036854775807+1", "--n", 0, max) == Sizes{max - 1, max});
  CHECK(parse_sizes("4611686018427387904..9223372036854775807*2", "--n", 0, max).size() == 1);
}

TEST_CASE("bytes are written with three digits and a decimal unit") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(999) == "999 B");
  CHECK(human_bytes(1250) == "1.25 kB");
  CHECK(human_bytes(12'500'000) == "12.5 MB");
  CHECK(human_bytes(999'600'000) == "1.00 GB");
  CHECK(human_bytes(-125'000) == "-125 kB");
}

TEST_CASE("seconds are written with four digits and the unit that fits") {
  CHECK(human_seconds(1.5) == "1.500 s");
  CHECK(human_seconds(0.012345) == "12.35 ms");
  CHECK(human_seconds(0.99996) == "1.000 s");
  CHECK(human_seconds(123.4e-6) == "123.4 us");
  CHECK(human_seconds(5e-9) == "5.000 ns");
}

TEST_CASE("thousands are parted with commas") {
  CHECK(with_thousands(0) == "0");
  CHECK(with_thousands(999) == "999");
  CHECK(with_thousands(41'943'040) == "41,943,040");
  CHECK(with_thousands(-1000) == "-1,000");
}

TEST_CASE("bytes are a number and a unit") {
  CHECK(parse_bytes("48GB", "--fit") == 48'000'000'000);
  CHECK(parse_bytes("1.5 TB", "--fit") == 1'500'000'000'000);
  CHECK(parse_bytes("80GiB", "--fit") == std::int64_t{80} << 30);
  CHECK(parse_bytes("1B", "--fit") == 1);
  CHECK(parse_bytes("0.5kB", "--fit") == 500);
  for (const auto* text : {"", "48", "GB", "48 gb", "-1GB", "1e3GB", "0GB", "0.1B", "1..5GB", "1.2.3GB", "99999999TB",
                           "48GBs", "48 G B", "inf GB", "nanGB"}) {
    INFO(text);
    CHECK_THAT(complaint_of([&] { parse_bytes(text, "--fit"); }), Catch::Contains("is no size of memory"));
  }
}
