// A warm request allocates nothing: not in the session, its handler's answer, or what is prepared for the
// kernel.

#include "tests/http/session_support.hpp"
#include "tests/support/allocation_counter.hpp"

namespace lastcall::test {
namespace {

class AllocationTest : public ::testing::Test {
 protected:
  AllocationTest() {
    host.on(Method::get, "/plaintext",
            [](const Request&, Response& response) { response.text("Hello, World!"); })
        .on(Method::get, "/users/{id}/posts/{post}",
            [](const Request& request, Response& response) {
              response.header("X-Post", *request.param("post")).json(*request.param("id"));
            })
        .on(Method::post, "/body",
            [](const Request& request, Response& response) { response.text(request.body()); });
  }

  /// Allocations of on_bytes() for each of the pieces, after as many warm rounds; the answers are checked
  /// apart.
  uint64_t count(std::initializer_list<std::string_view> pieces, size_t answers) {
    std::string sent;
    for (int round = 0; round < 3; ++round) sent = ask(pieces);
    auto parsed = parse_answers(sent);
    EXPECT_TRUE(parsed && parsed->size() == answers) << sent;
    for (const Answer& answer : *parsed) EXPECT_EQ(answer.status, 200);
    AllocationCounter counter;
    for (int round = 0; round < 10; ++round) {
      for (std::string_view piece : pieces) host.session().on_bytes(piece);
      host.link().output().release();  // as a send does
    }
    return counter.count();
  }

  std::string ask(std::initializer_list<std::string_view> pieces) {
    for (std::string_view piece : pieces) host.session().on_bytes(piece);
    std::string sent(host.link().output().view());
    host.link().output().release();
    return sent;
  }

  SessionHost host;
};

TEST_F(AllocationTest, CounterCounts) {
  AllocationCounter counter;
  int* volatile number = new int(1);  // volatile: or the pair is optimised away
  delete number;
  EXPECT_GE(counter.count(), 1u);
}

TEST_F(AllocationTest, WarmPlaintext) {
  EXPECT_EQ(count({get("/plaintext")}, 1), 0u);
}

TEST_F(AllocationTest, WarmRouteWithParametersAndFifteenHeaders) {
  std::string fields;
  for (int i = 0; i < 15; ++i) fields += "X-Field-" + std::to_string(i) + ": some value of some length\r\n";
  EXPECT_EQ(count({get("/users/a%20b/posts/7?x=y", fields)}, 1), 0u);
}

TEST_F(AllocationTest, WarmPipelineOfSixteen) {
  std::string requests;
  for (int i = 0; i < 16; ++i) requests += get("/plaintext");
  EXPECT_EQ(count({requests}, 16), 0u);
}

TEST_F(AllocationTest, WarmRequestInPieces) {
  std::string request = get("/users/1/posts/2");
  std::string_view view = request;
  EXPECT_EQ(count({view.substr(0, 5), view.substr(5, 20), view.substr(25)}, 1), 0u);
}

TEST_F(AllocationTest, WarmBody) {
  std::string request = post("/body", std::string(2000, 'x'));
  std::string_view view = request;
  EXPECT_EQ(count({request}, 1), 0u);
  EXPECT_EQ(count({view.substr(0, 1000), view.substr(1000)}, 1), 0u);
}

TEST_F(AllocationTest, WarmNotFound) {
  for (int round = 0; round < 3; ++round) EXPECT_FALSE(ask({get("/nowhere")}).empty());
  std::string request = get("/nowhere");
  AllocationCounter warm;
  host.session().on_bytes(request);
  EXPECT_EQ(warm.count(), 0u);
  host.link().output().release();
}

}  // namespace
}  // namespace lastcall::test
