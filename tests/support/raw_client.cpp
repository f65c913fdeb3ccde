#include "tests/support/raw_client.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include <lastcall/core/check.hpp>
#include <lastcall/net/address.hpp>

namespace lastcall {
namespace {

constexpr size_t kReadBytes = 256 * 1024;

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

void set_patience(int fd, Duration patience) {
  timeval limit{.tv_sec = patience / 1s, .tv_usec = (patience % 1s) / 1us};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

/// 0, or errno.
int finish_connecting(int fd) {
  pollfd entry{.fd = fd, .events = POLLOUT, .revents = 0};
  if (TEMP_FAILURE_RETRY(::poll(&entry, 1, static_cast<int>(to_ms(RawClient::kPatience)))) != 1)
    return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

}  // namespace

std::string_view to_string(StreamEnd end) noexcept {
  switch (end) {
    case StreamEnd::eof: return "end of stream";
    case StreamEnd::reset: return "reset";
    case StreamEnd::timeout: return "timeout";
  }
  return "?";
}

std::string HttpAnswer::header(std::string_view name) const {
  auto found = std::ranges::find_if(headers, [&](const auto& field) { return same_name(field.first, name); });
  return found == headers.end() ? std::string() : found->second;
}

size_t HttpAnswer::count(std::string_view name) const {
  return static_cast<size_t>(
      std::ranges::count_if(headers, [&](const auto& field) { return same_name(field.first, name); }));
}

RawClient::RawClient(const std::string& address, ClientOptions options) {
  Result<Address> at = parse_address(address);
  LASTCALL_CHECK(at.has_value());
  Fd fd(::socket(at->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  LASTCALL_CHECK(static_cast<bool>(fd));
  set_patience(fd.get(), kPatience);
  if (int size = options.receive_buffer_bytes;
      size != 0) {  // before connect(2), which fixes the window scale
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  }
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at->storage), at->length) != 0)
    connect_error_ = errno;
  // It goes on behind our back. Kernel work of an io_uring in this process interrupts like a signal.
  if (connect_error_ == EINTR) connect_error_ = finish_connecting(fd.get());
  if (connect_error_ != 0) return;
  int one = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // refused for unix sockets
  fd_ = std::move(fd);
}

std::string RawClient::local_address() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return format_address(reinterpret_cast<const sockaddr*>(&address), size);
}

bool RawClient::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void RawClient::half_close() const {
  ::shutdown(fd_.get(), SHUT_WR);
}

void RawClient::reset() {
  linger hard{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  fd_.reset();
}

bool RawClient::fill() {
  if (end_ != StreamEnd::timeout) return false;  // the kernel tells of a reset only once
  size_t before = pending_.size();
  pending_.resize(before + kReadBytes);
  ssize_t got;
  do got = ::recv(fd_.get(), pending_.data() + before, kReadBytes, 0);
  while (got < 0 && errno == EINTR);
  pending_.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got > 0) return true;
  end_ = got == 0 ? StreamEnd::eof : errno == EAGAIN ? StreamEnd::timeout : StreamEnd::reset;
  return false;
}

bool RawClient::read_line(std::string& line) {
  size_t end;
  while ((end = pending_.find("\r\n")) == std::string::npos) {
    if (!fill()) return false;
  }
  line = pending_.substr(0, end);
  pending_.erase(0, end + 2);
  return true;
}

bool RawClient::read_exactly(size_t count, std::string& into) {
  while (pending_.size() < count) {  // moved over as it comes: bodies may be large
    count -= pending_.size();
    into += pending_;
    pending_.clear();
    if (!fill()) return false;
  }
  into.append(pending_, 0, count);
  pending_.erase(0, count);
  return true;
}

bool RawClient::read_fields(HttpAnswer& answer) {
  for (std::string line;;) {
    if (!read_line(line)) return false;
    if (line.empty()) return true;
    size_t colon = line.find(": ");
    if (colon == std::string::npos) return false;
    answer.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
}

bool RawClient::read_chunks(HttpAnswer& answer) {
  for (std::string line;;) {
    if (!read_line(line)) return false;
    size_t size = 0;
    auto [end, code] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
    if (code != std::errc() || end != line.data() + line.size()) return false;
    if (size == 0) return read_line(line) && line.empty();
    answer.chunks.push_back(size);
    if (!read_exactly(size, answer.body) || !read_line(line) || !line.empty()) return false;
  }
}

HttpAnswer RawClient::read_answer(bool to_head) {
  HttpAnswer answer;
  std::string line;
  if (!read_line(line)) return answer;
  if (line.size() < 13 || line[8] != ' ' || line[12] != ' ') return answer;
  answer.version = line.substr(0, 8);
  answer.status = std::atoi(line.substr(9, 3).c_str());
  if (!read_fields(answer)) return answer;
  answer.chunked = same_name(answer.header("Transfer-Encoding"), "chunked");
  std::string length = answer.header("Content-Length");
  if (to_head || answer.status < 200 || answer.status == 204 || answer.status == 304) {
    answer.complete = true;
  } else if (answer.chunked) {
    answer.complete = read_chunks(answer);
  } else if (!length.empty()) {
    answer.complete = read_exactly(std::strtoul(length.c_str(), nullptr, 10), answer.body);
  } else {
    auto [rest, end] = read_all();
    answer.body = std::move(rest);
    answer.complete = end == StreamEnd::eof;
  }
  return answer;
}

HttpAnswer RawClient::ask(std::string_view request) {
  send(request);
  return read_answer(request.starts_with("HEAD "));
}

std::pair<std::string, StreamEnd> RawClient::read_all() {
  while (fill()) {
  }
  if (end_ == StreamEnd::eof) fd_.reset();
  return {std::exchange(pending_, {}), end_};
}

std::string RawClient::read_some(size_t most) {
  if (pending_.empty()) {
    std::string bytes(most, '\0');
    ssize_t got = TEMP_FAILURE_RETRY(::recv(fd_.get(), bytes.data(), most, 0));
    bytes.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return bytes;
  }
  std::string bytes = pending_.substr(0, most);
  pending_.erase(0, bytes.size());
  return bytes;
}

std::string RawClient::read_until(std::string_view mark) {
  size_t at = 0;
  while ((at = pending_.find(mark)) == std::string::npos) {
    if (!fill()) return std::exchange(pending_, {});
  }
  std::string bytes = pending_.substr(0, at + mark.size());
  pending_.erase(0, bytes.size());
  return bytes;
}

bool RawClient::wait_hang_up(Duration patience) const {
  pollfd entry{.fd = fd_.get(), .events = POLLRDHUP, .revents = 0};
  return TEMP_FAILURE_RETRY(::poll(&entry, 1, static_cast<int>(to_ms(patience)))) == 1;
}

bool RawClient::readable(Duration patience) const {
  pollfd entry{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  return !pending_.empty() || TEMP_FAILURE_RETRY(::poll(&entry, 1, static_cast<int>(to_ms(patience)))) == 1;
}

}  // namespace lastcall
