#include <gtest/gtest.h>

#include <lastcall/http/fd_store.hpp>

namespace lastcall {
namespace {

// No colon and nothing that does not print: sd_pid_notify_with_fds(3).
TEST(FdStore, NamesAreOfPlainCharacters) {
  EXPECT_EQ(FdStore::name_of("127.0.0.1:8080"), "lastcall=127.0.0.1|8080");
  EXPECT_EQ(FdStore::name_of("[::1]:80"), "lastcall=[||1]|80");
  EXPECT_EQ(FdStore::name_of("a b%\xff"), "lastcall=a%20b%25%FF");
}

}  // namespace
}  // namespace lastcall
