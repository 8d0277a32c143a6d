// The kernels that compute: against plain loops in double precision, on every instruction set.
#include "elements.h"
#include "targets.h"

using namespace tpsp::kernels;

namespace {

template <typename T>
void check_close(T got, double expected, double size) {
  // fp32 arithmetic, some thousand squares one after the other among it, then one rounding; and fp32 ends near 1e-38
  const double tolerance = size * (64 * half_place<float> + half_place<T>)+1e-32;
  CHECK(std::abs(number(got) - expected) <= tolerance);
}

constexpr float eps = 1e-5F;
constexpr std::size_t rows = 3;

template <typename T>
struct NormInputs {
  std::size_t width;
  std::vector<Guarded<T>> terms;
  Guarded<T> stream;
  Guarded<T> weight;

  NormInputs(std::size_t row_width, std::size_t many, std::mt19937& random)
      : width(row_width), stream(random_numbers<T>(rows * width, random)), weight(random_numbers<T>(width, random)) {
    for (std::size_t t = 0; t < many; ++t) terms.emplace_back(random_numbers<T>(rows * width, random));
  }

  std::vector<T> expected_stream() const {
    auto result = stream.values();
    for (std::size_t i = 0; i < result.size() && !terms.empty(); ++i) {
      float total = number(terms[0].data()[i]);
      for (std::size_t t = 1; t < terms.size(); ++t) total += number(terms[t].data()[i]);
      result[i] = nearest<T>(number(result[i]) + number(nearest<T>(total)));
    }
    return result;
  }
};

template <typename T>
void check_normed(const std::vector<T>& normed, const std::vector<T>& stream, const Guarded<T>& weight) {
  const auto width = weight.size();
  for (std::size_t row = 0; row < rows; ++row) {
    double squares = 0;
    for (std::size_t i = 0; i < width; ++i) squares += std::pow(number(stream[row * width + i]), 2);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + eps);
    for (std::size_t i = 0; i < width; ++i) {
      const double expected = number(stream[row * width + i]) * scale * number(weight.data()[i]);
      check_close(normed[row * width + i], expected, std::abs(expected));
    }
  }
}

double silu(double x) { return x / (1 + std::exp(-x)); }

}  // namespace

TEMPLATE_TEST_CASE("add_norm adds the rounded sum to the stream and normalizes what it has stored", "", float, Bf16) {
  std::mt19937 random(3);
  for (const std::size_t many : {0U, 1U, 2U, 3U, 8U}) {
    for (const auto width : odd_sizes) {
      const NormInputs<TestType> inputs(width, many, random);
      const auto expected = inputs.expected_stream();
      std::vector<const TestType*> terms;
      for (const auto& term : inputs.terms) terms.push_back(term.data());
      CAPTURE(many, width);
      on_every_target([&] {
        auto stream = inputs.stream;
        Guarded<TestType> normed(rows * width);
        add_norm({.terms = terms,
                  .stream = stream.data(),
                  .sum = stream.data(),
                  .weight = inputs.weight.data(),
                  .normed = normed.data(),
                  .rows = rows,
                  .width = width,
                  .eps = eps});
        CHECK(all_bits(stream.values()) == all_bits(expected));
        check_normed(normed.values(), expected, inputs.weight);
        CHECK(stream.surroundings_untouched());
        CHECK(normed.surroundings_untouched());
      });
    }
  }
}

TEMPLATE_TEST_CASE("swiglu reads and writes rows and leaves what lies between them", "", float, Bf16) {
  std::mt19937 random(4);
  for (const auto width : odd_sizes) {
    const std::size_t gate_stride = 2 * width + 3;
    const std::size_t out_stride = width + 5;
    const Guarded<TestType> both(random_numbers<TestType>(rows * gate_stride, random));
    CAPTURE(width);
    on_every_target([&] {
      const Guarded<TestType> before(random_numbers<TestType>(rows * out_stride, random));
      auto out = before;
      swiglu({out.data(), out_stride}, {both.data(), gate_stride}, {both.data() + width, gate_stride}, rows, width);
      for (std::size_t i = 0; i < rows * out_stride; ++i) {
        const auto row = i / out_stride;
        const auto column = i % out_stride;
        if (column >= width) {
          CHECK(bits_of(out[i]) == bits_of(before.data()[i]));
          continue;
        }
        const TestType* const gate = both.data() + row * gate_stride;
        const double expected = silu(number(gate[column])) * number(gate[width + column]);
        check_close(out[i], expected, std::abs(expected));
      }
      CHECK(out.surroundings_untouched());
    });
  }
}

