#pragma once

#include <termios.h>

#include <cstdint>
#include <string>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>

namespace lastcall::tool {

/// The terminal on standard input and output, taken over whole as full-screen programs do, until it is
/// destroyed: then it is as before. One at a time; SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP and SIGWINCH are
/// its own meanwhile.
class Terminal {
 public:
  struct Size {
    size_t columns = 80;
    size_t rows = 24;
  };
  enum class Wish : uint8_t { none, redraw, quit };

  [[nodiscard]] static bool is_there();  ///< on standard output
  Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal();

  [[nodiscard]] Size size() const;
  /// From the top left on; lines that find no room are left out. Lines are ASCII of at most size().columns.
  void draw(const std::vector<std::string>& lines) const;
  /// Until then, or until somebody wants something: `q` or a signal to end, another key or size to redraw.
  [[nodiscard]] Wish wait_until(Instant instant);

 private:
  void enter();
  void leave() const;
  [[nodiscard]] Wish take_signal();
  [[nodiscard]] Wish take_keys();

  termios before_{};
  bool has_input_ = false;
  Fd signals_;
};

}  // namespace lastcall::tool
