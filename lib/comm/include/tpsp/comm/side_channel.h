// Small messages between ranks that may be waiting for each other in a collective.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tpsp {

/// Used by one thread of each rank, whatever the others do meanwhile. Its destruction is collective, unless the program
/// is on its way out with an error.
class SideChannel {
 public:
  virtual ~SideChannel() = default;

  /// To all other ranks. Does not wait for them.
  virtual void send(const std::string& text) = 0;
  /// What has arrived, with the ranks that it is from. Does not wait.
  virtual std::vector<std::pair<int, std::string>> receive() = 0;
};

}  // namespace tpsp
