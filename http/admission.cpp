#include <algorithm>
#include <string>

#include <lastcall/http/admission.hpp>
#include <lastcall/http/server.hpp>

namespace lastcall {
namespace {

constexpr std::string_view kAllListeners = "all";

Result<void> check_proxy_protocol(const ServerOptions& options, const TrustedProxies& trusted) {
  for (const std::string& text : options.proxy_protocol) {
    if (text != kAllListeners && std::ranges::find(options.listen, text) == options.listen.end())
      return error("--proxy-protocol " + text + ": is none of the addresses of --listen, nor 'all'");
  }
  if (!options.proxy_protocol.empty() && trusted.empty())
    return error("--proxy-protocol: needs --trusted-proxies, or nobody could connect");
  return {};
}

}  // namespace

Result<std::unique_ptr<Admission>> Admission::make(const ServerOptions& options) {
  auto admission = std::make_unique<Admission>();
  Result<TrustedProxies> trusted = TrustedProxies::parse(options.trusted_proxies);
  if (!trusted) return error("--trusted-proxies: " + trusted.error().message);
  if (Result<void> checked = check_proxy_protocol(options, *trusted); !checked)
    return std::unexpected(checked.error());
  const bool trusting = !trusted->empty();
  admission->forwarded =
      options.forwarded_header.value_or(trusting ? ForwardedHeader::x_forwarded_for : ForwardedHeader::off);
  if (admission->forwarded != ForwardedHeader::off && !trusting)
    return error("--forwarded-header: needs --trusted-proxies, or nobody's word would count");
  admission->trusted = std::move(*trusted);
  admission->limits_in_flight = options.max_in_flight != 0;
  admission->max_in_flight = options.max_in_flight;
  if (options.max_connections_per_client != 0) admission->clients.emplace(options.max_connections_per_client);
  return admission;
}

void Admission::reload(const ServerOptions& options) noexcept {
  if (limits_in_flight && options.max_in_flight != 0)
    max_in_flight.store(options.max_in_flight, std::memory_order_relaxed);
  if (clients && options.max_connections_per_client != 0)
    clients->set_most(options.max_connections_per_client);
}

Preface Admission::preface(const ServerOptions& options, const std::string& listen) {
  const bool proxied = std::ranges::any_of(options.proxy_protocol, [&listen](const std::string& text) {
    return text == listen || text == kAllListeners;
  });
  return proxied ? Preface::proxy : Preface::none;
}

}  // namespace lastcall
