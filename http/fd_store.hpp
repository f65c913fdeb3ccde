#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/net/address.hpp>
#include <lastcall/net/passed_sockets.hpp>
#include <lastcall/shutdown/service_notify.hpp>

namespace lastcall {

/// Listening sockets that the service manager keeps for us, so that they live on, with whoever waits in their
/// queues, when this process ends or crashes and the next one is started: FDSTORE of sd_notify(3). They are
/// known by the text of their address, "lastcall=127.0.0.1|8080". One queue an address, which all reactors
/// share: the next process may have any number of them.
class FdStore {
 public:
  static constexpr size_t kMaxName = 255;  ///< the manager's limit

  /// Both outlive it.
  FdStore(PassedSockets& passed, ServiceNotify& notify) : passed_(passed), notify_(notify) {}

  /// The socket that was kept for `address`, or a new one, as an inherited descriptor to be opened. Only TCP:
  /// a Unix socket's file goes with its process, so nothing is returned for one.
  [[nodiscard]] Result<std::optional<Address>> listen(const Address& address, int backlog);
  /// The new ones are to be kept from here on.
  void keep();
  /// What was kept for addresses that are not listened on any more is not to be kept any longer.
  void forget_rest();

  /// "lastcall=127.0.0.1|8080": letters, digits and a few more as they are, ':' as '|', the rest as %XX.
  [[nodiscard]] static std::string name_of(std::string_view address);

 private:
  struct New {
    std::string name;
    Fd copy;
  };
  PassedSockets& passed_;
  ServiceNotify& notify_;
  std::vector<New> new_;
};

}  // namespace lastcall
