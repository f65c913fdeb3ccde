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
static_assert(UnsentAnswers::kAlwaysKept * (sizeof(Kept) + UnsentAnswers::kMaxTargetBytes) <=
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
  const std::string_view text = lasting ? std::string_view() : answer.target;
  const size_t bytes = sizeof kept + text.size();
  if (earlier_.size() + bytes > kMaxBytes) drop_sent(sent);
  if (earlier_.size() + bytes > kMaxBytes) return;
  earlier_.append({reinterpret_cast<const char*>(&kept), sizeof kept});
  earlier_.append(text);
}

void UnsentAnswers::forget(uint64_t sent) noexcept {
  uint64_t last_end = 0;
  for (std::string_view rest = earlier_.view(); !rest.empty();) last_end = take_first(rest).end;
  if (last_end <= sent) earlier_.release();
}

void UnsentAnswers::drop_sent(uint64_t sent) noexcept {
  std::string_view rest = earlier_.view();
  size_t gone = 0;
  while (!rest.empty() && take_first(rest).end <= sent) gone = earlier_.size() - rest.size();
  earlier_.consume(gone);
}

}  // namespace lastcall
