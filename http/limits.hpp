#pragma once

#include <cstdint>

namespace lastcall {

/// Every length that HTTP input may reach, and the answer beyond it.
struct Limits {
  uint32_t max_header_bytes = 16 * 1024;  ///< request line and fields with the empty line; 431 beyond
  uint32_t max_target_bytes = 8 * 1024;   ///< request target; 414 beyond
  uint32_t max_fields = 128;              ///< header fields of a request; 431 beyond
  uint64_t max_body_bytes = 1024 * 1024;  ///< body of a request after chunked decoding; 413 beyond
  uint32_t max_trailer_bytes = 8 * 1024;  ///< trailer section of a chunked body; 431 beyond
};

inline constexpr uint32_t kMaxChunkLineBytes = 1024;  ///< chunk size with extensions and CRLF; 400 beyond
inline constexpr uint32_t kMaxChunkSizeDigits = 15;   ///< hex digits of a chunk size: 2^60-1; 400 beyond
inline constexpr uint32_t kMaxLeadingEmptyLines =
    4;                                           ///< CRLFs tolerated before a request line (RFC 9112 2.2)
inline constexpr uint32_t kMaxRouteParams = 16;  ///< {params} of one route pattern

}  // namespace lastcall
