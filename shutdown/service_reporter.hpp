#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/control.hpp>
#include <lastcall/shutdown/service_notify.hpp>

namespace lastcall {

/// What the service manager hears of a server as time goes by: signs of life, if it wants them, and how the
/// stop goes. The runner's thread only, so that a runner that is stuck gives none.
///
/// A sign of life says that every reactor's loop is: one that is later than half of the manager's patience
/// withholds it, and the manager may end the process. While a stop lasts the manager is asked for more time
/// with each word, at most up to the deadline and kAtTheEnd more: as long as there is somebody here to say
/// so, the deadline will be kept.
class ServiceReporter {
 public:
  static constexpr Duration kProgress = 1s;     ///< between two words on the stop
  static constexpr Duration kPatience = 5s;     ///< that the manager is asked to have for the next one
  static constexpr Duration kAtTheEnd = 500ms;  ///< behind the deadline, for the process to go

  /// Where the runner is.
  struct Moment {
    Phase phase = Phase::running;
    Instant deadline = kNever;  ///< of the stop
    Instant now{};
  };

  /// Both outlive it.
  ServiceReporter(const StopControl& control, ServiceNotify& notify);

  /// When look() is to be called at the latest; kNever: nobody listens, or nothing is due before the stop.
  [[nodiscard]] Instant next_due() const noexcept;
  /// A stop has begun; once or more often.
  void begin(const Moment& moment, std::string_view reason);
  /// Tells what is due.
  void look(const Moment& moment);

 private:
  void tell_alive(Instant now);
  [[nodiscard]] int late_reactor(Instant now) const noexcept;
  [[nodiscard]] std::string describe(const Moment& moment) const;
  [[nodiscard]] static Duration extension(const Moment& moment) noexcept;

  const StopControl& control_;
  ServiceNotify& notify_;
  Duration watchdog_;  // 0s: none
  Instant alive_due_ = kNever;
  Instant progress_due_ = kNever;
  int withheld_for_ = -1;  // the reactor, as long as it is late
};

}  // namespace lastcall
