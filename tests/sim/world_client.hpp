#pragma once

#include <optional>
#include <string>
#include <vector>

#include <lastcall/core/time.hpp>

#include "tests/sim/sim_network.hpp"
#include "tests/support/answers.hpp"

namespace lastcall::test {

class World;
struct Flow;

/// One client of a World, well-behaved or not: sends what its kind sends when the seed has it, reads what
/// comes, and at the end knows what it was owed.
class Client {
 public:
  enum class Kind : uint8_t {
    keep_alive,  ///< one request at a time, with a pause for thought
    one_shot,    ///< asks for the close, or speaks HTTP/1.0
    pipelining,
    dribbling,  ///< sends in small pieces
    half_sent,  ///< the last request is never completed
    slow_reader,
    silent,
    vanishing,  ///< reads nothing, says nothing more
    resetting,
    closing,       ///< leaves without waiting for the answers
    half_closing,  ///< ends its side behind the last request
    rude,          ///< goes on behind a request that asked for the close
    kKinds,
  };

  Client(World& world, size_t number, uint64_t seed);

  // From the world, as the connection is made.
  void connected(SimPeer peer, Flow& flow);
  void refused() { done_ = true; }
  void hurry();  ///< asks now what it would ask later, if it is thinking
  [[nodiscard]] size_t number() const noexcept { return number_; }
  [[nodiscard]] bool any_reported() const;  ///< by name
  /// Whether the server, with so many bytes received, may have to end in the middle of something.
  [[nodiscard]] bool is_amid_exchange(size_t received) const;

  /// At the end: every answer is one to its request, and every request was answered or is accounted for.
  void judge();

 private:
  struct Ask {
    std::string method, target, text, body;
    int status = 200;
    bool any_body = false;      // not compared
    bool ends_in_cut = false;   // the handler fails in the middle
    bool wants_close = false;   // by its own words
    size_t begin = 0, end = 0;  // where it stands in the stream
    Instant first_at{}, whole_at = kNever;
    bool arrived = false;  // its first byte is at the server
    bool late = false;     // … where it was too late: the server had ended its side, or had said close
  };

  void start();
  void ask(size_t times);
  void make_ask();
  void shape(Ask& ask, const std::string& mark);
  void send_some();
  void write(std::string_view bytes);
  void think();
  void readable();
  void slow_read();
  void take(size_t most);
  [[nodiscard]] size_t refused_head() const;
  [[nodiscard]] std::optional<std::vector<Answer>> read_tail() const;
  void on_end();
  void leave(bool reset);
  void leave_later(bool reset, Duration most);

  void judge_answer(const Ask& ask, const Answer& answer);
  void judge_missing(const Ask& ask, bool after_close, bool by_wish);
  [[nodiscard]] bool excused(const Ask& ask) const;
  [[nodiscard]] bool is_in_report_unnamed(const Ask& ask);

  World& world_;
  size_t number_;
  SimRandom random_;
  Kind kind_;
  SimPeer peer_;
  Flow* flow_ = nullptr;
  std::vector<Ask> asks_;
  std::string unsent_;
  size_t sent_ = 0;
  size_t rounds_ = 1;
  uint64_t thoughts_ = 0;  // how often it has begun to think
  bool thinking_ = false;
  std::string tail_;             // received and not yet read as answers
  std::vector<Answer> answers_;  // final ones
  bool done_ = false;            // does nothing more
  bool left_ = false;            // by its own wish, with answers owed
  bool own_fault_ = false;       // wrote into a closed connection, and destroyed what it had not read
  bool bad_ = false;             // what came was not HTTP
  bool half_closed_ = false;
  bool unnamed_ = false;  // in the report
};

}  // namespace lastcall::test
