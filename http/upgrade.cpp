#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/core/thread.hpp>
#include <lastcall/core/version.hpp>
#include <lastcall/http/upgrade.hpp>
#include <lastcall/net/socket.hpp>

extern char** environ;

namespace lastcall {
namespace {

constexpr Duration kOfferLimit = 500ms;  // on the thread that sees signals
constexpr Duration kGoLimit = 1s;
constexpr Duration kLastWords = 1s;  // for a new process that has closed its end to exit

/// As this process was called.
std::vector<std::string> own_arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string one; std::getline(file, one, '\0');) arguments.push_back(std::move(one));
  return arguments;
}

/// Where the program that runs was started from, as it was named then: a link may lead to another one later.
std::string own_binary() {
  std::error_code failed;
  const std::filesystem::path file = std::filesystem::read_symlink("/proc/self/exe", failed);
  const std::vector<std::string> arguments = own_arguments();
  if (arguments.empty() || arguments[0].find('/') == std::string::npos) return file.string();
  const std::filesystem::path named = std::filesystem::absolute(arguments[0], failed);
  return std::filesystem::equivalent(named, "/proc/self/exe", failed) ? named.string() : file.string();
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

std::vector<std::string> environment_with(const std::vector<std::string>& added) {
  const auto name_of = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
  std::vector<std::string> all = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const bool replaced =
        std::ranges::any_of(added, [&](const std::string& one) { return name_of(one) == name_of(*entry); });
    if (!replaced) all.emplace_back(*entry);
  }
  return all;
}

/// Starts the binary with `channel` as its only descriptor besides the standard ones.
Result<pid_t> spawn(const std::string& binary, int channel, std::vector<std::string> environment) {
  std::vector<std::string> arguments = own_arguments();
  environment.push_back(std::string(kHandoverVariable) + "=" + std::to_string(channel));
  environment = environment_with(environment);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, channel, channel);  // takes its close-on-exec away
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t ignored;
  ::sigemptyset(&none);
  ::sigemptyset(&ignored);
  ::sigaddset(&ignored, SIGPIPE);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &ignored);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t child = -1;
  const int code = ::posix_spawn(&child, binary.c_str(), &actions, &attributes, pointers(arguments).data(),
                                 pointers(environment).data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (code != 0) return system_error("start " + binary, code);
  return child;
}

std::string describe_exit(int status) {
  if (WIFEXITED(status)) return "exited with status " + std::to_string(WEXITSTATUS(status));
  if (WIFSIGNALED(status)) return "killed by signal " + std::to_string(WTERMSIG(status));
  return "ended";
}

bool exits_within(pid_t child, Duration patience) {
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!process) return false;
  pollfd exited{.fd = process.get(), .events = POLLIN, .revents = 0};
  return ::poll(&exited, 1, static_cast<int>(to_ms(patience))) == 1;
}

void log_failed(pid_t child, const std::string& why) {
  log_event(LogLevel::error, "upgrade_failed", {{"pid", child}, {"why", why}});
}

}  // namespace

Upgrade::Upgrade(UpgradeOptions options) : options_(std::move(options)), binary_(own_binary()) {}

Upgrade::~Upgrade() {
  end_attempt();
  join();
}

void Upgrade::begin() {
  {
    const std::lock_guard lock(mutex_);
    if (::getpid() == 1) {
      ++attempt_;
      why_ = "process 1 cannot be replaced: its end is that of the container";
      return log_event(LogLevel::warning, "upgrade_refused", {{"why", why_}});
    }
    if (state_ != State::idle) {
      const char* why = state_ == State::waiting ? "one is under way" : "stopping";
      return log_event(LogLevel::warning, "upgrade_refused", {{"why", why}});
    }
    state_ = State::waiting;
    ++attempt_;
  }
  join();  // of an attempt that failed
  Result<void> launched = copy_offer();
  if (launched) launched = launch();
  if (launched) {
    log_event(LogLevel::info, "upgrade_started", {{"pid", child_}, {"binary", binary_}});
    thread_ = std::thread([this] { await_successor(); });
    return;
  }
  const std::lock_guard lock(mutex_);
  state_ = State::idle;
  why_ = launched.error().message;
  copies_.clear();
  log_event(LogLevel::error, "upgrade_failed", {{"why", why_}});
}

/// Descriptors of our own: the listeners may be closed before the new process asks for them.
Result<void> Upgrade::copy_offer() {
  offered_ = options_.offer();
  copies_.clear();
  const auto copy = [this](int& fd) {
    if (fd < 0) return true;
    copies_.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    fd = copies_.back().get();
    return fd >= 0;
  };
  for (OfferedListener& listener : offered_) {
    bool copied = copy(listener.parts.parking) && copy(listener.parts.filler);
    for (int& socket : listener.parts.sockets) copied = copied && copy(socket);
    if (!copied) return system_error("dup", errno);
  }
  return {};
}

Result<void> Upgrade::launch() {
  auto ends = HandoverChannel::open_pair();
  if (!ends) return std::unexpected(ends.error());
  Result<pid_t> child = spawn(binary_, ends->second.get(), options_.environment);
  if (!child) return std::unexpected(child.error());
  child_ = *child;
  channel_ = std::make_unique<HandoverChannel>(std::move(ends->first));
  return {};
}

