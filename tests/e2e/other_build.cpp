// Stands for test_e2e in the build of a sanitizer: runs that of the release build, on the programs of this
// one. Most of the time that those tests take to compile is gtest's, and what they look at are other
// processes.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

int main(int, char** arguments) {
  ::setenv("LASTCALL_TEST_BUILD", LASTCALL_BUILD, 1);
  ::setenv("LASTCALL_TEST_SANITIZE", LASTCALL_SANITIZE, 1);
  ::execv(LASTCALL_TESTS, arguments);
  std::perror(LASTCALL_TESTS);
  return EXIT_FAILURE;
}
