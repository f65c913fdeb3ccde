#include "requests.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace lastcall::load {
namespace {

std::string make_body(uint64_t bytes, bool chunked) {
  constexpr uint64_t kChunkBytes = 16 * 1024;
  if (!chunked) return std::string(bytes, 'x');
  std::string body;
  for (uint64_t left = bytes; left > 0;) {
    uint64_t size = std::min(left, kChunkBytes);
    body += fmt::format("{:x}\r\n", size);
    body.append(size, 'x').append("\r\n");
    left -= size;
  }
  return body.append("0\r\n\r\n");
}

std::string make_head(const LoadOptions& options, const Address& target, const std::string& path,
                      bool fresh) {
  bool local = target.kind == Address::Kind::unix_path;
  std::string head =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", options.method, path, local ? "localhost" : target.text);
  for (const std::string& header : options.headers) head.append(header).append("\r\n");
  if (options.chunked) {
    head.append("Transfer-Encoding: chunked\r\n");
  } else if (options.body_bytes > 0 || options.method == "POST" || options.method == "PUT") {
    head.append(fmt::format("Content-Length: {}\r\n", options.body_bytes));
  }
  if (fresh) head.append("Connection: close\r\n");
  return head.append("\r\n");
}

}  // namespace

Requests::Requests(const LoadOptions& options)
    : paths_(options.paths.size()), body_(make_body(options.body_bytes, options.chunked)) {
  for (const Address& target : options.targets) {
    for (const std::string& path : options.paths) {
      for (bool fresh : {false, true}) heads_.push_back(make_head(options, target, path, fresh));
    }
  }
}

}  // namespace lastcall::load
