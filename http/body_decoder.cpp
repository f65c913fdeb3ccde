#include <algorithm>

#include <lastcall/http/body_decoder.hpp>
#include <lastcall/http/chars.hpp>
#include <lastcall/http/field_rules.hpp>

namespace lastcall {
namespace {

constexpr Refusal kTooLarge = {413, "body too large"};
constexpr uint32_t kEmptyLineBytes = 2;

}  // namespace

void BodyDecoder::start_length(uint64_t length) noexcept {
  start(State::length);
  remaining_ = length;
}

void BodyDecoder::start_chunked(const Limits& limits) noexcept {
  start(State::chunk_line);
  chunk_line_ = {};
  trailer_scanner_ = {};
  max_trailer_bytes_ = std::min(limits.max_trailer_bytes, UINT32_MAX - kEmptyLineBytes);
  max_trailers_ = limits.max_fields;
}

BodyDecoder::Step BodyDecoder::next(std::string_view bytes) noexcept {
  switch (state_) {
    case State::done: return {Step::Outcome::complete, 0, {}, {}};
    case State::refused: return {Step::Outcome::refused, 0, {}, refusal_};
    case State::length: return next_length(bytes);
    default: return next_chunked(bytes);
  }
}

BodyDecoder::Step BodyDecoder::refuse(Refusal refusal) noexcept {
  state_ = State::refused;
  refusal_ = refusal;
  return {Step::Outcome::refused, 0, {}, refusal};
}

BodyDecoder::Step BodyDecoder::next_length(std::string_view bytes) noexcept {
  if (received_ > max_body_bytes_ || remaining_ > max_body_bytes_ - received_) return refuse(kTooLarge);
  if (remaining_ == 0) {
    state_ = State::done;
    return {Step::Outcome::complete, 0, {}, {}};
  }
  return take_data(bytes, 0);
}

BodyDecoder::Step BodyDecoder::next_chunked(std::string_view bytes) noexcept {
  size_t at = 0;
  while (at < bytes.size() && state_ != State::data && state_ != State::trailers) {
    if (const Refusal refusal = take_framing(bytes[at])) return refuse(refusal);
    ++at;
  }
  if (state_ == State::data) return take_data(bytes, at);
  if (state_ == State::trailers) return take_trailers(bytes, at);
  return {Step::Outcome::more, at, {}, {}};
}

BodyDecoder::Step BodyDecoder::take_data(std::string_view bytes, size_t at) noexcept {
  const std::string_view data = bytes.substr(at, remaining_);
  if (data.empty()) return {Step::Outcome::more, at, {}, {}};
  remaining_ -= data.size();
  received_ += data.size();
  if (remaining_ == 0 && state_ == State::data) state_ = State::data_return;
  return {Step::Outcome::data, at + data.size(), data, {}};
}

Refusal BodyDecoder::take_framing(char c) noexcept {
  if (state_ == State::chunk_line) return take_chunk_line(c);
  if (state_ == State::data_return) {
    if (c != '\r') return {400, "chunk data not followed by CRLF"};
    state_ = State::data_line_feed;
  } else {
    if (c != '\n') return {400, "chunk data not followed by CRLF"};
    chunk_line_ = {};
    state_ = State::chunk_line;
  }
  return {};
}

Refusal BodyDecoder::take_chunk_line(char c) noexcept {
  const ChunkLine::Outcome outcome = chunk_line_.take(c);
  if (outcome == ChunkLine::Outcome::refused) return {400, chunk_line_.what()};
  if (received_ > max_body_bytes_ || chunk_line_.size() > max_body_bytes_ - received_) return kTooLarge;
  if (outcome == ChunkLine::Outcome::more) return {};
  remaining_ = chunk_line_.size();
  state_ = remaining_ == 0 ? State::trailers : State::data;
  return {};
}

// No copy is made of an empty section, the common case. One that was cut is gathered in line_, which may then
// hold bytes of the next request until the scan says where the section ended.
BodyDecoder::Step BodyDecoder::take_trailers(std::string_view bytes, size_t at) noexcept {
  const uint32_t limit = max_trailer_bytes_ + kEmptyLineBytes;
  const size_t before = line_.size();
  std::string_view section = bytes.substr(at, limit - before);
  if (before > 0) {
    line_ += section;
    section = line_;
  }
  const ScanResult result = trailer_scanner_.scan(section, limit, max_trailers_);
  if (result.outcome == ScanResult::Outcome::refused) return refuse(result.refusal);
  if (result.outcome == ScanResult::Outcome::incomplete) {
    if (before == 0) line_ = section;
    return {Step::Outcome::more, bytes.size(), {}, {}};
  }
  if (result.length > kEmptyLineBytes) {
    if (before == 0) line_ = section;
    line_.resize(result.length);
    if (const Refusal refusal = keep_trailers(line_)) return refuse(refusal);
  }
  state_ = State::done;
  return {Step::Outcome::complete, at + result.length - before, {}, {}};
}

/// `section`: scanned, so that every line is a name, ':' and a value.
Refusal BodyDecoder::keep_trailers(std::string_view section) noexcept {
  while (section.size() > kEmptyLineBytes) {
    const size_t colon = section.find(':');
    const size_t line_end = section.find('\r');
    const std::string_view name = section.substr(0, colon);
    if (forbidden_in_trailers(name)) return {400, "field not allowed in trailers"};
    trailers_.push_back({name, chars::trim(section.substr(colon + 1, line_end - colon - 1))});
    section.remove_prefix(line_end + 2);
  }
  return {};
}

}  // namespace lastcall
