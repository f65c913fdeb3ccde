#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"

namespace lastcall::load {

/// The bytes of every request, made once: a head for each target, path and kind of client, and one body.
class Requests {
 public:
  explicit Requests(const LoadOptions& options);

  [[nodiscard]] std::string_view head(size_t target, size_t path, bool fresh) const noexcept {
    return heads_[(target * paths_ + path) * 2 + (fresh ? 1 : 0)];
  }
  [[nodiscard]] std::string_view body() const noexcept { return body_; }  ///< with its chunk lines
  [[nodiscard]] size_t paths() const noexcept { return paths_; }

 private:
  size_t paths_;
  std::vector<std::string> heads_;
  std::string body_;
};

}  // namespace lastcall::load
