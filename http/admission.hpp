#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include <lastcall/core/error.hpp>
#include <lastcall/http/forwarded_header.hpp>
#include <lastcall/http/handler.hpp>
#include <lastcall/net/client_table.hpp>
#include <lastcall/net/preface.hpp>
#include <lastcall/net/trusted_proxies.hpp>

namespace lastcall {

struct ServerOptions;

/// Who comes in, and whose word counts for whom: what the reactors of one server share. Constant, but for
/// what it counts and the numbers of its limits. From any thread.
struct Admission {
  /// From `trusted_proxies` and the rest; an error names the flag.
  [[nodiscard]] static Result<std::unique_ptr<Admission>> make(const ServerOptions& options);
  /// What the connections of a listener begin with, by the text it was asked for with.
  [[nodiscard]] static Preface preface(const ServerOptions& options, const std::string& listen);

  /// The limits that there are, with other numbers.
  void reload(const ServerOptions& options) noexcept;

  /// Somebody has to know the other end of each connection: from the accept on, whoever asks for it.
  [[nodiscard]] bool wants_peers() const noexcept {
    return clients.has_value() || forwarded != ForwardedHeader::off;
  }

  TrustedProxies trusted{};
  ForwardedHeader forwarded = ForwardedHeader::off;
  bool limits_in_flight = false;           ///< for good: who was counted in is counted out
  std::atomic<uint32_t> max_in_flight{0};  ///< requests, where they are limited
  InFlight in_flight{};                    ///< counted where there is a limit only
  std::optional<ClientTable> clients{};
};

}  // namespace lastcall
