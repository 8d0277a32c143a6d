// The kernels of a training step: against plain loops in double precision, on every instruction set.
#include "elements.h"
#include "targets.h"

using namespace tpsp::kernels;

namespace {

constexpr float eps = 1e-5F;
constexpr std::size_t rows = 3;

template <typename T>
std::vector<T> numbers_up_to(float most, std::size_t count, std::mt19937& random) {
  std::uniform_real_distribution<float> number(-most, most);
  std::vector<T> all(count);
  for (auto& x : all) x = nearest<T>(number(random));
  return all;
}

// fp32 arithmetic on numbers of this size, then one rounding.
template <typename T>
void check_close(T got, double expected, double size) {
  CHECK(std::abs(number(got) - expected) <= size * (256 * half_place<float> + half_place<T>)+1e-30);
}

template <typename T>
std::vector<double> sums_of(const std::vector<Guarded<T>>& terms) {
  std::vector<double> sums;
  for (std::size_t i = 0; i < terms.front().size(); ++i) {
    float total = number(terms[0].data()[i]);
    for (std::size_t t = 1; t < terms.size(); ++t) total += number(terms[t].data()[i]);
    sums.push_back(number(nearest<T>(total)));
  }
  return sums;
}

}  // namespace

TEMPLATE_TEST_CASE("add_norm leaves its stream alone where the sum goes elsewhere", "", float, Bf16) {
  std::mt19937 random(11);
  for (const auto width : odd_sizes) {
    const Guarded<TestType> stream(numbers_up_to<TestType>(2, rows * width, random));
    const Guarded<TestType> term(numbers_up_to<TestType>(2, rows * width, random));
    const Guarded<TestType> weight(numbers_up_to<TestType>(2, width, random));
    const TestType* const terms[] = {term.data()};
    CAPTURE(width);
    on_every_target([&] {
      auto in_place = stream;
      Guarded<TestType> sum(rows * width);
      Guarded<TestType> normed(rows * width);
      Guarded<TestType> normed_in_place(rows * width);
      const auto job = [&](const TestType* from, TestType* to, TestType* out) {
        add_norm({.terms = terms,
                  .stream = from,
                  .sum = to,
                  .weight = weight.data(),
                  .normed = out,
                  .rows = rows,
                  .width = width,
                  .eps = eps});
      };
      job(stream.data(), sum.data(), normed.data());
      job(in_place.data(), in_place.data(), normed_in_place.data());
      CHECK(all_bits(sum.values()) == all_bits(in_place.values()));
      CHECK(all_bits(normed.values()) == all_bits(normed_in_place.values()));
      CHECK(sum.surroundings_untouched());
    });
  }
}

TEMPLATE_TEST_CASE("the backward of add_norm is RMSNorm's derivative", "", float, Bf16) {
  std::mt19937 random(12);
  for (const std::size_t many : {1U, 2U, 4U}) {
    for (const auto width : odd_sizes) {
      std::vector<Guarded<TestType>> gradients;
      std::vector<const TestType*> terms;
      for (std::size_t t = 0; t < many; ++t) gradients.emplace_back(numbers_up_to<TestType>(1, rows * width, random));
      for (const auto& gradient : gradients) terms.push_back(gradient.data());
      const auto of_normed = sums_of(gradients);
      const Guarded<TestType> input(numbers_up_to<TestType>(2, rows * width, random));
      const Guarded<TestType> weight(numbers_up_to<TestType>(2, width, random));
      const Guarded<TestType> stream(numbers_up_to<TestType>(3, rows * width, random));
      const Guarded<float> weights_before(numbers_up_to<float>(1, width, random));
      for (const bool adds : {false, true}) {
        CAPTURE(many, width, adds);
        on_every_target([&] {
          auto gradient = stream;
          auto of_weight = weights_before;
          add_norm_backward(AddNormBackward<TestType>{.terms = terms,
                                                      .input = input.data(),
                                                      .weight = weight.data(),
                                                      .gradient = gradient.data(),
                                                      .adds = adds,
                                                      .weight_gradient = of_weight.data(),
                                                      .rows = rows,
                                                      .width = width,
                                                      .eps = eps});
          std::vector<double> expected_of_weight(width);
          for (std::size_t i = 0; i < width; ++i) expected_of_weight[i] = weights_before.data()[i];
          for (std::size_t row = 0; row < rows; ++row) {
            double squares = 0;
            double dot = 0;
            const auto x = [&](std::size_t i) { return number(input.data()[row * width + i]); };
            const auto g = [&](std::size_t i) { return of_normed[row * width + i]; };
            const auto w = [&](std::size_t i) { return number(weight.data()[i]); };
            for (std::size_t i = 0; i < width; ++i) {
              squares += std::pow(x(i), 2);
              dot += g(i) * w(i) * x(i);
            }
            const auto r = 1 / std::sqrt(squares / static_cast<double>(width) + eps);
            for (std::size_t i = 0; i < width; ++i) {
              const double before = adds ? number(stream.data()[row * width + i]) : 0;
              const double own = r * g(i) * w(i);
              const double pull = x(i) * r * r * r * dot / static_cast<double>(width);
              const double size = std::abs(before) + std::abs(own) + 64 * static_cast<double>(many) * r;
              check_close(gradient[row * width + i], before + own - pull, size);
              expected_of_weight[i] += g(i) * x(i) * r;
            }
          }
          for (std::size_t i = 0; i < width; ++i) check_close(of_weight[i], expected_of_weight[i], 64);
          CHECK(gradient.surroundings_untouched());
          CHECK(of_weight.surroundings_untouched());
        });
      }
    }
  }
}

