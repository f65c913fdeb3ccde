#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <lastcall/core/buffer.hpp>
#include <lastcall/core/time.hpp>

namespace lastcall {

/// "Sun, 06 Nov 1994 08:49:37 GMT": the 29 bytes of an HTTP date (RFC 9110 5.6.7) into `out`. `wall` is since
/// 1970 UTC.
inline constexpr size_t kHttpDateBytes = 29;
void write_http_date(Duration wall, char* out) noexcept;

/// What a response head says, beside status line, Server and Date.
struct ResponseHead {
  enum class Framing : uint8_t { none, length, chunked };  // none: no body, or to the end of the connection
  enum class Persistence : uint8_t { implied, close, keep_alive };  // keep_alive is said to HTTP/1.0 only

  uint16_t status = 200;
  Framing framing = Framing::length;
  Persistence persistence = Persistence::implied;
  bool omit_date = false;    ///< `fields` has one
  bool omit_server = false;  ///< `fields` has one
  uint64_t length = 0;
  std::string_view content_type{};  ///< empty: none, or `fields` has one
  std::string_view fields{};        ///< complete lines, each with CRLF
};

/// Writes response heads; the lines that are alike for a second are put together once a second. One a
/// reactor.
class ResponseHeadWriter {
 public:
  explicit ResponseHeadWriter(std::string_view server);

  /// Call when the second may have changed; cheap when it has not.
  void set_time(Duration wall) {
    const Duration since = wall - second_;
    if (since < Duration::zero() || since >= std::chrono::seconds(1)) [[unlikely]]
      refresh(wall);
  }
  /// Appends status line, Server, Date, framing, persistence, the given fields and the empty line.
  void write(const ResponseHead& head, Buffer& out) const;
  /// Whether write_usual() can be called for this type. Not, where Server and the type are longer than usual.
  /// `lasting_type`: not empty, and where it points is never written to.
  [[nodiscard]] bool is_usual(std::string_view lasting_type) {
    // Whoever gives the same piece of memory that never changes means the same type.
    if (lasting_type.data() != usual_type_.data() || lasting_type.size() != usual_type_.size()) [[unlikely]]
      prepare_usual(lasting_type);
    return usual_size_ != 0;
  }
  /// Appends the whole of an answer as most are: 200, kept alive as HTTP/1.1 implies, without fields of its
  /// own, with the type that is_usual() was asked for last, of this second.
  void write_usual(std::string_view body, Buffer& out) const;

 private:
  static constexpr size_t kUsualBytes = 128;

  void refresh(Duration wall);
  void prepare_usual(std::string_view lasting_type);

  Duration second_{};  // since 1970: when the one began that the lines are of
  std::string server_line_;
  std::string date_line_;
  std::string ok_prefix_;  // status line of 200, Server and Date
  // The same with the type and "Content-Length: " behind it.
  char usual_[kUsualBytes] = {};
  size_t usual_size_ = 0;        // 0: too long for here
  std::string_view usual_type_;  // with which it was made
};

/// Decimal digits of `value` at `out` (room for 20); returns the end.
char* write_decimal(uint64_t value, char* out) noexcept;

}  // namespace lastcall
