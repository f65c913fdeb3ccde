#pragma once

#include <string>
#include <string_view>

namespace lastcall::bench {

/// As wrk sends it.
inline constexpr std::string_view kWrk = "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// What a browser behind a balancer sends with a request; with Host 20 fields.
inline constexpr std::string_view kBrowserFields =
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://www.example.com/users/1234\r\n"
    "Cookie: session=6f1c2a9be07d4c53a8e2; theme=dark; consent=analytics%3Dno%26marketing%3Dno\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-User: ?1\r\n"
    "If-Modified-Since: Wed, 31 Dec 2025 23:00:00 GMT\r\n"
    "If-None-Match: \"5f2b-63a1c9d04e7c0\"\r\n"
    "Cache-Control: max-age=0\r\n"
    "X-Forwarded-For: 203.0.113.7\r\n"
    "X-Forwarded-Proto: https\r\n"
    "X-Request-Id: 0f6b2c1d-93aa-4a37-8f5e-1f9a7c3e52d4\r\n"
    "Priority: u=0, i\r\n"
    "Connection: keep-alive\r\n";

/// What a form sends, url-encoded.
inline constexpr std::string_view kForm =
    "name=Ada+Lovelace&city=London&note=written+before+there+was+a+machine+to+run+it+on&sum=42";

/// `line`: "GET /plaintext"; `fields`: complete lines.
[[nodiscard]] inline std::string request(std::string_view line, std::string_view fields = "",
                                         std::string_view body = "") {
  return std::string(line) + " HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n" + std::string(fields) + "\r\n" +
         std::string(body);
}

/// A browser's request for a page with a query.
[[nodiscard]] inline std::string browser_request(
    std::string_view target = "/users/1234/posts?page=2&sort=newest") {
  return request("GET " + std::string(target), kBrowserFields);
}

[[nodiscard]] inline std::string form_request(std::string_view target) {
  return request("POST " + std::string(target),
                 "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " +
                     std::to_string(kForm.size()) + "\r\n",
                 kForm);
}

/// The same request `count` times, written at once.
[[nodiscard]] inline std::string pipelined(std::string_view one, size_t count) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += one;
  return all;
}

}  // namespace lastcall::bench
