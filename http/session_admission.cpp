#include <memory>
#include <utility>

#include <lastcall/http/admission.hpp>
#include <lastcall/http/forwarded.hpp>
#include <lastcall/http/session.hpp>
#include <lastcall/net/address.hpp>
#include <lastcall/net/proxy_header.hpp>

// Session: who is at the other end, and whether it may come in.

namespace lastcall {
namespace {

// What a leaving_note() says.
constexpr std::string_view kAwaitsHeader = "proxy";
constexpr std::string_view kNamed = "peer ";

}  // namespace

bool Session::on_connect(const PeerAddress& peer, Preface preface) {
  know_peer(peer);
  if (preface == Preface::none) return enter_client();
  if (peer.kind == PeerAddress::Kind::unknown) {  // gone already: a balancer's look whether we are there
    close(CloseWish::direct, CloseReason::peer_reset);
    return false;
  }
  if (!peer_->trusted) {
    turn_away(TurnedAway::untrusted_proxy, "is not among the trusted proxies");
    close(CloseWish::direct, CloseReason::refused);
    return false;
  }
  state_ = State::proxy;
  return true;
}

void Session::know_peer(const PeerAddress& peer) {
  const Admission* const admission = environment_.options.admission;
  peer_ = std::make_unique<KnownPeer>(
      KnownPeer{.address = peer, .trusted = admission != nullptr && admission->trusted.contains(peer)});
}

void Session::name_peer(const PeerAddress& peer) {
  know_peer(peer);
  peer_->text = peer.text();
}

std::string Session::leaving_note() const {
  if (awaits_proxy_header()) return std::string(kAwaitsHeader);
  return named_peer().empty() ? std::string() : std::string(kNamed) + std::string(named_peer());
}

bool Session::on_adopt(const PeerAddress& peer, std::string_view note) {
  deadline_ =
      after(loop().now, environment_.options.idle_timeout);  // it was between two requests, as far as we know
  if (note.empty()) {
    const Admission* const admission = environment_.options.admission;
    return admission == nullptr || !admission->wants_peers() || on_connect(peer, Preface::none);
  }
  if (note == kAwaitsHeader) return on_connect(peer, Preface::proxy);
  const std::optional<PeerAddress> named =
      note.starts_with(kNamed) ? parse_peer(note.substr(kNamed.size())) : std::nullopt;
  if (named) {
    name_peer(*named);
    return enter_client();
  }
  close(CloseWish::direct, CloseReason::refused);
  return false;
}

std::string Session::peer() const {
  if (peer_ == nullptr) return peer_address(link_.fd());
  return peer_->text.empty() ? peer_->address.text() : peer_->text;
}

/// Counts the connection among those of its client; false, when it has been turned away.
bool Session::enter_client() {
  Admission* const admission = environment_.options.admission;
  if (admission == nullptr || !admission->clients || !peer_->address.has_ip() || peer_->trusted) return true;
  peer_->share = admission->clients->enter(peer_->address);
  if (peer_->share) return true;
  turn_away(TurnedAway::per_client, "has as many connections as a client may have");
  write_refusal(503, "503 Service Unavailable: too many connections from your address\n",
                "Retry-After: 1\r\n");
  close(CloseWish::linger, CloseReason::overloaded);
  return false;
}

bool Session::take_proxy_header(std::string_view bytes, size_t& used) {
  const ProxyHeader header = parse_proxy_header(bytes);
  if (header.outcome == ProxyHeader::Outcome::incomplete) return false;
  if (header.outcome == ProxyHeader::Outcome::refused) {
    turn_away(TurnedAway::bad_proxy_header, header.what);
    close(CloseWish::direct, CloseReason::refused);
    return true;
  }
  used = header.length;
  state_ = State::head;
  if (header.source.kind == PeerAddress::Kind::unknown) return true;  // the proxy speaks for itself
  name_peer(header.source);
  static_cast<void>(enter_client());
  return true;
}

/// Before a request comes in that has a limit, or whose client has to be known; false: it has been answered.
bool Session::admit(Exchange& exchange, std::string_view head_bytes) {
  if (!names_client(exchange)) {
    refuse_client();
    return false;
  }
  if (enter_limits(exchange)) return true;
  if (body_open()) keep_head(exchange, head_bytes);
  state_ = State::handling;
  answer_busy(exchange, "503 Service Unavailable: too many requests at once\n");
  return false;
}

/// Counts the request where there are limits; false, with nothing counted, when one is reached.
bool Session::enter_limits(Exchange& exchange) {
  Admission* const admission = environment_.options.admission;
  const bool limited = admission != nullptr && admission->limits_in_flight;
  const auto& of_route = exchange.route->options.max_in_flight;
  if (limited && !admission->in_flight.enter(admission->max_in_flight.load(std::memory_order_relaxed))) {
    turn_away(TurnedAway::in_flight, "there are as many requests as may be");
    return false;
  }
  if (of_route && !exchange.route->in_flight.enter(*of_route)) {
    if (limited) admission->in_flight.leave();
    return false;
  }
  exchange.in_flight = limited || of_route;
  return true;
}

bool Session::trusts_fields() const noexcept {
  const Admission* const admission = environment_.options.admission;
  return peer_ != nullptr && peer_->trusted && admission->forwarded != ForwardedHeader::off;
}

/// False: it should, and cannot be read.
bool Session::names_client(const Exchange& exchange) const {
  if (!trusts_fields()) return true;
  const Admission& admission = *environment_.options.admission;
  return find_client(exchange.head.fields, admission.forwarded, admission.trusted).outcome !=
         ForwardedClient::Outcome::malformed;
}

void Session::refuse_client() {
  turn_away(TurnedAway::bad_forwarded_header, "names its client in a way that cannot be read");
  refuse({400, "the client's address cannot be read"}, CloseReason::refused);
}

ClientAddress Session::client(const RequestHead& head) const {
  if (trusts_fields()) {
    const Admission& admission = *environment_.options.admission;
    const ForwardedClient named = find_client(head.fields, admission.forwarded, admission.trusted);
    if (named.outcome == ForwardedClient::Outcome::found) return named.client();
  }
  const PeerAddress peer = peer_ != nullptr ? peer_->address : read_peer_address(link_.fd());
  return {.address = peer.host(), .port = peer.port};
}

/// No refusal is told for a connection that brought nothing: balancers look whether we are there.
void Session::tell_broken_header() {
  if (!input_.empty())
    turn_away(TurnedAway::bad_proxy_header, "the connection ended inside its PROXY header");
}

void Session::turn_away(TurnedAway reason, std::string_view why) {
  TurnAwayLog& log = loop().turned_away;
  if (log.count(reason, loop().now)) log.told(reason, peer(), why);
}

}  // namespace lastcall
