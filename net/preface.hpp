#pragma once

#include <cstdint>

namespace lastcall {

/// What stands in front of the first request of the connections of a listener.
enum class Preface : uint8_t {
  none,
  proxy,  ///< a PROXY header (proxy_header.hpp) by which a trusted proxy says whom it speaks for
};

}  // namespace lastcall
