#include <cstring>
#include <type_traits>

#include <lastcall/http/unsent_answers.hpp>

namespace lastcall {
namespace {

struct Kept {
  UnsentAnswers::Answer answer;
  bool lasting = false;  // otherwise the target's text comes next
};
static_assert(std::is_trivially_copyable_v<Kept>);
static_assert(sizeof(uint64_t) +
                  UnsentAnswers::kAlwaysKept * (sizeof(Kept) + UnsentAnswers::kMaxTargetBytes) <=
              UnsentAnswers::kMaxBytes);

}  // namespace

/// Off the front of what is kept.
UnsentAnswers::Answer UnsentAnswers::take_first(std::string_view& bytes) noexcept {
  Kept kept;
  std::memcpy(static_cast<void*>(&kept), bytes.data(), sizeof kept);
  bytes.remove_prefix(sizeof kept);
  if (kept.lasting) return kept.answer;
  kept.answer.target = bytes.substr(0, kept.answer.target.size());
  bytes.remove_prefix(kept.answer.target.size());
  return kept.answer;
}

void UnsentAnswers::add_behind(const Answer& answer, bool lasting, uint64_t sent) {
  forget(sent);
  if (newest_.end > sent) keep(newest_.answer(), true, sent);
  newest_ = {};
  if (lasting) {
    newest_ = {answer.began, answer.end, answer.target.data(), static_cast<uint32_t>(answer.target.size()),
               answer.method};
    return;
  }
  Answer cut = answer;
  cut.target = cut.target.substr(0, kMaxTargetBytes);
  keep(cut, false, sent);
}

void UnsentAnswers::keep(const Answer& answer, bool lasting, uint64_t sent) {
  const Kept kept{answer, lasting};
  const size_t text = lasting ? 0 : answer.target.size();
  const size_t bytes = sizeof kept + text;
  if (earlier_.size() + bytes > kMaxBytes) drop_sent(sent);
  if (earlier_.size() + bytes > kMaxBytes) return;
  if (earlier_.empty()) earlier_.append({reinterpret_cast<const char*>(&answer.end), sizeof answer.end});
  char* const at = earlier_.prepare(bytes);
  std::memcpy(at, &kept, sizeof kept);
  if (text != 0) std::memcpy(at + sizeof kept, answer.target.data(), text);
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
