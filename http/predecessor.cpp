#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/core/thread.hpp>
#include <lastcall/http/predecessor.hpp>
#include <lastcall/http/upgrade.hpp>
#include <lastcall/net/socket.hpp>

namespace lastcall {
namespace {

constexpr Duration kOfferLimit = 5s;
constexpr Duration kGoLimit = 10s;
constexpr Duration kRefuseLimit = 1s;

/// The descriptor that the variable names, or -1.
int named_descriptor(const char* text) {
  int fd = -1;
  const char* end = text + std::strlen(text);
  const auto [stopped, code] = std::from_chars(text, end, fd);
  return code == std::errc() && stopped == end && fd > STDERR_FILENO ? fd : -1;
}

std::optional<GateTier> tier_of(std::string_view text) {
  for (const GateTier tier :
       {GateTier::parking, GateTier::syn_filter, GateTier::unix_socket, GateTier::plain}) {
    if (text == to_string(tier)) return tier;
  }
  return std::nullopt;
}

std::unexpected<Error> unexpected_message() {
  return system_error("hand-over: not what was expected", EPROTO);
}

}  // namespace

Result<std::unique_ptr<Predecessor>> Predecessor::find() {
  const char* text = std::getenv(kHandoverVariable);
  if (text == nullptr) return nullptr;
  const int fd = named_descriptor(text);
  ::unsetenv(kHandoverVariable);
  const Result<int> type = socket_option(fd, SO_TYPE);
  if (!type || *type != SOCK_SEQPACKET)
    return error(std::string(kHandoverVariable) + " is for lastcall's own use, and names no channel of it");
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  std::unique_ptr<Predecessor> predecessor(new Predecessor(Fd(fd)));
  if (Result<void> received = predecessor->receive_offers(); !received) {
    predecessor->refuse(received.error().message);
    return std::unexpected(received.error());
  }
  return predecessor;
}

Predecessor::~Predecessor() {
  close_input();
  join();
}

Result<void> Predecessor::receive_offers() {
  const Instant limit = monotonic_now() + kOfferLimit;
  if (Result<void> knocked = channel_.send(HandoverKind::knock, {}, {}, limit); !knocked) return knocked;
  Result<HandoverMessage> first = channel_.receive(limit);
  if (!first) return std::unexpected(first.error());
  if (first->kind != HandoverKind::hello) return unexpected_message();
  Result<HandoverHello> hello = parse_handover_hello(first->text);
  if (!hello) return std::unexpected(hello.error());
  if (hello->version != HandoverChannel::kVersion) {
    return error("the running process speaks version " + std::to_string(hello->version) +
                 " of the hand-over, this binary version " + std::to_string(HandoverChannel::kVersion));
  }
  for (uint32_t i = 0; i < hello->listeners; ++i) {
    Result<Offer> offer = receive_offer(limit);
    if (!offer) return std::unexpected(offer.error());
    offers_.push_back(std::move(*offer));
  }
  return {};
}

Result<Predecessor::Offer> Predecessor::receive_offer(Instant limit) {
  Result<HandoverMessage> message = channel_.receive(limit);
  if (!message) return std::unexpected(message.error());
  if (message->kind != HandoverKind::listener) return unexpected_message();
  Result<HandoverListener> listener = parse_handover_listener(message->text);
  if (!listener) return std::unexpected(listener.error());
  const std::optional<GateTier> tier = tier_of(listener->tier);
  if (!tier) return unexpected_message();
  const bool parked = *tier == GateTier::parking;
  const size_t expected = listener->sockets + (parked ? 2u : 0u);
  std::vector<Fd> descriptors;
  while (descriptors.size() < expected) {
    Result<HandoverMessage> more = channel_.receive(limit);
    if (!more) return std::unexpected(more.error());
    if (more->kind != HandoverKind::descriptors || more->descriptors.empty()) return unexpected_message();
    for (Fd& fd : more->descriptors) descriptors.push_back(std::move(fd));
  }
  if (descriptors.size() != expected) return unexpected_message();
  Offer offer{.description = std::move(*listener), .parts = {.sockets = {}, .tier = *tier}};
  offer.parts.gate_note = offer.description.gate_note;
  if (parked) {
    offer.parts.filler = std::move(descriptors.back());
    descriptors.pop_back();
    offer.parts.parking = std::move(descriptors.back());
    descriptors.pop_back();
  }
  offer.parts.sockets = std::move(descriptors);
  return offer;
}

std::optional<ListenerParts<Fd>> Predecessor::take(const std::string& address, bool admin) {
  for (Offer& offer : offers_) {
    if (offer.taken || offer.description.admin != admin || offer.description.address != address) continue;
    offer.taken = true;
    return std::move(offer.parts);
  }
  return std::nullopt;
}

Result<void> Predecessor::await_go() {
  std::vector<uint32_t> taken;
  for (uint32_t i = 0; i < offers_.size(); ++i) {
    if (offers_[i].taken) taken.push_back(i);
  }
  offers_.clear();  // what nobody wanted stays the predecessor's alone
  const Instant limit = monotonic_now() + kGoLimit;
  if (Result<void> told = channel_.send(HandoverKind::ready, taken_to_json(taken), {}, limit); !told)
    return told;
  Result<HandoverMessage> answer = channel_.receive(limit);
  if (!answer) return system_error("hand-over: no word to accept", answer.error().code);
  if (answer->kind != HandoverKind::go) return unexpected_message();
  return {};
}

void Predecessor::refuse(const std::string& why) noexcept {
  const std::string_view text = std::string_view(why).substr(0, HandoverChannel::kMaxText);
  static_cast<void>(channel_.send(HandoverKind::refused, text, {}, monotonic_now() + kRefuseLimit));
}

void Predecessor::receive(std::function<void(Fd, std::string)> adopt, std::function<void(Fd)> adopt_admin,
                          std::function<void()> on_gone) {
  thread_ = std::thread(
      [this, adopt = std::move(adopt), adopt_admin = std::move(adopt_admin), on_gone = std::move(on_gone)] {
        set_thread_name("predecessor");
        uint64_t adopted = 0;
        for (;;) {
          Result<HandoverMessage> message = channel_.receive(kNever);
          if (!message) break;
          if (message->descriptors.size() != 1) continue;
          if (message->kind == HandoverKind::admin_connection)
            adopt_admin(std::move(message->descriptors.front()));
          if (message->kind != HandoverKind::connection) continue;
          adopt(std::move(message->descriptors.front()), std::move(message->text));
          ++adopted;
        }
        gone_.store(true);
        on_gone();
        log_event(LogLevel::info, "predecessor_gone", {{"adopted", adopted}});
      });
}

void Predecessor::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace lastcall
