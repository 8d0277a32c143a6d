// Elements of either type as numbers, and rows of them in memory with guard bytes around it.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "tpsp/kernels/kernels.h"

namespace tpsp::kernels {

inline constexpr std::size_t odd_sizes[] = {1, 3, 15, 16, 17, 33, 100, 4096 + 5};

/// By arithmetic, not by bits: the nearest multiple of the last place, ties to the even multiple.
inline float nearest_bf16(float x) {
  if (x == 0 || !std::isfinite(x)) return x;
  const double last_place = std::ldexp(1.0, std::max(std::ilogb(x), -126) - 7);
  const double rounded = std::nearbyint(x / last_place) * last_place;
  return static_cast<float>(rounded);  // infinity where bf16 ends, which is where fp32 ends
}

inline float number(float x) { return x; }
inline float number(Bf16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16U); }
inline std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }
inline std::uint32_t bits_of(Bf16 x) { return x.bits; }

template <typename T>
T nearest(float x);
template <>
inline float nearest<float>(float x) {
  return x;
}
template <>
inline Bf16 nearest<Bf16>(float x) {
  if (std::isnan(x)) return {0x7FC0};
  return {static_cast<std::uint16_t>(bits_of(nearest_bf16(x)) >> 16U)};
}

/// Half a last place, relative to the number.
template <typename T>
inline constexpr double half_place = sizeof(T) == 4 ? 0x1p-24 : 0x1p-8;

/// Elements at an address that is not a vector's, with guard bytes before and behind.
template <typename T>
class Guarded {
 public:
  explicit Guarded(std::size_t count) : memory_(count + 2 * margin, nearest<T>(guard)) {}
  explicit Guarded(const std::vector<T>& values) : Guarded(values.size()) {
    std::copy(values.begin(), values.end(), data());
  }

  T* data() { return memory_.data() + margin; }
  const T* data() const { return memory_.data() + margin; }
  std::size_t size() const { return memory_.size() - 2 * margin; }
  T& operator[](std::size_t i) { return data()[i]; }
  std::vector<T> values() const { return {data(), data() + size()}; }
  bool surroundings_untouched() const {
    const auto is_guard = [](T x) { return bits_of(x) == bits_of(nearest<T>(guard)); };
    return std::all_of(memory_.begin(), memory_.begin() + margin, is_guard) &&
           std::all_of(memory_.end() - margin, memory_.end(), is_guard);
  }

 private:
  static constexpr std::ptrdiff_t margin = 35;
  static constexpr float guard = 77;
  std::vector<T> memory_;
};

/// Numbers of either sign whose sizes differ by up to 2^20, so that the order of a sum shows.
template <typename T>
std::vector<T> random_numbers(std::size_t count, std::mt19937& random) {
  std::uniform_real_distribution<float> number(-1, 1);
  std::uniform_int_distribution<int> power(-10, 10);
  std::vector<T> all(count);
  for (auto& x : all) x = nearest<T>(std::ldexp(number(random), power(random)));
  return all;
}

template <typename T>
std::vector<std::uint32_t> all_bits(const std::vector<T>& values) {
  std::vector<std::uint32_t> bits;
  for (const auto x : values) bits.push_back(bits_of(x));
  return bits;
}

}  // namespace tpsp::kernels
