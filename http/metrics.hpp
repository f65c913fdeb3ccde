#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <lastcall/http/server_status.hpp>

namespace lastcall {

/// Writes the Prometheus text exposition format, version 0.0.4: families one after the other, each with HELP
/// and TYPE, then its samples.
class MetricsWriter {
 public:
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  /// `type`: "counter" or "gauge". Samples belong to it until the next one.
  void family(std::string_view name, std::string_view type, std::string_view help);
  /// @{
  /// Label values may hold any bytes: what the format needs escaped is, and what is not ASCII must be UTF-8.
  void sample(uint64_t value, Labels labels = {});
  void sample(double value, Labels labels = {});
  /// @}
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void begin_sample(Labels labels);

  std::string text_;
  std::string_view name_;
};

/// The content of GET /metrics of the admin listener. Nothing here is asked of a reactor: the status is what
/// their counters say.
[[nodiscard]] std::string to_prometheus(const ServerStatus& status);

}  // namespace lastcall