TEMPLATE_TEST_CASE("swiglu may write over its gate", "", float, Bf16) {
  std::mt19937 random(5);
  for (const auto width : odd_sizes) {
    const std::size_t stride = width + 7;
    const Guarded<TestType> gate(random_numbers<TestType>(rows * stride, random));
    const Guarded<TestType> up(random_numbers<TestType>(rows * stride, random));
    on_every_target([&] {
      CAPTURE(width);
      auto apart = gate;
      swiglu({apart.data(), stride}, {gate.data(), stride}, {up.data(), stride}, rows, width);
      auto in_place = gate;
      swiglu({in_place.data(), stride}, {in_place.data(), stride}, {up.data(), stride}, rows, width);
      CHECK(all_bits(in_place.values()) == all_bits(apart.values()));
      CHECK(in_place.surroundings_untouched());
    });
  }
}

TEMPLATE_TEST_CASE("swiglu of gates far from zero is the gate or nothing", "", float, Bf16) {
  std::vector<TestType> gates;
  for (const float x : {1e-30F, 20.F, 87.F, 88.F, 89.F, 100.F, 103.F, 104.F, 105.F, 150.F, 200.F, 1e4F, 1e30F}) {
    gates.push_back(nearest<TestType>(x));
    gates.push_back(nearest<TestType>(-x));
  }
  const std::vector<TestType> up(gates.size(), nearest<TestType>(1));
  on_every_target([&] {
    std::vector<TestType> out(gates.size());
    const auto width = gates.size();
    swiglu({out.data(), width}, {gates.data(), width}, {up.data(), width}, 1, width);
    for (std::size_t i = 0; i < width; ++i) {
      const double expected = silu(number(gates[i]));
      CAPTURE(number(gates[i]), number(out[i]), expected);
      // Below -87 the exponential is too large for fp32: what is then left of the gate is less than 1e-36.
      CHECK(std::abs(number(out[i]) - expected) <=
            std::abs(expected) * (16 * half_place<float> + half_place<TestType>)+1e-35);
    }
  });
}

TEMPLATE_TEST_CASE("swiglu hands on NaN and infinity", "", float, Bf16) {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<TestType> gates(17, nearest<TestType>(std::nanf("")));
  gates.back() = nearest<TestType>(infinity);
  const std::vector<TestType> up(17, nearest<TestType>(2));
  on_every_target([&] {
    std::vector<TestType> out(17);
    swiglu({out.data(), 17}, {gates.data(), 17}, {up.data(), 17}, 1, 17);
    for (std::size_t i = 0; i < 16; ++i) CHECK(std::isnan(number(out[i])));
    CHECK(number(out[16]) == infinity);
  });
}

TEMPLATE_TEST_CASE("rotate rotates every pair by its angle, leaves what lies between heads, in place too", "", float,
                   Bf16) {
  std::mt19937 random(6);
  constexpr std::size_t heads = 3;
  for (const auto half : odd_sizes) {
    const auto in_stride = 2 * half + 3;
    const auto out_stride = 2 * half + 5;
    const Guarded<TestType> in(random_numbers<TestType>(heads * in_stride, random));
    const Guarded<TestType> before(random_numbers<TestType>(heads * out_stride, random));
    std::vector<float> cos(half);
    std::vector<float> sin(half);
    for (std::size_t i = 0; i < half; ++i) {
      cos[i] = std::cos(static_cast<float>(i));
      sin[i] = std::sin(static_cast<float>(i));
    }
    CAPTURE(half);
    on_every_target([&] {
      auto out = before;
      rotate({out.data(), out_stride}, {in.data(), in_stride}, cos.data(), sin.data(), heads, half);
      auto in_place = in;
      rotate({in_place.data(), in_stride}, {in_place.data(), in_stride}, cos.data(), sin.data(), heads, half);
      for (std::size_t i = 0; i < out.size(); ++i) {
        const auto head = i / out_stride;
        const auto column = i % out_stride;
        if (column >= 2 * half) {
          CHECK(bits_of(out[i]) == bits_of(before.data()[i]));
          continue;
        }
        const auto pair = column % half;
        const double a = number(in.data()[head * in_stride + pair]);
        const double b = number(in.data()[head * in_stride + pair + half]);
        const double expected = column < half ? a * cos[pair] - b * sin[pair] : b * cos[pair] + a * sin[pair];
        check_close(out[i], expected, std::abs(a) + std::abs(b));
        CHECK(bits_of(in_place[head * in_stride + column]) == bits_of(out[i]));
      }
      CHECK(out.surroundings_untouched());
      CHECK(in_place.surroundings_untouched());
      for (std::size_t head = 0; head < heads; ++head) {
        for (auto i = head * in_stride + 2 * half; i < (head + 1) * in_stride; ++i) {
          CHECK(bits_of(in_place[i]) == bits_of(in.data()[i]));
        }
      }
    });
  }
}

TEST_CASE("multiplying and adding in registers counts what it does") {
  float result = 0;
  const auto flops = multiply_add(1000, &result);
  CHECK(result == Approx(24));  // twelve sums, each on its way to 2
  CHECK(multiply_add(2000, &result) == 2 * flops);
  CHECK(std::fmod(flops, 2 * 12 * 1000) == 0);
}
