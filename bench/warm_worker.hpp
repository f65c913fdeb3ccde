#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lastcall/core/log.hpp>
#include <lastcall/http/admission.hpp>
#include <lastcall/http/session.hpp>
#include <lastcall/net/worker.hpp>

#include "bench/works.hpp"

namespace lastcall::bench {

struct CountNothing {
  static void begin() noexcept {}
  static void end() noexcept {}
};

/// One reactor as it serves one kind of work over and over. `Clients`: SimClients or SocketClients, as the
/// backend has it. `Count`: told where a turn begins and ends.
template <class Backend, class Clients, class Count = CountNothing>
class WarmWorker {
 public:
  template <class... Args>
  explicit WarmWorker(const Work& work, Args&&... args) : work_(work), clients_(std::forward<Args>(args)...) {
    log_configure(LogFormat::text, LogLevel::off);
    add_routes([this](Method method, std::string_view pattern, Handler handler) {
      LASTCALL_CHECK(router_.add(method, pattern, static_cast<uint32_t>(routes_.size())).has_value());
      routes_.push_back({.pattern = std::string(pattern), .handler = std::move(handler), .options = {}});
    });
    worker_.emplace(WorkerOptions{}, control_);
    environment_.emplace(worker_->loop(), SessionOptions{.limits = {}, .admission = &admission_}, router_,
                         routes_, pool_, "lastcall");
    worker_->serve(*environment_);
    for (size_t i = 0; i < work.requests; ++i) requests_ += work.request;
  }
  ~WarmWorker() {
    control_.enter(Phase::stopped, {.announce = 0s, .idle_grace = 0s, .deadline = 1s, .force_margin = 0s},
                   "done");
    worker_->run();
    environment_.reset();
    worker_.reset();
  }
  WarmWorker(const WarmWorker&) = delete;
  WarmWorker& operator=(const WarmWorker&) = delete;

  /// Every connection asks and is answered. Throws std::runtime_error when it is not, or otherwise than
  /// before.
  void round() {
    clients_.connect(*worker_, work_.connections);
    clients_.let_pass(work_.step);
    clients_.write(requests_);
    // The first answer may not be long enough to be it: it is looked at below.
    turn_until([this] { return clients_.fewest_bytes() >= (answer_.empty() ? 1 : answer_.size()); });
    for (size_t i = 0; i < work_.connections; ++i) check(clients_.read(i));
    if (!work_.fresh) return;
    turn_until([this] { return clients_.all_ended(); });
    clients_.close();
  }

 private:
  static constexpr int kMostTurns = 200;  // of one round

  template <class Done>
  void turn_until(Done done) {
    for (int turns = 0; !done(); ++turns) {
      if (turns == kMostTurns)
        throw std::runtime_error("a request is not answered, or a connection not closed");
      Count::begin();
      worker_->turn();
      Count::end();
    }
  }
  void check(const std::string& answer) {
    if (answer_.empty()) {
      const std::string_view one(answer.data(), answer.size() / work_.requests);
      if (!one.starts_with("HTTP/1.1 200 ") || !one.ends_with(work_.body) || !answer.ends_with(one))
        throw std::runtime_error("an answer is wrong: " + answer);
      answer_ = answer;
    } else if (answer.size() != answer_.size()) {
      throw std::runtime_error("an answer differs: " + answer);
    }
  }

  const Work& work_;
  std::string requests_;
  std::string answer_;
  Clients clients_;
  StopControl control_{1};
  Admission admission_{};
  Router router_;
  std::vector<Route> routes_;
  OffloadPool pool_{1, 1};
  std::optional<Worker<Backend, Session>> worker_;
  std::optional<SessionEnvironment> environment_;
};

}  // namespace lastcall::bench
