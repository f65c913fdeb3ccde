#pragma once

#include <cstddef>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include <lastcall/core/buffer.hpp>
#include <lastcall/http/hijacked.hpp>
#include <lastcall/http/task.hpp>

namespace lastcall {

struct Exchange;
class Session;
class Stream;
class WebSocketConnection;

/// Who is told, in place of a handler that reads and writes: bytes have come, there is room, the input has
/// ended, or the connection is gone (then the stream is aborted()). A plain function, on the reactor's
/// thread.
struct StreamWatcher {
  void (*changed)(StreamWatcher&);  ///< with itself
};

/// `co_await stream.read()`: see Stream::read.
class [[nodiscard]] ReadStream : TaskContext::Waiter {
 public:
  /// For Stream::read().
  explicit ReadStream(Stream& stream) noexcept : stream_(stream) {
    cancel = [](Waiter& waiter) { static_cast<ReadStream&>(waiter).resume(); };
  }
  ReadStream(const ReadStream&) = delete;
  ReadStream& operator=(const ReadStream&) = delete;
  bool await_ready() const noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    coroutine_ = coroutine;
    suspend(*coroutine.promise().context);
  }
  std::string_view await_resume() noexcept;

 private:
  friend class Stream;
  void suspend(TaskContext& context) noexcept;
  void resume();

  Stream& stream_;
  TaskContext* context_ = nullptr;
  std::coroutine_handle<> coroutine_;
};

/// `co_await stream.write(bytes)`: see Stream::write.
class [[nodiscard]] WriteStream : TaskContext::Waiter {
 public:
  /// For Stream::write().
  WriteStream(Stream& stream, std::string_view bytes) noexcept : stream_(stream), bytes_(bytes) {
    cancel = [](Waiter& waiter) { static_cast<WriteStream&>(waiter).resume(); };
  }
  WriteStream(const WriteStream&) = delete;
  WriteStream& operator=(const WriteStream&) = delete;
  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    coroutine_ = coroutine;
    suspend(*coroutine.promise().context);
  }
  bool await_resume() noexcept;

 private:
  friend class Stream;
  void suspend(TaskContext& context) noexcept;
  void resume();

  Stream& stream_;
  std::string_view bytes_;
  TaskContext* context_ = nullptr;
  std::coroutine_handle<> coroutine_;
  bool taken_ = false;
};

/// `co_await stream.detach()`: see Stream::detach.
class [[nodiscard]] DetachStream : TaskContext::Waiter {
 public:
  /// For Stream::detach().
  explicit DetachStream(Stream& stream) noexcept : stream_(stream) {
    cancel = [](Waiter& waiter) { static_cast<DetachStream&>(waiter).resume(); };
  }
  DetachStream(const DetachStream&) = delete;
  DetachStream& operator=(const DetachStream&) = delete;
  bool await_ready() const noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    coroutine_ = coroutine;
    suspend(*coroutine.promise().context);
  }
  std::optional<HijackedConnection> await_resume() noexcept;

 private:
  friend class Stream;
  void suspend(TaskContext& context) noexcept;
  void resume();

  Stream& stream_;
  TaskContext* context_ = nullptr;
  std::coroutine_handle<> coroutine_;
  std::optional<HijackedConnection> connection_;
};

/// A connection that has left HTTP: its bytes, both ways, are the handler's until the handler ends; then what
/// is queued leaves and the connection is closed in order, also when the handler throws. The server's
/// timeouts for requests are over, but a peer that takes no byte for the write timeout is still cut off.
///
/// The stop waits for it as for any request, and reports it as "hijacked" where it has to cut it off. Lives
/// as long as its handler. Reactor's thread only.
class Stream {
 public:
  /// Bytes that came and were not read, before the peer is held back. What was on its way still comes.
  static constexpr size_t kMaxUnreadBytes = 64 * 1024;
  /// Bytes that wait to be handed to the kernel, before write() waits.
  static constexpr size_t kMaxPreparedBytes = 64 * 1024;
  /// Most that append() adds to what is not yet handed to the kernel.
  static constexpr size_t kMaxAppendedBytes = 64 * 1024;