Result<void> Upgrade::offer_listeners() {
  const Instant limit = monotonic_now() + kOfferLimit;
  const HandoverHello hello{.lastcall = std::string(version()),
                            .listeners = static_cast<uint32_t>(offered_.size())};
  Result<void> sent = channel_->send(HandoverKind::hello, to_json(hello), {}, limit);
  for (const OfferedListener& listener : offered_) {
    if (!sent) return sent;
    sent = channel_->send(HandoverKind::listener, to_json(listener.description), {}, limit);
    std::vector<int> descriptors = listener.parts.sockets;
    if (listener.parts.tier == GateTier::parking) {
      descriptors.push_back(listener.parts.parking);
      descriptors.push_back(listener.parts.filler);
    }
    for (std::span<const int> rest = descriptors; sent && !rest.empty();) {
      const size_t count = std::min(rest.size(), HandoverChannel::kMaxDescriptors);
      sent = channel_->send(HandoverKind::descriptors, {}, rest.first(count), limit);
      rest = rest.subspan(count);
    }
  }
  return sent;
}

/// On a thread of its own.
void Upgrade::await_successor() {
  set_thread_name("upgrade");
  const pid_t child = child_;
  Result<void> ready = await_ready();
  if (ready) {
    log_event(LogLevel::info, "upgrade_ready",
              {{"pid", child}, {"by", ::getpid()}, {"listeners", taken_.size()}});
    return options_.stop(*channel_, taken_, child);
  }
  // How it ended says more than that the talk is over.
  const bool talk_is_over = ready.error().code == EPIPE;
  const std::string end = end_child(talk_is_over ? kLastWords : 0s);
  std::string why = talk_is_over ? end : ready.error().message;
  const std::lock_guard lock(mutex_);
  copies_.clear();
  if (state_ == State::waiting) state_ = State::idle;
  if (state_ == State::ended) why = "stopping";
  log_failed(child, why);
  why_ = std::move(why);
}

/// The next message of the new process; an error, where that is the end of the attempt.
Result<HandoverMessage> Upgrade::hear(HandoverKind expected, Instant limit) {
  Result<HandoverMessage> answer = channel_->receive(limit);
  if (has_ended()) return system_error("stopping", ECANCELED);
  if (!answer && answer.error().code == ETIMEDOUT)
    return std::unexpected(Error{"not ready in " + std::to_string(to_ms(options_.limit)) + " ms", ETIMEDOUT});
  if (!answer) return answer;
  if (answer->kind == HandoverKind::refused) return error(answer->text);
  if (answer->kind != expected) return system_error("hand-over: not what was asked for", EPROTO);
  return answer;
}

Result<void> Upgrade::await_ready() {
  const Instant limit = monotonic_now() + options_.limit;
  // A program that does not know of this gets nothing, and so leaves no listener open behind its back.
  if (Result<HandoverMessage> knock = hear(HandoverKind::knock, limit); !knock)
    return std::unexpected(knock.error());
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::waiting) return system_error("stopping", ECANCELED);
    if (Result<void> offered = offer_listeners(); !offered) return offered;
    copies_.clear();
  }
  const Result<HandoverMessage> answer = hear(HandoverKind::ready, limit);
  if (!answer) return std::unexpected(answer.error());
  Result<std::vector<uint32_t>> taken = parse_taken(answer->text, static_cast<uint32_t>(offered_.size()));
  if (!taken) return std::unexpected(taken.error());

  const std::lock_guard lock(mutex_);
  if (state_ != State::waiting) return system_error("stopping", ECANCELED);
  if (Result<void> told = channel_->send(HandoverKind::go, {}, {}, monotonic_now() + kGoLimit); !told)
    return told;
  state_ = State::handed_over;
  taken_ = std::move(*taken);
  options_.hand_over(*channel_, taken_);
  return {};
}

/// Kills it, unless it ends by itself, and says how it ended.
std::string Upgrade::end_child(Duration patience) {
  if (channel_) channel_->end();
  if (!exits_within(child_, patience)) ::kill(child_, SIGKILL);
  int status = 0;
  pid_t ended = -1;
  do ended = ::waitpid(child_, &status, 0);
  while (ended < 0 && errno == EINTR);
  return ended == child_ ? describe_exit(status) : "ended";
}

UpgradeStatus Upgrade::status() {
  const std::lock_guard lock(mutex_);
  switch (state_) {
    case State::waiting: return {.attempt = attempt_, .state = "under_way"};
    case State::handed_over: return {.attempt = attempt_, .state = "handed_over"};
    case State::ended: return {.attempt = attempt_, .state = "stopping"};
    case State::idle: break;
  }
  return {.attempt = attempt_, .state = attempt_ == 0 ? "none" : "failed", .why = why_};
}

bool Upgrade::has_ended() {
  const std::lock_guard lock(mutex_);
  return state_ == State::ended;
}

void Upgrade::end_attempt() noexcept {
  const std::lock_guard lock(mutex_);
  if (state_ == State::handed_over) return;
  if (state_ == State::waiting) channel_->end();
  copies_.clear();  // nothing keeps a listener open
  state_ = State::ended;
}

void Upgrade::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace lastcall
