// Pipelined heads: scanned and parsed whole, and as the fuzzer cuts them. Both must tell the same story, and
// a head that the scanner accepts must never crash the parser. What can be read in one pass tells the same.

#include <string>
#include <vector>

#include <lastcall/core/check.hpp>
#include <lastcall/http/head_scanner.hpp>
#include <lastcall/http/request_parser.hpp>

#include "tests/fuzz/split.hpp"

namespace {

using namespace lastcall;
using Outcome = HeadScanner::Result::Outcome;

void tell(std::string& story, std::string_view text) {
  story += text;
  story += '\n';
}

void tell(std::string& story, const RequestHead& head) {
  tell(story, to_string(head.method));
  for (const std::string_view view : {head.target, head.path, head.query, head.host}) tell(story, view);
  for (const Field& field : head.fields) {
    tell(story, field.name);
    tell(story, field.value);
  }
  tell(story, std::to_string(head.content_length) + " " + std::to_string(head.version_minor) + " " +
                  std::to_string(static_cast<int>(head.form)) + (head.chunked ? " chunked" : "") +
                  (head.has_length ? " length" : "") + (head.keep_alive ? " keep-alive" : "") +
                  (head.expect_continue ? " expect" : "") + (head.upgrade ? " upgrade" : ""));
}

void check_accepted(const RequestHead& head) {
  LASTCALL_CHECK(!(head.chunked && head.has_length));
  LASTCALL_CHECK(!head.chunked || head.version_minor == 1);
  LASTCALL_CHECK(!head.target.empty());
  LASTCALL_CHECK(head.path.empty() == (head.form == RequestHead::Form::authority));
  LASTCALL_CHECK(head.version_minor == 0 || head.find("host") != nullptr);
}

/// Parses the head, moves it to other bytes, and tells what it is there. False when it was refused.
bool tell_parsed(std::string& story, std::string_view wire, const Limits& limits, bool plain_target) {
  static RequestParser parser;
  static RequestHead head;
  auto bytes = std::make_unique<fuzz::ExactBytes>(wire);
  const Refusal refusal = parser.parse(bytes->view(), limits, head, plain_target);
  if (refusal) {
    tell(story, std::to_string(refusal.status) + refusal.what);
    return false;
  }
  check_accepted(head);
  const fuzz::ExactBytes moved(wire);
  const char* const from = bytes->view().data();
  bytes.reset();
  head.rebase(from, wire.size(), moved.view().data());
  tell(story, head);
  return true;
}

/// The head in one pass: its story, or nothing where that is not for it to tell.
std::string usual_story(std::string_view bytes, const Limits& limits, const HeadScanner::Result& result) {
  static RequestParser parser;
  static RequestHead head;
  std::string story;
  head.fields.reserve(limits.max_fields);
  const uint32_t length = parser.read_usual(bytes, limits, head);
  if (length == 0) return story;
  LASTCALL_CHECK(result.outcome == Outcome::complete && result.length == length);
  tell(story, head);
  return story;
}

std::string story_of(std::string_view wire, const Limits& limits, fuzz::Cuts cuts) {
  std::string story;
  HeadScanner scanner;
  size_t have = 0;
  for (;;) {
    have += cuts.next(wire.size() - have);
    for (;;) {
      const fuzz::ExactBytes bytes(wire.substr(0, have));
      const HeadScanner::Result result = scanner.scan(bytes.view(), limits);
      const std::string usual = usual_story(bytes.view(), limits, result);
      if (result.outcome == Outcome::refused) {
        tell(story, std::to_string(result.refusal.status) + result.refusal.what);
        return story;
      }
      if (result.outcome == Outcome::incomplete) break;
      LASTCALL_CHECK(result.length <= have);
      const size_t told = story.size();
      const bool taken = tell_parsed(story, wire.substr(0, result.length), limits, result.plain_target);
      LASTCALL_CHECK(usual.empty() || (taken && story.substr(told) == usual));
      if (!taken) return story;
      wire.remove_prefix(result.length);
      have -= result.length;
      scanner.reset();
    }
    if (have == wire.size()) break;
  }
  tell(story, scanner.started() ? "started" : "idle");
  return story;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::Input input(data, size);
  Limits limits;
  if ((input.options & 1) != 0) limits = {.max_header_bytes = 64, .max_target_bytes = 16, .max_fields = 3};
  const std::string whole = story_of(input.wire, limits, fuzz::Cuts(std::string_view("\0", 1)));
  LASTCALL_CHECK(whole == story_of(input.wire, limits, fuzz::Cuts(input.plan)));
  return 0;
}
