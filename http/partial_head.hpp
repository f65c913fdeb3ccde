#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include <lastcall/core/time.hpp>
#include <lastcall/http/head_scanner.hpp>

namespace lastcall {

/// A HeadScanner that takes memory only while a part of a head is here: most heads come whole, and most
/// connections are idle.
class PartialHead {
 public:
  /// As HeadScanner::scan().
  [[nodiscard]] HeadScanner::Result scan(std::string_view bytes, const Limits& limits) {
    if (part_ != nullptr) return part_->scanner.scan(bytes, limits);
    HeadScanner scanner;
    const HeadScanner::Result result = scanner.scan(bytes, limits);
    if (result.outcome == HeadScanner::Result::Outcome::incomplete) keep(scanner);
    return result;
  }
  void reset() noexcept {
    if (part_ != nullptr) spare_ = std::move(part_);
  }

  /// A byte of the request line has come, and not all of the head.
  [[nodiscard]] bool started() const noexcept { return part_ != nullptr && part_->scanner.started(); }
  /// … and it was then.
  void begin(Instant now) noexcept { part_->began = now; }
  /// `now` for a head that came whole.
  [[nodiscard]] Instant began(Instant now) const noexcept { return part_ != nullptr ? part_->began : now; }

 private:
  struct Part {
    HeadScanner scanner;
    Instant began{};
  };
  void keep(const HeadScanner& scanner) {
    part_ = spare_ != nullptr ? std::move(spare_) : std::make_unique<Part>();
    *part_ = {.scanner = scanner};
  }

  inline static thread_local std::unique_ptr<Part> spare_;  // of the last head that came in parts
  std::unique_ptr<Part> part_;
};

}  // namespace lastcall
