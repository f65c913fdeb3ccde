#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/http/chunk_line.hpp>
#include <lastcall/http/field_scanner.hpp>
#include <lastcall/http/limits.hpp>
#include <lastcall/http/request_head.hpp>
#include <lastcall/http/status.hpp>

namespace lastcall {

/// Frames a request body, RFC 9112 6 and 7: by length, or chunked with our own strict decoder (CRLF only, at
/// most kMaxChunkSizeDigits hex digits, extension grammar of 7.1.1, bounded lines, trailers checked like
/// headers and without the fields that a trailer may not carry: framing, routing, authentication, Host,
/// Connection, Content-*, ...). Resumable at every byte; the answers never depend on the cuts.
class BodyDecoder {
 public:
  struct Step {
    enum class Outcome : uint8_t { more, data, complete, refused } outcome = Outcome::more;
    size_t consumed = 0;  ///< bytes of the input that are done with
    std::string_view
        data;         ///< data: body bytes, a view into the input; a chunk is cut only where the input was
    Refusal refusal;  ///< refused: 400, 413 or 431
  };

  void start_length(uint64_t length) noexcept;
  void start_empty() noexcept {  ///< complete from the start
    if (!empty_) start(State::done);
    empty_ = true;
  }
  void start_chunked(const Limits& limits) noexcept;
  /// 413 as soon as the length or a chunk size says that the body will have more. Lasts over starts.
  void set_max_body_bytes(uint64_t limit) noexcept { max_body_bytes_ = limit; }

  /// Takes the next piece. `data`: call again with what is left; `more`: all was consumed, feed more;
  /// `complete`: the body ended, `consumed` is where the next request begins. A body of length 0 completes at
  /// the first call. Once `complete` or `refused`, says so again until the next start.
  [[nodiscard]] Step next(std::string_view bytes) noexcept;

  [[nodiscard]] bool complete() const noexcept { return state_ == State::done; }
  [[nodiscard]] uint64_t received() const noexcept { return received_; }  ///< body bytes so far
  /// Valid once complete, until the next start.
  [[nodiscard]] const std::vector<Field>& trailers() const noexcept { return trailers_; }

 private:
  enum class State : uint8_t {
    done,
    refused,
    length,
    chunk_line,
    data,
    data_return,
    data_line_feed,
    trailers
  };

  void start(State state) noexcept {
    empty_ = false;
    state_ = state;
    remaining_ = received_ = 0;
    refusal_ = {};
    line_.clear();
    trailers_.clear();
  }
  Step next_length(std::string_view bytes) noexcept;
  Step next_chunked(std::string_view bytes) noexcept;
  Step take_data(std::string_view bytes, size_t at) noexcept;
  Step take_trailers(std::string_view bytes, size_t at) noexcept;
  Step refuse(Refusal refusal) noexcept;
  Refusal take_framing(char c) noexcept;
  Refusal take_chunk_line(char c) noexcept;
  Refusal keep_trailers(std::string_view section) noexcept;

  State state_ = State::done;
  bool empty_ = true;  // nothing was there to decode since the last start
  uint32_t max_trailer_bytes_ = 0;
  uint32_t max_trailers_ = 0;
  uint64_t remaining_ = 0;  // of the body by length, or of the chunk
  uint64_t received_ = 0;
  uint64_t max_body_bytes_ = UINT64_MAX;
  ChunkLine chunk_line_;
  FieldScanner trailer_scanner_;
  Refusal refusal_;
  std::string line_;  // the trailer section; grows only when there are trailers
  std::vector<Field> trailers_;
};

}  // namespace lastcall
