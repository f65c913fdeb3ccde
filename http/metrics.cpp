#include <fmt/format.h>

#include <iterator>

#include <lastcall/http/metrics.hpp>

namespace lastcall {
namespace {

using Reactor = ServerStatus::Reactor;

double seconds(Duration duration) noexcept {
  return std::chrono::duration<double>(duration).count();
}

/// Backslash, quote and line end are all that a label value must not hold as they are.
void append_escaped(std::string& text, std::string_view value) {
  for (const char c : value) {
    switch (c) {
      case '\\': text += "\\\\"; break;
      case '"': text += "\\\""; break;
      case '\n': text += "\\n"; break;
      default: text += c;
    }
  }
}

void write_process(MetricsWriter& out, const ServerStatus& status) {
  out.family("lastcall_build_info", "gauge", "What is running; the value is always 1.");
  out.sample(uint64_t{1}, {{"version", status.version}, {"io", status.io}});
  out.family("process_start_time_seconds", "gauge", "When the server began, in seconds since 1970 UTC.");
  out.sample(static_cast<double>(to_ms(status.began_wall)) / 1000);
  out.family("process_open_fds", "gauge", "Open file descriptors of the process.");
  out.sample(status.descriptors.open);
  out.family("process_max_fds", "gauge", "Most file descriptors that the process may have open.");
  out.sample(status.descriptors.limit);
}

void write_stop(MetricsWriter& out, const ServerStatus& status) {
  out.family("lastcall_ready", "gauge", "1 while new work is welcome, as /readyz says; 0 from a stop on.");
  out.sample(uint64_t{status.ready});
  out.family("lastcall_phase", "gauge", "1 for the phase that the server is in, 0 for the others.");
  for (const Phase phase :
       {Phase::running, Phase::announcing, Phase::draining, Phase::forcing, Phase::stopped}) {
    out.sample(uint64_t{phase == status.phase}, {{"phase", to_string(phase)}});
  }
  if (!status.stop_remaining) return;
  out.family("lastcall_stop_remaining_seconds", "gauge",
             "Time to the deadline of the stop; only while one lasts.");
  out.sample(seconds(*status.stop_remaining));
}

void write_listeners(MetricsWriter& out, const ServerStatus& status) {
  out.family("lastcall_listener_info", "gauge", "An address that is listened on; the value is always 1.");
  for (const ServerStatus::Listener& listener : status.listeners) {
    out.sample(uint64_t{1}, {{"address", listener.address}, {"gate", listener.gate}});
  }
}

struct Family {
  std::string_view name;
  std::string_view type;
  std::string_view help;
  uint64_t Reactor::*value;
};

constexpr Family kOfReactors[] = {
    {"lastcall_connections_accepted_total", "counter", "Connections accepted.", &Reactor::accepted},
    {"lastcall_connections_accepted_while_stopping_total", "counter",
     "Connections accepted after draining began: they had finished their handshake.",
     &Reactor::accepted_while_stopping},
    {"lastcall_connections_active", "gauge", "Open connections with a request not answered in full.",
     &Reactor::active},
    {"lastcall_connections_idle", "gauge", "Open connections between two requests.", &Reactor::idle},
    {"lastcall_connections_idle_closed_total", "counter", "Connections closed between two requests.",
     &Reactor::idle_closed},
    {"lastcall_connections_completed_total", "counter",
     "Connections that ended in order, or by their client.", &Reactor::completed},
    {"lastcall_connections_handed_over_total", "counter",
     "Connections that went on in a successor of the process.", &Reactor::handed_over},
    {"lastcall_connections_aborted_total", "counter",
     "Connections cut off with a request not answered in full.", &Reactor::aborted},
    {"lastcall_late_requests_total", "counter",
     "Connections on which bytes arrived after their close as idle had begun.", &Reactor::late_requests},
    {"lastcall_sent_bytes_total", "counter", "Bytes of answers handed to the kernel.", &Reactor::bytes_sent},
};

void write_reactors(MetricsWriter& out, const ServerStatus& status) {
  for (const Family& family : kOfReactors) {
    out.family(family.name, family.type, family.help);
    for (const Reactor& reactor : status.reactors) {
      out.sample(reactor.*family.value, {{"reactor", std::to_string(reactor.id)}});
    }
  }
  out.family("lastcall_responses_total", "counter", "Answers begun, by the class of their status.");
  for (const Reactor& reactor : status.reactors) {
    for (size_t i = 0; i < reactor.answers.size(); ++i) {
      out.sample(reactor.answers[i], {{"reactor", std::to_string(reactor.id)}, {"code", kStatusClasses[i]}});
    }
  }
  out.family("lastcall_turned_away_total", "counter",
             "Connections and requests that were refused without being served, by reason.");
  for (const Reactor& reactor : status.reactors) {
    for (size_t i = 0; i < kTurnedAwayReasons; ++i) {
      out.sample(reactor.turned_away[i], {{"reactor", std::to_string(reactor.id)},
                                          {"reason", to_string(static_cast<TurnedAway>(i))}});
    }
  }
  out.family("lastcall_loop_lag_seconds", "gauge",
             "How late a reactor was to come to a timer, the worst of the last second or two.");
  for (const Reactor& reactor : status.reactors) {
    out.sample(seconds(reactor.loop_lag), {{"reactor", std::to_string(reactor.id)}});
  }
}

}  // namespace

void MetricsWriter::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void MetricsWriter::begin_sample(Labels labels) {
  text_ += name_;
  char before = '{';
  for (const auto& [name, value] : labels) {
    text_ += before;
    text_.append(name).append("=\"");
    append_escaped(text_, value);
    text_ += '"';
    before = ',';
  }
  if (labels.size() != 0) text_ += '}';
  text_ += ' ';
}

void MetricsWriter::sample(uint64_t value, Labels labels) {
  begin_sample(labels);
  fmt::format_to(std::back_inserter(text_), "{}\n", value);
}

void MetricsWriter::sample(double value, Labels labels) {
  begin_sample(labels);
  fmt::format_to(std::back_inserter(text_), "{}\n", value);  // the shortest that reads back the same
}

std::string to_prometheus(const ServerStatus& status) {
  MetricsWriter out;
  write_process(out, status);
  write_stop(out, status);
  write_listeners(out, status);
  write_reactors(out, status);
  return out.take();
}

}  // namespace lastcall
