#include "tests/support/server_process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <lastcall/core/check.hpp>

namespace lastcall {
namespace {

struct Pipe {
  Fd read;
  Fd write;
};

Pipe make_pipe() {
  int ends[2];
  LASTCALL_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

std::vector<std::string> environment_with(const std::vector<std::string>& added) {
  auto name_of = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view name = name_of(*entry);
    bool replaced = std::ranges::any_of(added, [&](const std::string& one) { return name_of(one) == name; });
    if (!name.starts_with("LASTCALL_") && !replaced) all.emplace_back(*entry);
  }
  all.insert(all.end(), added.begin(), added.end());
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

bool refuse_io_uring() noexcept {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{.len = sizeof filter / sizeof filter[0], .filter = filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// Between fork(2) and exec(2): only what is safe in a signal handler.
[[noreturn]] void become(const ProcessOptions& options, pid_t parent, int output, int errors,
                         char* const* arguments, char* const* environment) {
  constexpr int kFailed = 127;
  bool ready = ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == parent;
  ready = ready && ::dup2(output, STDOUT_FILENO) >= 0 && ::dup2(errors, STDERR_FILENO) >= 0;
  for (auto [ours, theirs] : options.inherited) {
    ready = ready && (ours == theirs ? ::fcntl(ours, F_SETFD, 0) == 0 : ::dup2(ours, theirs) >= 0);
  }
  if (options.descriptors != 0) {
    rlimit limit{.rlim_cur = options.descriptors, .rlim_max = options.descriptors};
    ready = ready && ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
  }
  if (options.deny_io_uring) ready = ready && refuse_io_uring();
  if (ready) ::execve(arguments[0], arguments, environment);
  ::_exit(kFailed);
}

std::string read_proc(pid_t pid, const char* name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/" + name);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

ServerProcess::ServerProcess(const std::string& program, std::vector<std::string> arguments,
                             ProcessOptions options) {
  arguments.insert(arguments.begin(), program);
  std::vector<std::string> environment = environment_with(options.environment);
  std::vector<char*> argument_pointers = pointers(arguments);
  std::vector<char*> environment_pointers = pointers(environment);
  Pipe output = make_pipe();
  Pipe errors = make_pipe();
  const pid_t parent = ::getpid();
  LASTCALL_CHECK(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);  // successors are ours to wait for
  pid_ = ::fork();
  LASTCALL_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    become(options, parent, output.write.get(), errors.write.get(), argument_pointers.data(),
           environment_pointers.data());
  }
  process_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  LASTCALL_CHECK(static_cast<bool>(process_));
  output_.start(std::move(output.read));
  errors_.start(std::move(errors.read));
}

ServerProcess::~ServerProcess() {
  if (exit_code_) return;
  ::kill(pid_, SIGKILL);
  static_cast<void>(wait_exit());
}

std::optional<int> ServerProcess::wait_exit(Duration patience) {
  if (exit_code_) return exit_code_;
  pollfd ended{.fd = process_.get(), .events = POLLIN, .revents = 0};
  if (TEMP_FAILURE_RETRY(::poll(&ended, 1, static_cast<int>(to_ms(patience)))) != 1) return std::nullopt;
  int status = 0;
  LASTCALL_CHECK(::waitpid(pid_, &status, 0) == pid_);
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  output_.finish();
  errors_.finish();
  return exit_code_;
}

std::optional<int> ServerProcess::follow(Duration patience) {
  const std::string former = std::to_string(pid_);
  const auto is_successor = [&](std::string_view line) {
    return log_field(line, "event") == "upgrade_ready" && log_field(line, "by") == former;
  };
  const std::optional<std::string> ready = errors_.wait_for(is_successor, patience);
  if (!ready) return std::nullopt;
  pollfd ended{.fd = process_.get(), .events = POLLIN, .revents = 0};
  if (TEMP_FAILURE_RETRY(::poll(&ended, 1, static_cast<int>(to_ms(patience)))) != 1) return std::nullopt;
  int status = 0;
  LASTCALL_CHECK(::waitpid(pid_, &status, 0) == pid_);
  pid_ = std::stoi(log_field(*ready, "pid"));
  process_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  LASTCALL_CHECK(static_cast<bool>(process_));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::optional<std::string> ServerProcess::wait_for_line(std::string_view text, Duration patience) const {
  return errors_.wait_for([&](std::string_view line) { return line.find(text) != line.npos; }, patience);
}

std::optional<std::string> ServerProcess::wait_for_event(std::string_view name, Duration patience) const {
  return errors_.wait_for([&](std::string_view line) { return log_field(line, "event") == name; }, patience);
}

std::vector<std::string> ServerProcess::addresses() const {
  std::vector<std::string> found;
  std::istringstream lines(log());
  for (std::string line; std::getline(lines, line);) {
    if (log_field(line, "event") == "listening") found.push_back(log_field(line, "address"));
  }
  return found;
}

size_t ServerProcess::descriptors() const {
  DIR* directory = ::opendir(("/proc/" + std::to_string(pid_) + "/fd").c_str());
  if (directory == nullptr) return 0;
  size_t count = 0;
  while (const dirent* entry = ::readdir(directory)) count += entry->d_name[0] != '.';
  ::closedir(directory);
  return count;
}

Duration ServerProcess::cpu_time() const {
  std::string stat = read_proc(pid_, "stat");
  // proc(5): utime and stime are the 14th and 15th; the second, in parentheses, may hold blanks.
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  int64_t user = 0;
  int64_t system = 0;
  fields >> user >> system;
  return (user + system) * Duration(1s) / ::sysconf(_SC_CLK_TCK);
}

bool ServerProcess::is_stopped() const {
  std::error_code gone;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/task", gone)) {
    std::string stat = read_proc(pid_, ("task/" + task.path().filename().string() + "/stat").c_str());
    size_t name_end = stat.rfind(')');
    if (name_end != std::string::npos && stat.compare(name_end, 4, ") T ") != 0) return false;
  }
  return !gone;
}

size_t ServerProcess::peak_memory_bytes() const {
  std::string status = read_proc(pid_, "status");
  size_t at = status.find("VmHWM:");
  return at == std::string::npos ? 0 : std::strtoul(status.c_str() + at + 6, nullptr, 10) * 1024;
}

void ServerProcess::Collector::start(Fd pipe) {
  pipe_ = std::move(pipe);
  thread_ = std::jthread([this] { run(); });
}

void ServerProcess::Collector::run() {
  char bytes[4096];
  for (;;) {
    ssize_t got = ::read(pipe_.get(), bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    std::lock_guard lock(mutex_);
    if (got > 0) text_.append(bytes, static_cast<size_t>(got));
    ended_ = got <= 0;
    changed_.notify_all();
    if (ended_) return;
  }
}

std::string ServerProcess::Collector::text() const {
  std::lock_guard lock(mutex_);
  return text_;
}

std::optional<std::string> ServerProcess::Collector::wait_for(
    const std::function<bool(std::string_view)>& wanted, Duration patience) const {
  std::unique_lock lock(mutex_);
  std::optional<std::string> found;
  size_t looked_at = 0;
  changed_.wait_for(lock, patience, [&] {
    for (size_t end; !found && (end = text_.find('\n', looked_at)) != std::string::npos;
         looked_at = end + 1) {
      std::string_view line(text_.data() + looked_at, end - looked_at);
      if (wanted(line)) found = line;
    }
    return found || ended_;
  });
  return found;
}

std::string log_field(std::string_view line, std::string_view key) {
  std::string json = "\"" + std::string(key) + "\":";
  std::string text = " " + std::string(key) + "=";
  size_t at = line.find(json);
  const bool is_json = at != std::string_view::npos;
  at = is_json ? at + json.size() : line.find(text);
  if (at == std::string_view::npos) return {};
  if (!is_json) at += text.size();
  const bool quoted = at < line.size() && line[at] == '"';
  if (quoted) ++at;
  return std::string(line.substr(at, line.find_first_of(quoted ? "\"" : " ,}", at) - at));
}

}  // namespace lastcall