  /// For Response::hijack().
  explicit Stream(Exchange& exchange) noexcept;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// What has come since the last read(), at first also what came behind the request; waits until there is
  /// something. Valid until the next read(). Empty for good once the peer has ended its side, or when it is
  /// gone or the stop forces; what came before that is still handed out.
  [[nodiscard]] ReadStream read() noexcept { return ReadStream(*this); }
  /// Sends bytes, of any number; they are copied. Waits while the peer is slow to take what was written.
  /// False when nobody is there to take them any more; throws std::system_error (EPIPE) when called again
  /// after that.
  [[nodiscard]] WriteStream write(std::string_view bytes) noexcept { return WriteStream(*this, bytes); }
  /// Sends bytes without waiting, also from outside the handler: from an event on the reactor's thread. All
  /// or nothing; false when nobody is there, or past kMaxAppendedBytes.
  bool append(std::string_view bytes);
  /// Bytes that are not yet handed to the kernel.
  [[nodiscard]] size_t queued() const noexcept;
  /// The peer is gone or the stop forces: read() and write() have nothing more to do.
  [[nodiscard]] bool aborted() const noexcept;
  /// "127.0.0.1:53124", "[::1]:53124", "unix:".
  [[nodiscard]] const std::string& peer() const;

  /// Opts out of the stop's patience: when draining begins (now, if it has) the handler is told by its stop
  /// token, what is queued leaves and the connection is closed in order, as one that has completed. What the
  /// handler does after that is waited for like everything that runs on a reactor.
  void leave_at_stop();

  /// Gives the connection away, once all that was written is with the kernel: the descriptor, for another
  /// thread or another library, with the bytes that came and were not read. The handler goes on without it;
  /// this stream is as if the peer had gone. Empty when the peer had, or the stop forces.
  [[nodiscard]] DetachStream detach() noexcept { return DetachStream(*this); }

 private:
  friend class ReadStream;
  friend class WriteStream;
  friend class DetachStream;
  friend class Session;
  friend struct SessionEnvironment;
  friend class WebSocketConnection;

  // The session's calls.
  void receive(std::string_view bytes);  ///< bytes have come
  void take(Buffer& bytes) noexcept { unread_.swap(bytes); }
  void end_input();  ///< no more will
  [[nodiscard]] std::string take_unread();
  [[nodiscard]] bool holds_back() const noexcept {
    return unread_.size() >= kMaxUnreadBytes || detacher_ != nullptr;
  }
  void on_detach(HijackedConnection connection);  ///< the session is gone, the handler goes on
  void on_room() {
    if (watcher_ != nullptr) return watcher_->changed(*watcher_);
    if (writer_ != nullptr) std::exchange(writer_, nullptr)->resume();
  }
  [[nodiscard]] bool leaves_at_stop() const noexcept { return leaves_at_stop_; }
  void abandon() noexcept {  ///< the connection is gone; whoever waits is told by its context
    reader_ = nullptr;
    writer_ = nullptr;
    detacher_ = nullptr;
    if (watcher_ != nullptr) watcher_->changed(*watcher_);
  }

  [[nodiscard]] bool gone() const noexcept;
  [[nodiscard]] std::string_view lend_unread() noexcept;  ///< without waiting; valid until the next
  [[nodiscard]] bool input_ended() const noexcept;

  /// The force of a connection that was detached, on the reactor's thread.
  struct Cancel {
    TaskContext& context;
    void operator()() const { context.cancel(); }
  };

  Exchange& exchange_;
  Buffer unread_;
  Buffer handed_out_;  // by the last read()
  ReadStream* reader_ = nullptr;
  WriteStream* writer_ = nullptr;
  DetachStream* detacher_ = nullptr;
  StreamWatcher* watcher_ = nullptr;
  std::optional<std::stop_callback<Cancel>> forced_;  // once detached
  size_t appended_ = 0;                               // of what was prepared since that was last empty
  bool refused_write_ = false;
  bool leaves_at_stop_ = false;
};

}  // namespace lastcall