TEMPLATE_TEST_CASE("the backward of SwiGLU gives both gradients and the result again", "", float, Bf16) {
  std::mt19937 random(13);
  for (const auto width : odd_sizes) {
    const auto stride = width + 3;
    const Guarded<TestType> gradients(numbers_up_to<TestType>(2, rows * stride, random));
    const Guarded<TestType> gates(numbers_up_to<TestType>(20, rows * stride, random));
    const Guarded<TestType> ups(numbers_up_to<TestType>(2, rows * stride, random));
    CAPTURE(width);
    on_every_target([&] {
      auto out = gradients;
      auto gate = gates;
      auto up = ups;
      swiglu_backward(Rows<TestType>{out.data(), stride}, Rows<TestType>{gate.data(), stride},
                      Rows<TestType>{up.data(), stride}, rows, width);
      for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t i = row * stride; i < row * stride + width; ++i) {
          const double g = number(gradients.data()[i]);
          const double x = number(gates.data()[i]);
          const double u = number(ups.data()[i]);
          const double s = 1 / (1 + std::exp(-x));
          check_close(out[i], x * s * u, std::abs(x * u));
          check_close(up[i], g * x * s, std::abs(g * x));
          check_close(gate[i], g * u * s * (1 + x * (1 - s)), std::abs(g * u) * (1 + std::abs(x)));
        }
        for (std::size_t i = row * stride + width; i < (row + 1) * stride; ++i) {
          CHECK(bits_of(out[i]) == bits_of(gradients.data()[i]));
          CHECK(bits_of(gate[i]) == bits_of(gates.data()[i]));
          CHECK(bits_of(up[i]) == bits_of(ups.data()[i]));
        }
      }
    });
  }
}

TEMPLATE_TEST_CASE("softmax's sums and softmax itself, of rows of any width", "", float, Bf16) {
  std::mt19937 random(14);
  for (const auto width : odd_sizes) {
    const auto stride = width + 5;
    const Guarded<TestType> logits(numbers_up_to<TestType>(60, rows * stride, random));
    CAPTURE(width);
    on_every_target([&] {
      Guarded<float> maxima(rows);
      Guarded<float> sums(rows);
      softmax_sums(Rows<const TestType>{logits.data(), stride}, maxima.data(), sums.data(), rows, width);
      auto softmax = logits;
      Guarded<float> log_sums(rows);
      constexpr float scale = 0.25F;
      for (std::size_t row = 0; row < rows; ++row) {
        const auto x = [&](std::size_t i) { return static_cast<double>(number(logits.data()[row * stride + i])); };
        double most = x(0);
        for (std::size_t i = 1; i < width; ++i) most = std::max(most, x(i));
        double sum = 0;
        for (std::size_t i = 0; i < width; ++i) sum += std::exp(x(i) - most);
        CHECK(maxima[row] == static_cast<float>(most));
        check_close(sums[row], sum, 4 * sum);
        log_sums[row] = static_cast<float>(most + std::log(sum));
      }
      scaled_softmax(Rows<TestType>{softmax.data(), stride}, log_sums.data(), scale, rows, width);
      for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t i = row * stride; i < row * stride + width; ++i) {
          const double expected = scale * std::exp(static_cast<double>(number(logits.data()[i])) - log_sums[row]);
          check_close(softmax[i], expected, 2 * expected);
        }
        for (std::size_t i = row * stride + width; i < (row + 1) * stride; ++i) {
          CHECK(bits_of(softmax[i]) == bits_of(logits.data()[i]));
        }
      }
      CHECK(sums.surroundings_untouched());
      CHECK(maxima.surroundings_untouched());
    });
  }
}

