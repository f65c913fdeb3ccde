#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/http/body_decoder.hpp>
#include <lastcall/http/head_scanner.hpp>
#include <lastcall/http/request_parser.hpp>

namespace lastcall::testing {

using namespace std::literals;
using ScanOutcome = HeadScanner::Result::Outcome;
using BodyOutcome = BodyDecoder::Step::Outcome;

/// Bytes in a block of exactly their size, so that a sanitizer sees a read past the end.
class ExactBytes {
 public:
  explicit ExactBytes(std::string_view text) : size_(text.size()), bytes_(new char[text.size()]) {
    if (size_ > 0) std::memcpy(bytes_.get(), text.data(), size_);
  }
  [[nodiscard]] std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  size_t size_;
  std::unique_ptr<char[]> bytes_;
};

/// Scans `text` as it would arrive in pieces of `piece` bytes (0: whole), each time at another address. A
/// result before all has arrived is given with the bytes that were needed.
struct Scanned {
  HeadScanner::Result result;
  size_t needed = 0;
};

inline Scanned scan(std::string_view text, const Limits& limits = {}, size_t piece = 0) {
  HeadScanner scanner;
  Scanned scanned;
  for (size_t have = piece == 0 ? text.size() : 0;; have = std::min(have + piece, text.size())) {
    const ExactBytes bytes(text.substr(0, have));
    scanned = {scanner.scan(bytes.view(), limits), have};
    if (scanned.result.outcome != ScanOutcome::incomplete || have == text.size()) return scanned;
  }
}

/// The whole way of one head: scanned, then parsed. The head's views point into `bytes`.
struct Parsed {
  std::unique_ptr<ExactBytes> bytes;
  RequestHead head;
  Refusal refusal;
  bool complete = false;
  size_t length = 0;
};

/// Everything a head says, for a comparison of two that were read from different bytes.
inline std::string all_of(const RequestHead& head) {
  std::string all(to_string(head.method));
  for (const std::string_view view : {head.target, head.path, head.query, head.host}) {
    all.append("\n").append(view);
  }
  for (const Field& field : head.fields) all.append("\n").append(field.name).append(": ").append(field.value);
  for (const uint64_t value :
       {uint64_t{head.version_minor}, static_cast<uint64_t>(head.form), uint64_t{head.chunked},
        uint64_t{head.has_length}, head.content_length, uint64_t{head.keep_alive},
        uint64_t{head.expect_continue}, uint64_t{head.upgrade}}) {
    all.append(" ").append(std::to_string(value));
  }
  return all;
}

/// Reading in one pass is never another opinion: what it takes, the strict way takes with the same result.
/// `parsed`: what that came to. Returns whether it was taken.
inline bool agrees_with_usual(std::string_view text, const Limits& limits, const Parsed& parsed) {
  static RequestParser parser;
  static RequestHead head;  // as a reactor has it: nothing may stick
  const ExactBytes bytes(text);
  head.fields.reserve(limits.max_fields);
  const uint32_t length = parser.read_usual(bytes.view(), limits, head);
  if (length == 0) return false;
  EXPECT_TRUE(parsed.complete) << text;
  EXPECT_FALSE(parsed.refusal) << parsed.refusal.what << ": " << text;
  EXPECT_EQ(length, parsed.length) << text;
  EXPECT_EQ(all_of(head), all_of(parsed.head)) << text;
  return true;
}

inline Parsed parse_strictly(std::string_view text, const Limits& limits, size_t piece) {
  const HeadScanner::Result result = scan(text, limits, piece).result;
  Parsed parsed;
  parsed.refusal = result.refusal;
  if (result.outcome != ScanOutcome::complete) return parsed;
  parsed.complete = true;
  parsed.length = result.length;
  parsed.bytes = std::make_unique<ExactBytes>(text.substr(0, result.length));
  static RequestParser parser;  // one for all, as a reactor has it: nothing may stick
  parsed.refusal = parser.parse(parsed.bytes->view(), limits, parsed.head, result.plain_target);
  return parsed;
}

inline Parsed parse(std::string_view text, const Limits& limits = {}, size_t piece = 0) {
  Parsed parsed = parse_strictly(text, limits, piece);
  agrees_with_usual(text, limits, parsed);
  return parsed;
}

/// The status that the head gets whole, a byte at a time and cut in two at each place: the same, or the test
/// fails. 0: accepted. -1: incomplete.
inline int verdict(std::string_view text, const Limits& limits = {}) {
  const auto status_of = [](const Parsed& parsed) {
    return parsed.complete || parsed.refusal ? static_cast<int>(parsed.refusal.status) : -1;
  };
  const Parsed whole = parse(text, limits);
  for (size_t piece = 1; piece <= text.size(); piece += piece < 40 ? 1 : 97) {
    const Parsed cut = parse(text, limits, piece);
    EXPECT_EQ(status_of(cut), status_of(whole)) << "in pieces of " << piece << ": " << text;
    EXPECT_STREQ(cut.refusal.what, whole.refusal.what) << "in pieces of " << piece << ": " << text;
    EXPECT_EQ(cut.length, whole.length) << text;
  }
  return status_of(whole);
}

/// A request with one field, or with any lines, besides Host.
inline std::string with_lines(std::string_view lines, std::string_view request_line = "POST / HTTP/1.1") {
  return std::string(request_line) + "\r\nHost: a\r\n" + std::string(lines) + "\r\n";
}

/// All that a decoder made of `text`, fed in pieces.
struct Decoded {
  BodyOutcome outcome = BodyOutcome::more;
  Refusal refusal;
  std::string data;
  size_t pieces = 0;    ///< `data` steps
  size_t consumed = 0;  ///< of all the text
  uint64_t received = 0;
  std::vector<std::pair<std::string, std::string>> trailers;
};

inline Decoded decode(BodyDecoder& decoder, std::string_view text, size_t piece = 0) {
  Decoded decoded;
  size_t have = piece == 0 ? text.size() : 0;
  for (;;) {
    const ExactBytes bytes(text.substr(decoded.consumed, have - decoded.consumed));
    const BodyDecoder::Step step = decoder.next(bytes.view());
    EXPECT_LE(step.consumed, bytes.view().size());
    decoded.consumed += step.consumed;
    decoded.outcome = step.outcome;
    if (step.outcome == BodyOutcome::data) {
      EXPECT_FALSE(step.data.empty());
      EXPECT_GE(step.data.data(), bytes.view().data());
      EXPECT_EQ(step.data.data() + step.data.size(), bytes.view().data() + step.consumed);
      decoded.data += step.data;
      ++decoded.pieces;
      continue;
    }
    if (step.outcome == BodyOutcome::more) {
      EXPECT_EQ(step.consumed, bytes.view().size());
      if (have < text.size()) {
        have = std::min(have + piece, text.size());
        continue;
      }
    }
    decoded.refusal = step.refusal;
    break;
  }
  decoded.received = decoder.received();
  for (const Field& field : decoder.trailers()) {
    decoded.trailers.emplace_back(field.name, field.value);
  }
  return decoded;
}

}  // namespace lastcall::testing
