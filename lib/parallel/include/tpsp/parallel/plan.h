// A plan: an ordered list of rules, each a regular expression on module names and what is asked of the matches.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tpsp/parallel/placement.h"

namespace tpsp {

/// The names of torch.distributed.tensor.parallel, and `replicate` to say that a module is replicated on purpose.
enum class Style {
  colwise,        ///< the weight's output features are sharded (an embedding's hidden dimension)
  rowwise,        ///< the weight's input features are sharded (an embedding's vocabulary)
  sequence,       ///< the weight is replicated, the tokens are sharded
  prepare_input,  ///< of a module with children: the placement its input is brought to, once for all of them
  replicate,      ///< full weight, all tokens: what a module without a rule does
};
std::string_view to_string(Style style);
std::optional<Style> parse_style(std::string_view text);

struct Rule {
  std::string pattern;  ///< RE2, matched against the whole module name
  Style style = Style::replicate;
  std::optional<Placement> in;    ///< what must arrive; checked, never assumed
  std::optional<Placement> want;  ///< what the input is brought to
  std::optional<Placement> out;   ///< what the output is brought to
  std::string where;              ///< "file:line:column" of the rule
};

struct Plan {
  std::string name;    ///< "tp+sp", "tp.rules", or a file's name without .yaml
  std::string source;  ///< what messages call the file
  std::string text{};  ///< the file as it was read
  std::vector<Rule> rules;
};

/// A plan from YAML:
///
///     rules:
///       - {match: 'layers\.\d+\.attention\.wo', style: rowwise, out: shard(seq)}
///
/// or, where `source` ends in .rules, one rule a line: `<regex> <style> [in=...] [want=...] [out=...]`, # comments.
/// Throws bad_input with file, line and column for anything that is no such plan, and RE2's reason for a regular
/// expression that does not compile.
Plan parse_plan(const std::string& name, const std::string& source, std::string_view text);

/// The plan that `--plan` names: built in, or a file.
Plan load_plan(const std::string& name_or_path);

}  // namespace tpsp
