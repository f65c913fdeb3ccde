#include <algorithm>

#include <lastcall/net/address.hpp>
#include <lastcall/net/request_roster.hpp>

namespace lastcall {

void RequestRoster::connection(int fd, uint64_t bytes_sent) noexcept {
  fd_ = fd;
  bytes_sent_ = bytes_sent;
}

void RequestRoster::add(const UnansweredRequest& request) {
  ++seen_;
  if (entries_.size() == kMost) {
    if (request.age_ms <= entries_.front().request.age_ms) return;
    std::ranges::pop_heap(entries_, is_older);
    entries_.pop_back();
  }
  entries_.push_back({.request = {.method = std::string(request.method),
                                  .target = std::string(request.target.substr(0, kTargetBytes)),
                                  .route = request.route != nullptr ? request.route : "",
                                  .state = request.state,
                                  .age_ms = request.age_ms,
                                  .peer = {},
                                  .bytes_sent = bytes_sent_},
                      .fd = fd_});
  std::ranges::push_heap(entries_, is_older);
}

void RequestRoster::name_peers() {
  for (Entry& entry : entries_) {
    if (entry.fd < 0) continue;
    entry.request.peer = peer_address(std::exchange(entry.fd, -1));
  }
}

std::vector<InFlightRequest> RequestRoster::take() {
  std::ranges::sort_heap(entries_, is_older);
  std::vector<InFlightRequest> requests;
  requests.reserve(entries_.size());
  for (Entry& entry : entries_) requests.push_back(std::move(entry.request));
  seen_ -= entries_.size();
  entries_.clear();
  return requests;
}

}  // namespace lastcall
