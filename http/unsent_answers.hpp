#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include <lastcall/core/buffer.hpp>
#include <lastcall/core/time.hpp>
#include <lastcall/http/method.hpp>

namespace lastcall {

/// The requests of one connection that are answered and whose answers may still wait to be sent: whom the
/// report names when the stop cuts them off. Costs an answer a few stores: the newest is kept in place, and
/// its target is the pattern of its route where the two are the same. Others are copied, into memory that
/// goes back when they are sent.
class UnsentAnswers {
 public:
  struct Answer {
    Instant began{};
    uint64_t end = 0;           ///< how many bytes the connection had been given to send, with this answer
    std::string_view target{};  ///< empty: its head was refused
    Method method = Method::get;
  };

  /// So many unsent ones there is always room for, however long their targets are.
  static constexpr size_t kAlwaysKept = 100;
  /// Of a target that is copied; the rest is cut off.
  static constexpr size_t kMaxTargetBytes = 512;
  /// What is kept beside the newest; later ones are left out of the report until there is room again. Rarely
  /// is it more than the 4 KiB that memory begins with: 110 with targets of a few bytes.
  static constexpr size_t kMaxBytes = 65'536;

  explicit UnsentAnswers(BufferPool& pool) noexcept : earlier_(pool) {}

  /// `lasting`: the target's text lives as long as the connection. `sent`: bytes that were handed to the
  /// kernel.
  void add(const Answer& answer, bool lasting, uint64_t sent) {
    if (newest_.end > sent) [[unlikely]]
      keep_newest(sent);
    if (!lasting) [[unlikely]]
      return add_copied({answer.began, answer.end, answer.target, answer.method}, sent);
    // One by one: of a whole, the compiler makes a copy in memory first.
    newest_.began = answer.began;
    newest_.end = answer.end;
    newest_.target = answer.target.data();
    newest_.target_bytes = static_cast<uint32_t>(answer.target.size());
    newest_.method = answer.method;
  }
  [[nodiscard]] bool holds_memory() const noexcept { return !earlier_.empty(); }
  /// Gives memory back when nothing in it is unsent.
  void forget(uint64_t sent) noexcept {
    if (!earlier_.empty() && last_end() <= sent) earlier_.release();
  }
  /// Calls f(const Answer&) for those who are unsent, oldest first; the target is valid during the call.
  template <class F>
  void for_each_unsent(uint64_t sent, F&& f) const {
    for (std::string_view rest = earlier(); !rest.empty();) {
      if (const Answer answer = take_first(rest); answer.end > sent) f(answer);
    }
    if (newest_.end > sent) f(newest_.answer());
  }

 private:
  /// An answer in little room: an idle connection has one.
  struct Kept {
    Instant began{};
    uint64_t end = 0;
    const char* target = nullptr;
    uint32_t target_bytes = 0;
    Method method = Method::get;
    bool copied = false;  ///< only in `earlier_`: the target's text comes next
    [[nodiscard]] Answer answer() const noexcept { return {began, end, {target, target_bytes}, method}; }
  };

  [[nodiscard]] static Answer take_first(std::string_view& bytes) noexcept;
  [[nodiscard]] std::string_view earlier() const noexcept {
    return earlier_.empty() ? std::string_view() : earlier_.view().substr(sizeof(uint64_t));
  }
  [[nodiscard]] uint64_t last_end() const noexcept {
    uint64_t end = 0;
    std::memcpy(&end, earlier_.data(), sizeof end);
    return end;
  }
  void keep_newest(uint64_t sent);
  void add_copied(const Answer& answer, uint64_t sent);
  void keep(const Kept& answer, std::string_view copied, uint64_t sent);
  void drop_sent(uint64_t sent) noexcept;

  Kept newest_;     // of a target that lasts; or sent
  Buffer earlier_;  // the end of the last; then one that is Kept, with its target if that is copied; and so on
};

}  // namespace lastcall
