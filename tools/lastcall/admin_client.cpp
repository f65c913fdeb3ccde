#include "admin_client.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/fd.hpp>

namespace lastcall::tool {
namespace {

constexpr size_t kPieceBytes = 64 * 1024;

/// One connection, every wait of which ends at the deadline.
class Connection {
 public:
  explicit Connection(Instant deadline) : deadline_(deadline) {}

  /// errno, 0 for none.
  [[nodiscard]] int open(const Address& address) {
    const auto* to = reinterpret_cast<const sockaddr*>(&address.storage);
    fd_ = Fd(::socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd_) return errno;
    if (::connect(fd_.get(), to, address.length) == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    if (!wait(POLLOUT)) return ETIMEDOUT;
    int code = 0;
    socklen_t size = sizeof code;
    return ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? code : errno;
  }

  [[nodiscard]] int send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
      if (sent >= 0) continue;
      if (errno != EAGAIN) return errno;
      if (!wait(POLLOUT)) return ETIMEDOUT;
    }
    return 0;
  }

  /// Everything up to the peer's end, or as soon as `enough(text)`.
  template <class Enough>
  [[nodiscard]] int receive(std::string& text, Enough enough) {
    char piece[kPieceBytes];
    while (text.size() < AdminClient::kMaxAnswerBytes && !enough(text)) {
      const ssize_t count = ::recv(fd_.get(), piece, sizeof piece, 0);
      if (count == 0) return 0;
      if (count > 0) text.append(piece, static_cast<size_t>(count));
      if (count > 0) continue;
      if (errno != EAGAIN) return errno;
      if (!wait(POLLIN)) return ETIMEDOUT;
    }
    return 0;
  }

  void extend(Instant deadline) noexcept { deadline_ = deadline; }

 private:
  [[nodiscard]] bool wait(short events) const {
    for (;;) {
      const Duration left = deadline_ - monotonic_now();
      if (left <= Duration::zero()) return false;
      pollfd ready{.fd = fd_.get(), .events = events, .revents = 0};
      const timespec timeout = to_timespec(left);
      const int count = ::ppoll(&ready, 1, &timeout, nullptr);
      if (count > 0) return true;
      if (count < 0 && errno != EINTR) return false;
    }
  }

  Instant deadline_;
  Fd fd_;
};

/// An answer as far as it has come: where its body begins, and its length. RFC 9112, 2 and 6.
struct Frame {
  int status = 0;
  size_t body = 0;
  size_t length = 0;
};

template <class T>
bool parse_number(std::string_view text, T& number) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  return code == std::errc() && end == text.data() + text.size();
}

bool same_name(std::string_view left, std::string_view right) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(left, right, {}, lower, lower);
}

/// nullopt: its head is not complete, or is none of an answer with a Content-Length. Admin listeners send no
/// other kind, but for streams.
std::optional<Frame> parse_head(std::string_view text) {
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos || !text.starts_with("HTTP/1.")) return {};
  Frame frame{.status = 0, .body = end + 4, .length = 0};
  std::string_view head = text.substr(0, end);
  if (head.size() < 12 || !parse_number(head.substr(9, 3), frame.status)) return {};
  for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n")) {
    head.remove_prefix(at + 2);
    const std::string_view line = head.substr(0, head.find("\r\n"));
    const size_t colon = line.find(": ");
    if (colon == std::string_view::npos || !same_name(line.substr(0, colon), "content-length")) continue;
    if (parse_number(line.substr(colon + 2), frame.length)) return frame;
  }
  return {};
}

bool is_whole(std::string_view text) {
  const std::optional<Frame> frame = parse_head(text);
  return frame && text.size() - frame->body >= frame->length;
}

/// One event, its lines as EventStream writes them.
bool give_event(std::string_view lines, const AdminClient::OnEvent& on_event) {
  std::string_view event, data;
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(line.size() + 1);
    if (line.starts_with("event: ")) event = line.substr(7);
    if (line.starts_with("data: ")) data = line.substr(6);
  }
  return on_event(event, data);
}

}  // namespace

std::unexpected<Error> AdminClient::not_connected(int code) const {
  return system_error("cannot connect to the admin listener at " + address_.text, code);
}

/// `why`: where the code is 0.
std::unexpected<Error> AdminClient::no_answer(int code, const std::string& why) const {
  const std::string what = "no answer from the admin listener at " + address_.text;
  return code != 0 ? system_error(what, code) : error(what + ": " + why);
}

Result<AdminClient> AdminClient::to(const std::string& text) {
  Result<Address> address = parse_address(text);
  if (!address) return std::unexpected(address.error());
  if (address->kind == Address::Kind::inherited)
    return error(text + ": a descriptor is nothing to connect to; give the address that it listens on");
  if (address->kind == Address::Kind::inet && address->port() == 0)
    return error(text + ": port 0 is nothing to connect to; the log line admin_listening has the one in use");
  if (address->dual_stack) {  // any address of this machine: this one is there even where IPv6 is off
    const in_port_t port = htons(address->port());
    const sockaddr_in loopback{
        .sin_family = AF_INET, .sin_port = port, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    reinterpret_cast<sockaddr_in&>(address->storage) = loopback;
    address->length = sizeof loopback;
  }
  return AdminClient(std::move(*address));
}

Result<AdminAnswer> AdminClient::ask(std::string_view method, std::string_view target) const {
  Connection connection(monotonic_now() + kPatience);
  if (int code = connection.open(address_); code != 0) return not_connected(code);
  std::string request;
  request.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: localhost\r\n");
  request.append(method == "POST" ? "Content-Length: 0\r\n" : "").append("Connection: close\r\n\r\n");
  std::string text;
  int code = connection.send(request);
  if (code == 0) code = connection.receive(text, is_whole);
  if (is_whole(text)) {
    const Frame frame = *parse_head(text);
    return AdminAnswer{.status = frame.status, .body = text.substr(frame.body, frame.length)};
  }
  return no_answer(code, text.empty() ? "it closed the connection" : "what it sent is no whole HTTP answer");
}

Result<void> AdminClient::follow(std::string_view target, const OnEvent& on_event) const {
  Connection connection(monotonic_now() + kPatience);
  if (int code = connection.open(address_); code != 0) return not_connected(code);
  // HTTP/1.0: the body comes as it is, up to the end of the connection (RFC 9112, 6.3).
  std::string text;
  int code = connection.send("GET " + std::string(target) + " HTTP/1.0\r\nHost: localhost\r\n\r\n");
  if (code == 0)
    code = connection.receive(text, [](std::string_view t) { return t.find("\r\n\r\n") != t.npos; });
  const size_t head_end = text.find("\r\n\r\n");
  int status = 0;
  if (head_end == std::string::npos || !parse_number(std::string_view(text).substr(9, 3), status))
    return no_answer(code, "what it sent is no HTTP answer");
  if (status != 200) return no_answer(0, "it said " + std::to_string(status));
  text.erase(0, head_end + 4);
  for (;;) {
    for (size_t end = text.find("\n\n"); end != std::string::npos; end = text.find("\n\n")) {
      connection.extend(monotonic_now() + kPatience);
      const bool goes_on = give_event(std::string_view(text).substr(0, end + 1), on_event);
      text.erase(0, end + 2);
      if (!goes_on) return {};
    }
    const size_t before = text.size();
    code = connection.receive(text, [](std::string_view t) { return t.find("\n\n") != t.npos; });
    if (code != 0) return no_answer(code, "");
    if (text.size() == before || text.find("\n\n") == std::string::npos) return {};
  }
}

}  // namespace lastcall::tool
