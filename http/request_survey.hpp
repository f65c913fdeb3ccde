#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include <lastcall/core/mailbox.hpp>
#include <lastcall/net/request_roster.hpp>

namespace lastcall {

/// The requests in flight on one reactor.
struct InFlightRequests {
  std::vector<InFlightRequest> oldest;  ///< at most RequestRoster::kMost, the oldest first
  uint64_t unlisted = 0;                ///< how many more there are
};

/// One question to all reactors of a server, "which requests have you in flight?", and their answers as they
/// come in. From any thread. It is shared by who asks and whom it asks, since none of them knows who is done
/// with it first: who asks waits only so long, and a reactor that is stuck answers when it can.
class RequestSurvey {
 public:
  explicit RequestSurvey(size_t reactors) : answers_(reactors), missing_(reactors) {
    if (missing_ == 0) complete_.request_stop();
  }

  void answer(size_t reactor, InFlightRequests requests);
  /// Requested when all have answered.
  [[nodiscard]] std::stop_token complete() const noexcept { return complete_.get_token(); }
  /// What has come so far, by reactor; nullopt: it has not answered yet. Once.
  [[nodiscard]] std::vector<std::optional<InFlightRequests>> take();

 private:
  std::mutex mutex_;
  std::vector<std::optional<InFlightRequests>> answers_;
  size_t missing_;
  std::stop_source complete_;
};

/// Where other threads ask one reactor for its requests in flight. Neither side waits for the other: the
/// question goes to the reactor's mailbox, the answer to the survey. The desk outlives its reactor.
class RequestDesk {
 public:
  /// Adds to the roster what it finds among a bounded number of connections from slot `from` on; returns
  /// where to go on in a later turn, 0 for nowhere.
  using List = std::move_only_function<uint32_t(RequestRoster& roster, uint32_t from)>;

  /// Questions that may wait for a reactor; while it is stuck more get no answer.
  static constexpr uint32_t kMostQuestions = 16;

  RequestDesk() = default;
  RequestDesk(const RequestDesk&) = delete;
  RequestDesk& operator=(const RequestDesk&) = delete;

  // The reactor's thread. Before open() and after close() nothing is in flight.
  void open(Mailbox& mailbox, List list);
  void close();

  /// Any thread: the survey gets an answer as number `reactor`, from within this call where nobody serves.
  void ask(std::shared_ptr<RequestSurvey> survey, size_t reactor);

 private:
  struct Question {
    std::shared_ptr<RequestSurvey> survey;
    size_t reactor = 0;
    RequestRoster roster{};
    uint32_t from = 0;
  };
  void go_on(Question question);

  std::mutex mutex_;            // guards …
  Mailbox* mailbox_ = nullptr;  // … this; none: nobody serves
  uint32_t waiting_ = 0;        // … and this: questions that have no answer yet
  List list_;                   // the reactor's thread alone
};

}  // namespace lastcall
