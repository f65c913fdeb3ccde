#include <utility>

#include <lastcall/http/hijacked.hpp>
#include <lastcall/net/detached.hpp>

namespace lastcall {

HijackedConnection::HijackedConnection(std::shared_ptr<DetachedConnection> shared) noexcept
    : shared_(std::move(shared)) {}

HijackedConnection& HijackedConnection::operator=(HijackedConnection&& other) noexcept {
  HijackedConnection taken(std::move(other));
  std::swap(shared_, taken.shared_);
  return *this;
}

HijackedConnection::~HijackedConnection() {
  if (shared_) shared_->be_over(true);
}

int HijackedConnection::fd() const noexcept {
  return shared_->fd.get();
}
std::string_view HijackedConnection::unread() const noexcept {
  return shared_->unread;
}
const std::string& HijackedConnection::peer() const noexcept {
  return shared_->peer;
}
std::stop_token HijackedConnection::drain_token() const noexcept {
  return shared_->drain;
}
std::stop_token HijackedConnection::stop_token() const noexcept {
  return shared_->stop.get_token();
}
void HijackedConnection::leave_out_of_stop() {
  shared_->be_over(false);
}

}  // namespace lastcall
