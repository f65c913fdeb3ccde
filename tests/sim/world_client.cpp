#include "tests/sim/world_client.hpp"

#include <algorithm>
#include <utility>

#include "tests/sim/world.hpp"
#include "tests/support/session_routes.hpp"

namespace lastcall::test {
namespace {

constexpr Duration kReaction = 300ms;  // most between the end of a stream and the client's close

Client::Kind any_kind(SimRandom& random) {
  using enum Client::Kind;
  static constexpr Client::Kind kinds[] = {
      keep_alive, keep_alive, keep_alive, keep_alive,   keep_alive,   keep_alive,  one_shot,    one_shot,
      pipelining, pipelining, dribbling,  dribbling,    half_sent,    slow_reader, slow_reader, silent,
      vanishing,  resetting,  closing,    half_closing, half_closing, rude};
  return kinds[random.below(std::size(kinds))];
}

}  // namespace

Client::Client(World& world, size_t number, uint64_t seed)
    : world_(world), number_(number), random_(seed), kind_(any_kind(random_)) {}

void Client::connected(SimPeer peer, Flow& flow) {
  peer_ = std::move(peer);
  flow_ = &flow;
  world_.trace("c%zu is client %zu, kind %d, for r%u", flow.id, number_, static_cast<int>(kind_),
               flow.reactor);
  if (peer_.saw_reset()) {
    done_ = true;
    return;
  }
  if (kind_ == Kind::slow_reader) peer_.set_window(300 + random_.below(4000));
  if (kind_ == Kind::vanishing) {
    peer_.set_window(random_.below(1000));
  } else {
    peer_.on_readable([this] { readable(); });
  }
  Duration wait = random_.chance(0.7) ? 0s : up_to(random_, 1s);
  world_.schedule(wait, [this] { start(); });
}

void Client::start() {
  if (done_) return;
  rounds_ = kind_ == Kind::keep_alive ? 1 + random_.below(6) : 1;
  switch (kind_) {
    case Kind::silent: return;
    case Kind::pipelining: return ask(2 + random_.below(7));
    case Kind::dribbling:
    case Kind::half_sent:
    case Kind::half_closing: return ask(1 + random_.below(2));
    case Kind::slow_reader:
    case Kind::resetting:
    case Kind::closing: return ask(1 + random_.below(3));
    default: return ask(1);
  }
}

// --- requests

void Client::ask(size_t times) {
  for (size_t i = 0; i < times; ++i) make_ask();
  if (kind_ == Kind::half_sent && unsent_.size() > 1)
    unsent_.resize(unsent_.size() - 1 - random_.below(unsent_.size() / 2));
  if (kind_ == Kind::rude)  // bytes behind a request that asks for the close
    unsent_ += random_.chance(0.5) ? "\r\n" : "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n";
  send_some();
}

void Client::make_ask() {
  Ask ask;
  shape(ask, std::to_string(number_) + "." + std::to_string(asks_.size()));
  ask.begin = sent_ + unsent_.size();
  unsent_ += ask.text;
  ask.end = sent_ + unsent_.size();
  world_.trace("c%zu: its client asks %s %s, bytes %zu to %zu", flow_->id, ask.method.c_str(),
               ask.target.c_str(), ask.begin, ask.end);
  asks_.push_back(std::move(ask));
  world_.saw(Seen::requests);
}

/// What is asked for, and what is right to answer. Each target is the only one of its name.
void Client::shape(Ask& ask, const std::string& mark) {
  std::string fields;
  std::string version = "1.1";
  if (kind_ == Kind::one_shot || kind_ == Kind::rude) {
    ask.wants_close = true;
    if (kind_ == Kind::one_shot && random_.chance(0.3)) {
      version = "1.0";
    } else {
      fields = "Connection: close\r\n";
    }
  }
  auto with = [&](std::string target) { return ask.target = std::move(target) + "&c=" + mark; };
  auto number = [&](size_t limit) { return std::to_string(random_.below(limit)); };
  ask.method = "GET";
  bool plain = version == "1.0";
  switch (random_.below(plain ? 6 : 14)) {
    case 0:
      ask.body = "Hello, World!";
      with("/plaintext?");
      break;
    case 1:
      ask.body = mark;
      ask.target = "/users/" + mark;
      break;
    case 2:
      ask.body = "slept";
      with("/sleep?ms=" + number(random_.chance(0.2) ? 30'000 : 1500));
      break;
    case 3: {
      size_t pieces = 1 + random_.below(8);
      for (size_t i = 0; i < pieces; ++i) ask.body += "piece\n";
      with("/stream?n=" + std::to_string(pieces) + "&ms=" + number(random_.chance(0.2) ? 5000 : 300));
      break;
    }
    case 4: {
      size_t size = random_.below(random_.chance(0.3) ? 100'000 : 5000);
      ask.body.assign(size, 'x');
      with("/big?n=" + std::to_string(size));
      break;
    }
    case 5:
      ask.body = "spun";
      with("/spin?us=" + std::to_string(any_size(random_, random_.chance(0.1) ? 3s : 20ms).count() / 1000));
      break;
    case 6:
      ask.method = "HEAD";
      with("/big?n=" + number(3000));
      break;
    case 7:
      ask.status = 500;
      ask.any_body = true;
      with("/throw?");
      break;
    case 8:
      ask.ends_in_cut = true;
      ask.any_body = true;
      with("/throw-later?");
      break;
    case 9:
      ask.body = "stubborn";
      with("/stubborn?n=" + number(4) + "&ms=" + number(800));
      break;
    default: ask.method = "POST"; break;
  }
  if (ask.method != "POST") {
    ask.text = get(ask.target, fields, version);
    if (ask.method == "HEAD") ask.text.replace(0, 3, "HEAD");
    return;
  }
  std::string body(random_.below(random_.chance(0.2) ? 60'000 : 3000), 'e');
  switch (random_.below(5)) {
    case 0:
      ask.body = body;
      with("/echo?");
      break;
    case 1:
      ask.body = std::to_string(body.size());
      with("/count?");
      break;
    case 2:
      ask.any_body = true;
      with("/describe?");
      break;
    case 3:
      ask.body = "ignored";
      with("/ignore?");
      break;
    default:
      ask.status = 404;
      ask.any_body = true;
      with("/nowhere?");
      break;
  }
  if (random_.chance(0.2)) fields += "Expect: 100-continue\r\n";
  if (random_.chance(0.3)) {
    size_t pieces = random_.below(300);
    ask.text = post_chunked(ask.target, pieces, "X: y\r\n");
    if (ask.target.starts_with("/count")) ask.body = std::to_string(5 * pieces);
    if (ask.target.starts_with("/echo")) {
      ask.body.clear();
      for (size_t i = 0; i < pieces; ++i) ask.body += "hello";
    }
    ask.text.insert(ask.text.find("\r\n") + 2, fields);
  } else {
    ask.text = post(ask.target, body, fields);
  }
}

void Client::send_some() {
  if (done_ || unsent_.empty() || half_closed_) return;
  bool pieces = kind_ == Kind::dribbling || random_.chance(0.2);
  size_t size = pieces ? 1 + random_.below(unsent_.size()) : unsent_.size();
  if (kind_ == Kind::dribbling && random_.chance(0.5)) size = std::min<size_t>(size, 1 + random_.below(20));
  write(unsent_.substr(0, size));
  unsent_.erase(0, size);
  if (!unsent_.empty()) {
    Duration most = kind_ == Kind::dribbling ? Duration(400ms) : Duration(5ms);
    world_.schedule(up_to(random_, most), [this] { send_some(); });
    return;
  }
  if (kind_ == Kind::resetting) leave_later(true, 1s);
  if (kind_ == Kind::closing) leave_later(false, 1s);
  if (kind_ == Kind::half_closing) {
    world_.schedule(any_size(random_, 1s), [this] {
      if (done_ || !unsent_.empty()) return;
      half_closed_ = true;
      world_.trace("c%zu: its client ends its side", flow_->id);
      peer_.half_close();
    });
  }
}

void Client::write(std::string_view bytes) {
  if (peer_.saw_reset()) {
    done_ = true;
    return;
  }
  bool too_late = flow_->ended || flow_->said_close;
  for (Ask& ask : asks_) {
    if (ask.begin >= sent_ && ask.begin < sent_ + bytes.size()) {
      ask.arrived = true;
      ask.late = too_late;
      ask.first_at = world_.now();
      if (flow_->idle_end) world_.saw(Seen::late_requests);
    }
    if (ask.end <= sent_ + bytes.size() && ask.whole_at == kNever) ask.whole_at = world_.now();
  }
  if (flow_->state == Flow::State::closed) own_fault_ = true;
  world_.trace("c%zu: its client sends %zu", flow_->id, bytes.size());
  sent_ += bytes.size();
  peer_.write(bytes);
}

// --- answers

void Client::readable() {
  if (kind_ == Kind::slow_reader) {
    world_.schedule(up_to(random_, 200ms), [this] { slow_read(); });
    return;
  }
  take(std::string::npos);
}

void Client::slow_read() {
  if (done_) return;
  take(1 + random_.below(4000));
  if (peer_.untaken() > 0) world_.schedule(up_to(random_, 200ms), [this] { slow_read(); });
}

/// Where a refusal stands in what is not read yet, when it may be one of HEAD: who refuses a request before
/// having read its head cannot know its method, and sends a body.
size_t Client::refused_head() const {
  bool head = std::ranges::any_of(asks_, [](const Ask& ask) { return ask.method == "HEAD"; });
  return head ? std::min(tail_.find("HTTP/1.1 503"), tail_.find("HTTP/1.1 408")) : std::string::npos;
}

/// What is left of the stream as answers.
std::optional<std::vector<Answer>> Client::read_tail() const {
  std::vector<std::string> methods;
  for (size_t i = answers_.size(); i < asks_.size(); ++i) methods.push_back(asks_[i].method);
  size_t refusal = refused_head();
  if (refusal == std::string::npos) return parse_answers(tail_, methods);
  auto read = parse_answers(std::string_view(tail_).substr(0, refusal), methods);
  auto last = parse_answers(std::string_view(tail_).substr(refusal));
  if (!last || !last->front().whole) last = parse_answers(std::string_view(tail_).substr(refusal), {"HEAD"});
  if (!read || !last) return std::nullopt;
  std::ranges::move(*last, std::back_inserter(*read));
  return read;
}

void Client::take(size_t most) {
  if (left_) return;
  tail_ += peer_.take(most);
  bool refused = refused_head() != std::string::npos;  // read at the end
  auto read = refused ? std::vector<Answer>() : read_tail();
  if (!read) {
    bad_ = true;
    return;
  }
  bool open =
      refused || std::ranges::any_of(*read, [](const Answer& a) { return !a.whole || a.until_close; });
  bool closes = false;
  if (!open) {
    tail_.clear();
    for (Answer& answer : *read) {
      closes = closes || answer.closes();
      if (answer.status >= 200) answers_.push_back(std::move(answer));
    }
    if (!read->empty() && !closes && answers_.size() == asks_.size() && unsent_.empty()) think();
  }
  if (closes || peer_.saw_eof() || peer_.saw_reset()) {
    world_.schedule(any_size(random_, kReaction), [this] { on_end(); });
  }
}

/// All is answered: the next request, after a while that likes to end just when an idle connection is closed.
void Client::think() {
  if (done_ || kind_ != Kind::keep_alive) return;
  if (--rounds_ == 0) {
    if (random_.chance(0.3)) leave_later(false, 3s);
    return;
  }
  Duration pause = random_.chance(0.5) ? any_size(random_, 500ms) : up_to(random_, 1s);
  Instant verdict = world_.idle_end_at();
  if (verdict != kNever && random_.chance(0.4)) {
    Duration until = verdict + up_to(random_, random_.chance(0.5) ? 100ms : 2ms) - 1ms - world_.now();
    if (until > 0s) pause = until;
  }
  thinking_ = true;
  world_.schedule(pause, [this, thought = ++thoughts_] {
    if (thought == thoughts_) hurry();
  });
}

void Client::hurry() {
  if (done_ || !std::exchange(thinking_, false)) return;
  ask(1);
}

void Client::on_end() {
  if (done_) return;
  done_ = true;
  take(std::string::npos);
  if (!half_closed_ && !unsent_.empty() && random_.chance(0.3)) write(std::exchange(unsent_, {}));
  world_.trace("c%zu: its client closes", flow_->id);
  peer_.close();
}

void Client::leave_later(bool reset, Duration most) {
  world_.schedule(any_size(random_, most), [this, reset] { leave(reset); });
}

void Client::leave(bool reset) {
  if (done_) return;
  done_ = true;
  left_ = true;
  world_.trace("c%zu: its client %s", flow_->id, reset ? "resets" : "leaves");
  reset ? peer_.reset() : peer_.close();
}

bool Client::is_amid_exchange(size_t received) const {
  return std::ranges::any_of(asks_, [received](const Ask& ask) {
    return ask.begin < received && (received < ask.end || ask.ends_in_cut);
  });
}

// --- at the end

void Client::judge() {
  if (flow_ == nullptr || kind_ == Kind::vanishing) return;
  if (!left_ && !(done_ && peer_.saw_reset())) take(std::string::npos);
  if (auto rest = read_tail(); rest && !bad_) {
    for (Answer& answer : *rest) {
      if (answer.status >= 200 || !answer.whole) answers_.push_back(std::move(answer));
    }
  } else if (flow_->aborted && any_reported()) {
    return;  // cut in the middle of a head
  } else {
    return world_.fail("answers are HTTP", "c%zu got %.300s", flow_->id, tail_.c_str());
  }
  bool closed = false;
  bool by_wish = false;
  for (size_t i = 0; i < answers_.size(); ++i) {
    const Answer& answer = answers_[i];
    if (closed) return world_.fail("an answer that says close is the last", "c%zu", flow_->id);
    closed = answer.closes();
    if (flow_->overloaded && answer.status == 503) continue;
    if (i >= asks_.size()) {
      bool stray = kind_ == Kind::rude || answer.status == 408 || !answer.whole;
      if (!stray) world_.fail("an answer has a request", "c%zu got %d unasked", flow_->id, answer.status);
      continue;
    }
    // Who asks before it sends a body, and is answered without it, is told to come again.
    bool expects = asks_[i].text.find("Expect:") != std::string::npos;
    by_wish = asks_[i].wants_close || expects || (answer.status >= 400 && answer.status != 503);
    judge_answer(asks_[i], answer);
  }
  // An answer that breaks off takes with it what was asked behind it.
  size_t got = answers_.size();
  bool broke_off = got > 0 && got <= asks_.size() && asks_[got - 1].ends_in_cut && !answers_[got - 1].whole;
  for (size_t i = got; i < asks_.size() && !broke_off; ++i) {
    judge_missing(asks_[i], closed, by_wish);
    // Answered without its body, and that answer cut off: what came behind the body was not read as requests.
    bool expects = asks_[i].text.find("Expect:") != std::string::npos;
    broke_off = expects && world_.reported_state(asks_[i].target) == "writing";
  }
}

bool Client::any_reported() const {
  return std::ranges::any_of(asks_, [this](const Ask& ask) { return world_.reported(ask.target); });
}

/// Whatever became of it, the server is not to blame, or has told.
bool Client::excused(const Ask& ask) const {
  return left_ || own_fault_ || flow_->broken || flow_->over_unread || world_.reported(ask.target) ||
         world_.gone_with_reactor(*flow_);
}

/// It may be in the report without a name: its head had not been read to its end. One entry a connection,
/// that also stands for what was still in the socket behind.
bool Client::is_in_report_unnamed(const Ask& ask) {
  if (ask.begin + ask.text.find("\r\n\r\n") + 4 <= flow_->heard) return false;
  bool unheard = ask.begin >= flow_->heard;
  if (unheard && (unnamed_ || any_reported())) return true;
  if (unnamed_ || !world_.take_unnamed_report()) return false;
  world_.trace("c%zu is in the report without a name", flow_->id);
  return unnamed_ = true;
}

void Client::judge_answer(const Ask& ask, const Answer& answer) {
  world_.saw(Seen::answered);
  bool until_close =
      answer.until_close && answer.body.size() < ask.body.size() && ask.body.starts_with(answer.body);
  if (!answer.whole || until_close) {
    bool half = half_closed_ && ask.whole_at == kNever;
    if (ask.ends_in_cut || half || excused(ask)) return;
    // A body that stops: it was waited for, and then cut.
    if (ask.whole_at == kNever && answer.status == 200) return;
    if (is_in_report_unnamed(ask)) return;
    return world_.fail("an answer is whole, or in the report", "c%zu: %s %s: %d cut at %zu bytes", flow_->id,
                       ask.method.c_str(), ask.target.c_str(), answer.status, answer.body.size());
  }
  if (answer.status == ask.status && (ask.any_body || ask.method == "HEAD" || answer.body == ask.body)) {
    return;
  }
  if (answer.status == 503 && (excused(ask) || is_in_report_unnamed(ask))) return;
  Duration took = std::min(ask.whole_at, world_.now()) - ask.first_at;
  const SessionOptions& session = world_.plan().session;
  bool slow = took >= std::min({session.header_timeout, session.body_timeout, Duration(5s)});
  if (answer.status == 408 && slow) return world_.saw(Seen::timeouts);
  world_.fail("an answer is the right one", "c%zu: %s %s got %d %.100s", flow_->id, ask.method.c_str(),
              ask.target.c_str(), answer.status, answer.body.c_str());
}

void Client::judge_missing(const Ask& ask, bool after_close, bool by_wish) {
  if (!ask.arrived || ask.late || flow_->overloaded || excused(ask)) return;
  if (half_closed_ && ask.whole_at == kNever) return;
  if (flow_->state == Flow::State::queued && world_.closed_over_queue(flow_->reactor)) return;
  // What was still in the socket when an answer said close is the client's to repeat (RFC 9112, 9.6); what
  // the session had is not.
  if (after_close && (by_wish || ask.begin >= flow_->received_at_close)) return;
  if (is_in_report_unnamed(ask)) return;
  world_.fail("a request whose first byte arrived is answered, or in the report", "c%zu: %s %s", flow_->id,
              ask.method.c_str(), ask.target.c_str());
}

}  // namespace lastcall::test