TEMPLATE_TEST_CASE("of no logits the largest is -infinity and the sum 0", "", float, Bf16) {
  on_every_target([&] {
    float largest = 1;
    float sum = 1;
    softmax_sums(Rows<const TestType>{nullptr, 0}, &largest, &sum, 1, 0);
    CHECK(largest == -std::numeric_limits<float>::infinity());
    CHECK(sum == 0);
  });
}

namespace {

// 20 steps, set against double precision.
template <typename T, typename G>
void check_adamw(bool with_master) {
  std::mt19937 random(15);
  constexpr float beta1 = 0.9F;
  constexpr float beta2 = 0.95F;
  constexpr float adam_eps = 1e-6F;
  constexpr float kept = 0.999F;
  for (const auto count : odd_sizes) {
    const auto start = numbers_up_to<float>(2, count, random);
    std::vector<std::vector<G>> gradients;
    for (int step = 0; step < 20; ++step) gradients.push_back(numbers_up_to<G>(1, count, random));
    CAPTURE(count);
    on_every_target([&] {
      Guarded<float> master(start);
      Guarded<T> weight(count);
      for (std::size_t i = 0; i < count; ++i) weight[i] = nearest<T>(start[i]);
      Guarded<float> mean(std::vector<float>(count, 0.0F));
      Guarded<float> square(std::vector<float>(count, 0.0F));
      std::vector<double> w(start.begin(), start.end());
      std::vector<double> m(count);
      std::vector<double> v(count);
      for (int step = 1; step <= 20; ++step) {
        const auto& g = gradients[static_cast<std::size_t>(step) - 1];
        const double step_size = 0.01 / (1 - std::pow(static_cast<double>(beta1), step));
        const double root_scale = 1 / std::sqrt(1 - std::pow(static_cast<double>(beta2), step));
        adamw(AdamW<T, G>{.weight = weight.data(),
                          .master = with_master ? master.data() : nullptr,
                          .gradient = g.data(),
                          .mean = mean.data(),
                          .square = square.data(),
                          .count = count,
                          .beta1 = beta1,
                          .beta2 = beta2,
                          .eps = adam_eps,
                          .step_size = static_cast<float>(step_size),
                          .root_scale = static_cast<float>(root_scale),
                          .kept = kept});
        for (std::size_t i = 0; i < count; ++i) {
          const double x = number(g[i]);
          m[i] += (1 - static_cast<double>(beta1)) * (x - m[i]);
          v[i] = beta2 * v[i] + (1 - static_cast<double>(beta2)) * x * x;
          w[i] = kept * w[i] - step_size * m[i] / (std::sqrt(v[i]) * root_scale + adam_eps);
        }
      }
      for (std::size_t i = 0; i < count; ++i) {
        const auto exact = with_master ? master[i] : number(weight[i]);
        CHECK(std::abs(exact - w[i]) < 2e-6);
        CHECK(bits_of(weight[i]) == bits_of(nearest<T>(exact)));
        CHECK(std::abs(mean[i] - m[i]) < 1e-6);
        CHECK(std::abs(square[i] - v[i]) < 1e-6);
      }
      CHECK(weight.surroundings_untouched());
      CHECK(mean.surroundings_untouched());
      CHECK(square.surroundings_untouched());
    });
  }
}

}  // namespace

TEST_CASE("AdamW of fp32 weights is the formula") { check_adamw<float, float>(false); }
TEST_CASE("AdamW of bf16 weights is the formula of their masters") { check_adamw<Bf16, Bf16>(true); }
TEST_CASE("AdamW of bf16 weights takes gradients in fp32") { check_adamw<Bf16, float>(true); }
