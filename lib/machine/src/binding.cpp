#include "tpsp/machine/binding.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "tpsp/core/environment.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

std::optional<HostCores> host_cores() {
  try {
    return HostCores();
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Where a rank is, as rows and messages say it.
struct Place {
  std::string by;
  std::string cpus;
  std::string note;  // why it was not moved
};

std::vector<Place> exchange_places(World& world, const Place& mine) {
  std::vector<Place> places;
  for (const auto& text : world.exchange(mine.by + "\n" + mine.cpus + "\n" + mine.note)) {
    const auto lines = split(text, '\n');
    places.push_back({lines.at(0), lines.at(1), lines.at(2)});
  }
  return places;
}

std::string bound_text(const std::vector<Place>& places) {
  constexpr std::size_t most = 16;
  std::vector<std::string> ranks;
  for (std::size_t rank = 0; rank < std::min(places.size(), most); ++rank) {
    ranks.push_back(fmt::format("{}: {}", rank, places[rank].cpus));
  }
  if (places.size() > most) ranks.push_back(fmt::format("and {} more", places.size() - most));
  return join(ranks, " · ");
}

std::string all_cpus(const std::vector<Place>& places) {
  std::vector<std::string> cpus;
  for (const auto& place : places) cpus.push_back(place.cpus);
  return join(cpus, ";");
}

std::string all_by(const std::vector<Place>& places) {
  std::set<std::string> distinct;
  for (const auto& place : places) distinct.insert(place.by);
  return join(std::vector<std::string>(distinct.begin(), distinct.end()), "+");
}

std::string note_of(const std::vector<Place>& places) {
  const auto by = all_by(places);
  if (by != to_string(Binding::none)) return fmt::format("ranks bound to cores: {} ({})", bound_text(places), by);
  const auto found = std::find_if(places.begin(), places.end(), [](const auto& place) { return !place.note.empty(); });
  return found == places.end() ? "" : found->note;
}

}  // namespace

RankBinder::RankBinder(World& world) : world_(world), host_(host_cores()) {
  const auto mine = cpu_list(host_ ? host_->binding() : Cpus());
  const auto all = world.exchange(fmt::format("{}\n{}\n{}", host_name(), ::getpid(), mine));
  std::set<std::string> processes;
  for (int rank = 0; rank < world.size(); ++rank) {
    const auto facts = split(all[static_cast<std::size_t>(rank)], '\n');
    if (facts.at(0) != host_name()) continue;
    if (rank == world.rank()) me_ = neighbours_.size();
    neighbours_.push_back(rank);
    allowed_.push_back(parse_cpu_list(facts.at(2)));
    threads_ = threads_ || !processes.insert(facts.at(1)).second;
  }
}

Shares RankBinder::shares_of(bool wanted) const {
  if (!host_ || threads_) return {Binding::none, allowed_};
  const auto shares = share_cores(*host_, allowed_);
  if (shares.binding == Binding::tpsp_bench && !wanted) return {Binding::none, allowed_};
  return shares;
}

// To what was asked for, or, if any rank of the host can not be, all of them to what they had.
bool RankBinder::bind(const Shares& shares) {
  const bool moves = host_ && !threads_ && host_->binding() != shares.of_ranks[me_];
  const bool done = !moves || host_->bind(shares.of_ranks[me_]);
  const auto of_ranks = world_.exchange(done ? "bound" : "not bound");
  const bool all_done = std::all_of(neighbours_.begin(), neighbours_.end(),
                                    [&](int rank) { return of_ranks[static_cast<std::size_t>(rank)] == "bound"; });
  if (!all_done && moves) host_->bind(allowed_[me_]);
  return all_done;
}

// Of ranks that were left where they were, on the host of this one.
std::string RankBinder::why_not(const Shares& shares, bool wanted, bool refused) const {
  constexpr auto* not_bound = "ranks not bound to cores: ";
  if (!wanted || threads_ || neighbours_.size() == 1 || shares.binding != Binding::none) return {};
  if (!host_ || allowed_[me_].empty()) return std::string(not_bound) + "the system does not report them";
  if (refused) return std::string(not_bound) + "the system refused";
  Cpus all;
  for (const auto& cpus : allowed_) all.insert(cpus.begin(), cpus.end());
  return not_bound + counted(static_cast<std::int64_t>(neighbours_.size()), "rank") + " on " +
         counted(static_cast<std::int64_t>(host_->within(all).size()), "core");
}

RankCores RankBinder::bind_ranks(bool wanted) {
  auto shares = shares_of(wanted);
  const bool refused = !bind(shares);
  if (refused) shares = {Binding::none, allowed_};
  const auto& mine = shares.of_ranks[me_];
  const auto sharing = std::count(shares.of_ranks.begin(), shares.of_ranks.end(), mine);
  const auto processors = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const auto cores = host_ && !mine.empty() ? static_cast<int>(host_->within(mine).size()) : processors;
  const auto places = exchange_places(
      world_, {std::string(to_string(shares.binding)), cpu_list(mine), why_not(shares, wanted, refused)});
  return {.by = all_by(places),
          .cpus = all_cpus(places),
          .mine = std::max(cores / static_cast<int>(sharing), 1),
          .host = processors,
          .note = note_of(places)};
}

}  // namespace tpsp
