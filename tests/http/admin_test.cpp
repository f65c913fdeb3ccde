#include <gtest/gtest.h>

#include <lastcall/http/admin.hpp>

namespace lastcall::test {
namespace {

AdminOptions with_timeouts(const StopControl& control, Duration timeout) {
  const SessionOptions session{
      .limits = {}, .header_timeout = timeout, .body_timeout = timeout, .idle_timeout = timeout};
  return {.control = control,
          .io = {},
          .began = {},
          .listeners = {},
          .drain = {},
          .session = session,
          .write_timeout = timeout,
          .server_name = {}};
}

void expect_timeouts(const AdminOptions& options, Duration timeout) {
  EXPECT_EQ(options.session.header_timeout, timeout);
  EXPECT_EQ(options.session.body_timeout, timeout);
  EXPECT_EQ(options.session.idle_timeout, timeout);
  EXPECT_EQ(options.write_timeout, timeout);
}

TEST(AdminListenerOptions, TimeoutsAreShortWhateverTheServersAre) {
  const StopControl control{1};
  expect_timeouts(AdminListener::hurried(with_timeouts(control, 75s)), 5s);
  expect_timeouts(AdminListener::hurried(with_timeouts(control, 5s)), 5s);
  expect_timeouts(AdminListener::hurried(with_timeouts(control, 300ms)), 300ms);
}

}  // namespace
}  // namespace lastcall::test
