#include <utility>

#include <lastcall/http/request_survey.hpp>

namespace lastcall {

void RequestSurvey::answer(size_t reactor, InFlightRequests requests) {
  {
    std::lock_guard lock(mutex_);
    if (answers_[reactor]) return;
    answers_[reactor] = std::move(requests);
    if (--missing_ != 0) return;
  }
  complete_.request_stop();  // not under the lock: it calls whoever waits
}

std::vector<std::optional<InFlightRequests>> RequestSurvey::take() {
  std::lock_guard lock(mutex_);
  // Stays as long as there are reactors, for answers that come too late.
  return std::exchange(answers_, std::vector<std::optional<InFlightRequests>>(answers_.size()));
}

void RequestDesk::open(Mailbox& mailbox, List list) {
  list_ = std::move(list);
  std::lock_guard lock(mutex_);
  mailbox_ = &mailbox;
}

void RequestDesk::close() {
  {
    std::lock_guard lock(mutex_);
    mailbox_ = nullptr;
  }
  list_ = nullptr;
}

void RequestDesk::ask(std::shared_ptr<RequestSurvey> survey, size_t reactor) {
  {
    std::lock_guard lock(mutex_);
    if (mailbox_ != nullptr) {
      if (waiting_ == kMostQuestions) return;
      ++waiting_;
      mailbox_->post([this, question = Question{survey, reactor}]() mutable { go_on(std::move(question)); });
      return;
    }
  }
  survey->answer(reactor, {});
}

/// On the reactor's thread. With tens of thousands of connections it takes a few turns: who is served between
/// them does not wait for the rest.
void RequestDesk::go_on(Question question) {
  if (list_) question.from = list_(question.roster, question.from);
  if (list_ && question.from != 0) {
    std::lock_guard lock(mutex_);
    mailbox_->post([this, rest = std::move(question)]() mutable { go_on(std::move(rest)); });
    return;
  }
  {
    std::lock_guard lock(mutex_);
    --waiting_;
  }
  const uint64_t unlisted = question.roster.unlisted();
  question.survey->answer(question.reactor, {question.roster.take(), unlisted});
}

}  // namespace lastcall
