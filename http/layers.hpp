#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <lastcall/http/middleware.hpp>

namespace lastcall {

/// All that runs for a request of one route: every Before in order of registration, every Around (the first
/// one registered is the outermost), the handler, every After in reverse order.
class Layers {
 public:
  explicit Layers(Handler handler) : handler_(std::move(handler)) {}
  Layers(const Layers&) = delete;
  Layers& operator=(const Layers&) = delete;

  // These are referred to.
  void add(const Before& function) { before_.push_back(&function); }
  void add(const After& function) { after_.push_back(&function); }
  void add(const Around& function) { around_.push_back(&function); }

  /// One handler for all of it: synchronous where the handler is and no Around makes it a coroutine; the
  /// handler itself where there is nothing to run but that.
  [[nodiscard]] static Handler compose(std::unique_ptr<Layers> layers);

 private:
  friend class Next;
  [[nodiscard]] bool admit(const Request& request, Response& response) const;
  void finish(const Request& request, Response& response) const;
  void run(const Request& request, Response& response) const;
  [[nodiscard]] Task<> run_task(Request& request, Response& response) const;
  [[nodiscard]] Task<> descend(size_t level, Request& request, Response& response) const;

  std::vector<const Before*> before_;
  std::vector<const Around*> around_;
  std::vector<const After*> after_;
  Handler handler_;
};

}  // namespace lastcall
