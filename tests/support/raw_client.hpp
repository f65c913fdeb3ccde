#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>

namespace lastcall {

enum class StreamEnd { eof, reset, timeout };
[[nodiscard]] std::string_view to_string(StreamEnd end) noexcept;

/// A response as it came over the wire.
struct HttpAnswer {
  int status = 0;       ///< 0: not even a status line came
  std::string version;  ///< "HTTP/1.1"
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::vector<size_t> chunks;  ///< sizes of a chunked body's pieces
  bool chunked = false;
  bool complete = false;  ///< false: malformed, or cut off before its end

  [[nodiscard]] std::string header(std::string_view name) const;  ///< the first; empty when there is none
  [[nodiscard]] size_t count(std::string_view name) const;
};

struct ClientOptions {
  int receive_buffer_bytes = 0;  ///< SO_RCVBUF; 0: the system's
};

/// The client's end of a real connection: blocking, with `patience` as the bound of each read and write.
/// Sending on one thread while another reads is fine.
class RawClient {
 public:
  static constexpr Duration kPatience = 20s;

  RawClient() = default;
  /// To "HOST:PORT", "[V6]:PORT" or "unix:PATH". Check connected().
  explicit RawClient(const std::string& address, ClientOptions options = {});

  [[nodiscard]] bool connected() const noexcept { return static_cast<bool>(fd_); }
  [[nodiscard]] int connect_error() const noexcept { return connect_error_; }  ///< errno
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] std::string local_address() const;

  /// False when the peer does not take all of it.
  bool send(std::string_view bytes) const;
  void half_close() const;
  void close() { fd_.reset(); }
  void reset();  ///< closes with RST

  /// Reads one response; `to_head` when it answers a HEAD request. Interim (1xx) answers are returned too.
  [[nodiscard]] HttpAnswer read_answer(bool to_head = false);
  /// send() and read_answer().
  HttpAnswer ask(std::string_view request);
  /// All that still comes, up to the end. Closes at an end of stream, as clients do.
  [[nodiscard]] std::pair<std::string, StreamEnd> read_all();
  [[nodiscard]] StreamEnd read_end() { return read_all().second; }
  /// Up to `most` bytes of what comes next; empty at the end.
  [[nodiscard]] std::string read_some(size_t most);
  /// Everything up to the first `mark`, with it; less when the stream ends or patience does.
  [[nodiscard]] std::string read_until(std::string_view mark);
  /// True when end or reset arrives within the patience, whatever is unread before it.
  [[nodiscard]] bool wait_hang_up(Duration patience = kPatience) const;
  /// True when bytes, end or reset arrive within the patience.
  [[nodiscard]] bool readable(Duration patience) const;

 private:
  bool fill();
  [[nodiscard]] bool read_line(std::string& line);
  [[nodiscard]] bool read_exactly(size_t count, std::string& into);
  [[nodiscard]] bool read_fields(HttpAnswer& answer);
  [[nodiscard]] bool read_chunks(HttpAnswer& answer);

  Fd fd_;
  int connect_error_ = 0;
  StreamEnd end_ = StreamEnd::timeout;  // how the last fill() failed
  std::string pending_;                 // received, and not used yet
};

}  // namespace lastcall
