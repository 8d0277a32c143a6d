// Random samples whose true median is known, the same ones for the same seed.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace tpsp {

using Engine = std::mt19937_64;

struct Distribution {
  std::string name;
  std::function<double(Engine&)> draw;
  double median = 1;
};

inline double standard_normal(Engine& engine) { return std::normal_distribution<double>()(engine); }

inline Distribution normal(double spread) {
  return {"normal", [spread](Engine& engine) { return 1 + spread * standard_normal(engine); }};
}

inline Distribution lognormal(double spread) {
  return {"lognormal", [spread](Engine& engine) { return std::exp(spread * standard_normal(engine)); }};
}

/// A part `share` of the samples is `factor` times as long as the others; all have 1% of noise.
inline std::function<double(Engine&)> two_modes(double share, double factor) {
  return [share, factor](Engine& engine) {
    const bool slow = std::uniform_real_distribution<double>()(engine) < share;
    return (slow ? factor : 1) * (1 + 0.01 * standard_normal(engine));
  };
}

/// Its median is that of the faster mode's samples at the 0.5/0.7 quantile, which is Phi^-1(5/7) = 0.565949.
inline Distribution bimodal() { return {"bimodal", two_modes(0.3, 1.2), 1 + 0.01 * 0.565949}; }

/// Pareto with exponent 1, which has no mean.
inline Distribution heavy_tailed() {
  return {"heavy-tailed", [](Engine& engine) { return 1 / (1 - std::uniform_real_distribution<double>()(engine)); }, 2};
}

inline std::vector<Distribution> distributions() { return {lognormal(0.1), bimodal(), heavy_tailed()}; }

inline std::vector<double> samples_of(const Distribution& distribution, std::size_t n, Engine& engine,
                                      double factor = 1) {
  std::vector<double> samples;
  for (std::size_t i = 0; i < n; ++i) samples.push_back(factor * distribution.draw(engine));
  return samples;
}

/// The part of `trials` calls that give true.
inline double share_of(int trials, const std::function<bool()>& event) {
  int count = 0;
  for (int trial = 0; trial < trials; ++trial) count += event() ? 1 : 0;
  return static_cast<double>(count) / trials;
}

}  // namespace tpsp
