#include "yaml_guard.h"

#include <fmt/format.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <sstream>

#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr int max_depth = 16;

class Guard final : public YAML::EventHandler {
 public:
  explicit Guard(const std::string& source) : source_(source) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) refuse(mark, "a second document begins here", "keep one document in a file");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { value(mark, "?", anchor); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string&) override {
    value(mark, tag, anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    enter(mark, tag, anchor);
  }
  void OnSequenceEnd() override { --depth_; }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    enter(mark, tag, anchor);
  }
  void OnMapEnd() override { --depth_; }

 private:
  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& what, const std::string& remedy) const {
    throw bad_input({yaml_place(source_, mark), what, {}, remedy});
  }
  [[noreturn]] void refuse_anchor(const YAML::Mark& mark) const {
    refuse(mark, "anchors and aliases (& and *) are not read", "write the value out, or put it in quotes");
  }
  void value(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    if (anchor != YAML::NullAnchor) refuse_anchor(mark);
    const bool plain = tag.empty() || tag == "?" || tag == "!";  // the parser's own marks: none, plain, quoted
    if (!plain) refuse(mark, "the tag " + quote(tag) + " is not read", "leave it out");
  }
  void enter(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    value(mark, tag, anchor);
    if (++depth_ > max_depth) {
      refuse(mark, fmt::format("nested over {} deep", max_depth), "lists and mappings here need far less");
    }
  }

  const std::string& source_;
  int documents_ = 0;
  int depth_ = 0;
};

}  // namespace

std::string yaml_place(const std::string& source, const YAML::Mark& mark) {
  return mark.is_null() ? source : fmt::format("{}:{}:{}", source, mark.line + 1, mark.column + 1);
}

void guard_yaml(std::string_view text, const std::string& source) {
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Guard guard(source);
    while (parser.HandleNextDocument(guard)) {
    }
  } catch (const YAML::Exception& error) {
    throw bad_input(
        {yaml_place(source, error.mark), "not valid YAML", error.msg, "correct the text there or just before"});
  }
}

}  // namespace tpsp
