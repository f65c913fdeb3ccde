#include <sys/eventfd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include <lastcall/core/mailbox.hpp>

namespace lastcall {

Mailbox::Mailbox() : wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!wake_) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Mailbox::~Mailbox() {
  const std::lock_guard lock(mutex_);  // after whoever posted last
}

bool Mailbox::post(Message message) {
  // To the end: as soon as the message can be run, its owner may be through with everything and leave.
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  messages_.push_back(std::move(message));
  if (messages_.size() > 1) return true;  // whoever put the first one rang
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(wake_.get(), &one, sizeof one);
  return true;
}

bool Mailbox::run_all() {
  std::vector<Message> batch;
  {
    std::lock_guard lock(mutex_);
    batch.swap(messages_);
  }
  for (Message& message : batch) message();
  return !batch.empty();
}

void Mailbox::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
}

}  // namespace lastcall
