#include <cstring>
#include <type_traits>

#include <lastcall/http/unsent_answers.hpp>

namespace lastcall {

/// Off the front of what is kept.
UnsentAnswers::Answer UnsentAnswers::take_first(std::string_view& bytes) noexcept {
  Kept kept;
  std::memcpy(static_cast<void*>(&kept), bytes.data(), sizeof kept);
  bytes.remove_prefix(sizeof kept);
  if (!kept.copied) return kept.answer();
  kept.target = bytes.data();
  bytes.remove_prefix(kept.target_bytes);
  return kept.answer();
}

/// One more is answered before that one is sent.
[[gnu::noinline]] void UnsentAnswers::keep_newest(uint64_t sent) {
  forget(sent);
  keep(newest_, {}, sent);
}

[[gnu::noinline]] void UnsentAnswers::add_copied(const Answer& answer, uint64_t sent) {
  forget(sent);
  newest_ = {};
  const std::string_view cut = answer.target.substr(0, kMaxTargetBytes);
  keep({answer.began, answer.end, nullptr, static_cast<uint32_t>(cut.size()), answer.method, true}, cut, sent);
}

void UnsentAnswers::keep(const Kept& answer, std::string_view copied, uint64_t sent) {
  static_assert(std::is_trivially_copyable_v<Kept>);
  static_assert(sizeof(uint64_t) + kAlwaysKept * (sizeof(Kept) + kMaxTargetBytes) <= kMaxBytes);
  const size_t bytes = sizeof answer + copied.size();
  if (earlier_.size() + bytes > kMaxBytes) [[unlikely]] {
    drop_sent(sent);
    if (earlier_.size() + bytes > kMaxBytes) return;
  }
  if (earlier_.empty()) earlier_.append({reinterpret_cast<const char*>(&answer.end), sizeof answer.end});
  char* const at = earlier_.prepare(bytes);
  std::memcpy(at, &answer, sizeof answer);
  if (!copied.empty()) std::memcpy(at + sizeof answer, copied.data(), copied.size());
  earlier_.commit(bytes);
  std::memcpy(earlier_.data(), &answer.end, sizeof answer.end);
}

void UnsentAnswers::drop_sent(uint64_t sent) noexcept {
  if (earlier_.empty()) return;
  const uint64_t last = last_end();
  std::string_view rest = earlier();
  std::string_view unsent = rest;
  while (!rest.empty() && take_first(rest).end <= sent) unsent = rest;
  earlier_.consume(earlier_.size() - unsent.size() - sizeof last);
  std::memcpy(earlier_.data(), &last, sizeof last);
}

}  // namespace lastcall
