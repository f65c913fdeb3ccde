#include <algorithm>

#include <lastcall/shutdown/roll_call.hpp>

namespace lastcall {

void RollCall::connection(int fd, uint64_t bytes_sent, std::string_view peer) noexcept {
  fd_ = fd;
  peer_ = peer;
  bytes_sent_ = bytes_sent;
}

void RollCall::add(const UnansweredRequest& request) noexcept {
  if (size_ == kMost) {
    ++unlisted_;
    return;
  }
  Entry& entry = entries_[size_++];
  entry.fd = fd_;
  entry.bytes_sent = bytes_sent_;
  entry.age_ms = request.age_ms;
  entry.state = request.state;
  entry.method_size = static_cast<uint8_t>(std::min(request.method.size(), kMethodBytes));
  entry.target_size = static_cast<uint16_t>(std::min(request.target.size(), kTargetBytes));
  entry.peer_size = static_cast<uint8_t>(std::min(peer_.size(), kPeerBytes));
  peer_.copy(entry.peer, entry.peer_size);
  request.method.copy(entry.method, entry.method_size);
  request.target.copy(entry.target, entry.target_size);
}

}  // namespace lastcall
