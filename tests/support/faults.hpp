#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <lastcall/core/fd.hpp>

#include "tests/support/fault_plan.hpp"

namespace lastcall {

/// How the calls of one kind are to fail.
struct Fault {
  int error = 0;                ///< errno; 0: short instead
  uint32_t at_most = 1;         ///< bytes of a short recv or send; a short accept is one connection
  uint32_t every = 1;           ///< each so-manieth call
  uint32_t times = UINT32_MAX;  ///< then no more
};

/// System calls of a process under test that fail: start it with environment(), which loads fault_preload.cpp
/// into it. May be armed and disarmed while it runs.
class Faults {
 public:
  Faults();
  ~Faults();
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  /// For ProcessOptions. `library`: the file of fault_preload.
  [[nodiscard]] std::vector<std::string> environment(const std::string& library) const;

  void arm(fault::Call call, const Fault& fault);
  void disarm(fault::Call call) { rule(call).every = 0; }
  [[nodiscard]] uint32_t fired(fault::Call call) const { return rule(call).fired; }
  [[nodiscard]] uint32_t calls(fault::Call call) const { return rule(call).calls; }

  /// Of io_uring, before the start. Else its one accept is under way before it can fail.
  void make_single_shots() { plan_->single_shots = 1; }
  /// Of io_uring, before the start: entries of the completion queue, a power of two.
  void limit_completions(uint32_t entries) { plan_->completions = entries; }
  [[nodiscard]] uint32_t overflows() const { return plan_->overflows; }

 private:
  [[nodiscard]] fault::Rule& rule(fault::Call call) const {
    return plan_->rules[static_cast<uint32_t>(call)];
  }

  Fd file_;
  fault::Plan* plan_;
};

/// Can faults be put into an io_uring here (Linux 6.10)?
[[nodiscard]] bool can_fault_io_uring();

}  // namespace lastcall
