// Who comes in, and who that is: PROXY headers, limits of clients and requests, the fields of proxies. On
// connections in memory; the other end is what the test says.

#include <memory>
#include <optional>
#include <vector>

#include <lastcall/http/admission.hpp>

#include "tests/http/session_support.hpp"

namespace lastcall::test {
namespace {

constexpr std::string_view kLine = "PROXY TCP4 203.0.113.5 127.0.0.1 4444 80\r\n";
constexpr std::string_view kProxy = "10.0.0.1:5000";

struct SessionAdmission : ::testing::Test {
  SessionAdmission() {
    admission.trusted = *TrustedProxies::parse({"10.0.0.0/8"});
    options.admission = &admission;
  }
  /// With a connection from `peer`.
  SessionHost& host(std::string_view peer = kProxy, Preface preface = Preface::proxy) {
    if (!host_) {
      host_.emplace(options);
      add_routes(*host_);
      host_->on(Method::get, "/who",
                [](const Request& request, Response& response) {
                  response.text(request.peer() + " " + request.client().text());
                },
                {.max_in_flight = 100});
    } else if (host_->open_still()) {
      host_->vanish();
      host_->open();
    } else {
      host_->open();
    }
    came_in = host_->session().on_connect(*parse_peer(peer), preface);
    host_->settle();
    return *host_;
  }
  uint64_t turned_away(TurnedAway reason) {
    return host_->loop().counters.turned_away[static_cast<size_t>(reason)];
  }
  std::string who(SessionHost& at, std::string_view before = "", std::string_view fields = "") {
    return std::string(parse_answer(at.ask(std::string(before) + get("/who", fields)), "GET").body);
  }

  Admission admission;
  SessionOptions options;
  std::optional<SessionHost> host_;
  bool came_in = false;
};

TEST_F(SessionAdmission, HeaderAndRequestAtEveryCut) {
  const std::string wire = std::string(kLine) + get("/who");
  for (size_t cut = 0; cut <= wire.size(); ++cut) {
    SessionHost& at = host();
    EXPECT_TRUE(came_in);
    at.receive(wire.substr(0, cut));
    EXPECT_EQ(at.session().active(), cut > kLine.size() && cut < wire.size()) << "only by bytes of a request";
    EXPECT_EQ(at.session().awaits_proxy_header(), cut < kLine.size());
    EXPECT_EQ(parse_answer(at.ask(wire.substr(cut)), "GET").body, "203.0.113.5:4444 203.0.113.5:4444") << cut;
    EXPECT_EQ(who(at), "203.0.113.5:4444 203.0.113.5:4444") << "for the whole connection";
  }
  EXPECT_EQ(turned_away(TurnedAway::bad_proxy_header), 0u);
}

TEST_F(SessionAdmission, ProxyThatSpeaksForItself) {
  EXPECT_EQ(who(host(), "PROXY UNKNOWN\r\n"), "10.0.0.1:5000 10.0.0.1:5000");
}

TEST_F(SessionAdmission, StrangersAreClosedWithoutAWord) {
  SessionHost& at = host("192.0.2.1:1");
  EXPECT_FALSE(came_in);
  EXPECT_FALSE(at.open_still());
  EXPECT_EQ(at.reason(), CloseReason::refused);
  EXPECT_EQ(at.take(), "");
  EXPECT_EQ(turned_away(TurnedAway::untrusted_proxy), 1u);
}

// HAProxy's health checks reset their connections: there may be no address any more to ask for.
TEST_F(SessionAdmission, WhoIsGoneAlreadyIsNoStranger) {
  SessionHost& at = host();
  MemoryConnection gone(at.reactor());
  EXPECT_FALSE(gone.session().on_connect(PeerAddress{}, Preface::proxy));
  at.settle();
  EXPECT_FALSE(gone.open());
  EXPECT_EQ(turned_away(TurnedAway::untrusted_proxy), 0u);
}

TEST_F(SessionAdmission, BrokenHeaderIsClosedWithoutAWord) {
  for (const std::string& bytes : {get("/plaintext"), std::string("PROXY TCP4 x\r\n") + get("/plaintext"),
                                   "PROXY " + std::string(102, 'x')}) {
    SessionHost& at = host();
    EXPECT_EQ(at.ask(bytes), "");
    EXPECT_FALSE(at.open_still());
    EXPECT_EQ(at.reason(), CloseReason::refused);
  }
  EXPECT_EQ(turned_away(TurnedAway::bad_proxy_header), 3u);
  EXPECT_EQ(host_->lent(), 0u);
}

TEST_F(SessionAdmission, HeaderComesOnce) {  // a second one is a method that nobody knows
  EXPECT_EQ(parse_answer(host().ask(std::string(kLine) + std::string(kLine) + get("/who")), "GET").status,
            501);
  EXPECT_FALSE(host_->open_still());
}

TEST_F(SessionAdmission, HeaderHasToComeInTime) {
  host().advance(9999ms);
  EXPECT_TRUE(host_->open_still());
  host_->receive("PROXY TCP");
  host_->advance(1ms);
  EXPECT_FALSE(host_->open_still());
  EXPECT_EQ(host_->take(), "") << "it is no request that could be answered";
  EXPECT_EQ(turned_away(TurnedAway::bad_proxy_header), 1u);
}

TEST_F(SessionAdmission, ConnectionThatBringsNothingIsALook) {
  host().end_of_stream();
  EXPECT_FALSE(host_->open_still());
  host().advance(10s);
  EXPECT_FALSE(host_->open_still());
  EXPECT_EQ(turned_away(TurnedAway::bad_proxy_header), 0u);
  host().receive("PROXY");
  host_->end_of_stream();
  EXPECT_EQ(turned_away(TurnedAway::bad_proxy_header), 1u);
}

TEST_F(SessionAdmission, StopFindsNoRequestInAPartOfAHeader) {
  host().receive("PROXY TCP4 203.");
  host_->drain();
  EXPECT_TRUE(host_->unanswered().empty());
  host_->force();
  EXPECT_EQ(host_->take(), "");
  EXPECT_FALSE(host_->open_still());
}

// Another process is told what the socket does not tell.
TEST_F(SessionAdmission, LeavesWithWhatIsKnownOfIt) {
  SessionHost& at = host();
  EXPECT_TRUE(at.session().may_leave());
  EXPECT_EQ(at.session().leaving_note(), "proxy");
  at.receive(kLine.substr(0, 7));
  EXPECT_FALSE(at.session().may_leave()) << "of a part of it nobody else knows";
  at.receive(kLine.substr(7));
  EXPECT_TRUE(at.session().may_leave());
  EXPECT_EQ(at.session().leaving_note(), "peer 203.0.113.5:4444");
  host().receive("PROXY UNKNOWN\r\n");
  EXPECT_TRUE(host_->session().may_leave());
  EXPECT_EQ(host_->session().leaving_note(), "");
  EXPECT_EQ(host("192.0.2.1:7", Preface::none).session().leaving_note(), "");
}

TEST_F(SessionAdmission, WaitsForTheHeaderThatAnotherProcessWaitedFor) {
  SessionHost& at = host("192.0.2.1:7", Preface::none);
  EXPECT_FALSE(at.session().on_adopt(*parse_peer("192.0.2.1:7"), "proxy")) << "it is not trusted here";
  SessionHost& trusted = host(kProxy, Preface::none);
  EXPECT_TRUE(trusted.session().on_adopt(*parse_peer(kProxy), "proxy"));
  EXPECT_TRUE(trusted.session().awaits_proxy_header());
}

TEST_F(SessionAdmission, PeerOfAnotherProcess) {
  SessionHost& at = host("192.0.2.1:7", Preface::none);
  EXPECT_EQ(at.session().named_peer(), "");
  EXPECT_EQ(at.session().peer(), "192.0.2.1:7");
  EXPECT_TRUE(at.session().on_adopt(*parse_peer("192.0.2.1:7"), "peer [2001:db8::1]:9"));
  EXPECT_EQ(at.session().peer(), "[2001:db8::1]:9");
  EXPECT_EQ(at.session().named_peer(), "[2001:db8::1]:9");
  EXPECT_EQ(who(at), "[2001:db8::1]:9 [2001:db8::1]:9");
  EXPECT_FALSE(at.session().on_adopt(*parse_peer("192.0.2.1:7"), "peer nonsense"));
  EXPECT_EQ(at.session().peer(), "[2001:db8::1]:9");
}

TEST_F(SessionAdmission, CapOfOneClient) {
  admission.clients.emplace(1);
  SessionHost& at = host("192.0.2.1:1", Preface::none);
  EXPECT_TRUE(came_in);
  EXPECT_EQ(admission.clients->clients(), 1u);
  {
    MemoryConnection second(at.reactor());
    EXPECT_FALSE(second.session().on_connect(*parse_peer("192.0.2.1:2"), Preface::none));
    at.settle();
    const Answer answer = parse_answer(second.take(), "GET");
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.field("Retry-After"), "1");
    EXPECT_EQ(answer.field("Connection"), "close");
    EXPECT_EQ(second.reason(), CloseReason::overloaded);
    MemoryConnection other(at.reactor());
    EXPECT_TRUE(other.session().on_connect(*parse_peer("192.0.2.2:1"), Preface::none));
    MemoryConnection trusted(at.reactor());
    EXPECT_TRUE(trusted.session().on_connect(*parse_peer(kProxy), Preface::none));
    MemoryConnection trusted_too(at.reactor());
    EXPECT_TRUE(trusted_too.session().on_connect(*parse_peer(kProxy), Preface::none));
    MemoryConnection local(at.reactor());
    EXPECT_TRUE(local.session().on_connect(*parse_peer("unix:"), Preface::none));
  }
  EXPECT_EQ(turned_away(TurnedAway::per_client), 1u);
  at.vanish();
  EXPECT_EQ(admission.clients->clients(), 0u);
}

TEST_F(SessionAdmission, CapOfWhomTheHeaderNames) {
  admission.clients.emplace(1);
  SessionHost& at = host();
  EXPECT_EQ(admission.clients->clients(), 0u) << "nobody is known yet";
  at.receive(kLine);
  EXPECT_EQ(admission.clients->clients(), 1u);
  MemoryConnection second(at.reactor());
  EXPECT_TRUE(second.session().on_connect(*parse_peer(kProxy), Preface::proxy));
  second.receive(std::string(kLine) + get("/plaintext"));
  EXPECT_EQ(parse_answer(second.take(), "GET").status, 503);
  EXPECT_FALSE(second.open());
  EXPECT_EQ(turned_away(TurnedAway::per_client), 1u);
}

TEST_F(SessionAdmission, RequestsInFlight) {
  admission.limits_in_flight = true;
  admission.max_in_flight = 2;
  SessionHost& at = host("192.0.2.1:1", Preface::none);
  at.on(Method::get, "/wait", [](Request&, Response&) -> Task<> { co_await sleep_for(1h); },
        {.max_in_flight = 9});
  at.on(Method::post, "/quick", [](const Request&, Response& response) { response.text("done"); },
        {.max_in_flight = 9});
  std::vector<std::unique_ptr<MemoryConnection>> waiting;
  for (int i = 0; i < 2; ++i) {
    waiting.push_back(std::make_unique<MemoryConnection>(at.reactor()));
    waiting.back()->receive(get("/wait"));
  }
  EXPECT_EQ(admission.in_flight.count(), 2u);
  const Answer busy = parse_answer(at.ask(post("/quick", std::string(100'000, 'x'))), "POST");
  EXPECT_EQ(busy.status, 503);
  EXPECT_EQ(busy.field("Retry-After"), "1");
  EXPECT_EQ(busy.field("Connection"), "") << "its body can be skipped";
  EXPECT_TRUE(at.open_still());
  EXPECT_LT(at.lent(), 64u * 1024) << "none of it is kept";
  EXPECT_EQ(turned_away(TurnedAway::in_flight), 1u);
  waiting.pop_back();  // its client is gone
  EXPECT_EQ(admission.in_flight.count(), 1u);
  EXPECT_EQ(parse_answer(at.ask(post("/quick", "x")), "POST").status, 200);
  EXPECT_EQ(admission.in_flight.count(), 1u);
  waiting.clear();
  EXPECT_EQ(admission.in_flight.count(), 0u);
}

// A request that its route turns away must not stay counted for the server.
TEST_F(SessionAdmission, LimitOfTheRouteBelowThatOfTheServer) {
  admission.limits_in_flight = true;
  admission.max_in_flight = 5;
  SessionHost& at = host("192.0.2.1:1", Preface::none);
  at.on(Method::get, "/one", [](Request&, Response&) -> Task<> { co_await sleep_for(1h); },
        {.max_in_flight = 1});
  MemoryConnection first(at.reactor());
  first.receive(get("/one"));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(parse_answer(at.ask(get("/one")), "GET").status, 503);
  EXPECT_EQ(admission.in_flight.count(), 1u);
  EXPECT_EQ(turned_away(TurnedAway::in_flight), 0u);
}

TEST_F(SessionAdmission, FieldsOfTrustedProxiesOnly) {
  admission.forwarded = ForwardedHeader::x_forwarded_for;
  const std::string_view fields =
      "X-Forwarded-For: 192.0.2.66, 198.51.100.7\r\nForwarded: for=192.0.2.77\r\n";
  EXPECT_EQ(who(host(kProxy, Preface::none), "", fields), "10.0.0.1:5000 198.51.100.7");
  EXPECT_EQ(who(host(), "PROXY TCP4 10.2.2.2 10.0.0.1 1 2\r\n", fields), "10.2.2.2:1 198.51.100.7");
  EXPECT_EQ(who(host(), kLine, fields), "203.0.113.5:4444 203.0.113.5:4444") << "a client's own words";
  EXPECT_EQ(who(host("192.0.2.1:1", Preface::none), "", fields), "192.0.2.1:1 192.0.2.1:1");
  EXPECT_EQ(who(host("unix:", Preface::none), "", fields), "unix: unix:");
  admission.forwarded = ForwardedHeader::forwarded;
  EXPECT_EQ(who(host(kProxy, Preface::none), "", fields), "10.0.0.1:5000 192.0.2.77");
  admission.forwarded = ForwardedHeader::off;
  EXPECT_EQ(who(host(kProxy, Preface::none), "", fields), "10.0.0.1:5000 10.0.0.1:5000");
}

TEST_F(SessionAdmission, ProxyThatCannotBeReadIsAnswered400) {
  admission.forwarded = ForwardedHeader::x_forwarded_for;
  for (const char* target : {"/who", "/nowhere"}) {
    SessionHost& at = host(kProxy, Preface::none);
    const Answer answer = parse_answer(at.ask(get(target, "X-Forwarded-For: me\r\n")), "GET");
    EXPECT_EQ(answer.status, 400) << target;
    EXPECT_EQ(answer.field("Connection"), "close");
    EXPECT_FALSE(at.open_still());
  }
  EXPECT_EQ(turned_away(TurnedAway::bad_forwarded_header), 2u);
  EXPECT_EQ(who(host("192.0.2.1:1", Preface::none), "", "X-Forwarded-For: me\r\n"),
            "192.0.2.1:1 192.0.2.1:1");
  EXPECT_EQ(turned_away(TurnedAway::bad_forwarded_header), 2u);
}

// Of one request, not of its connection: a proxy sends the requests of many on one.
TEST_F(SessionAdmission, EachRequestHasAClientOfItsOwn) {
  admission.forwarded = ForwardedHeader::x_forwarded_for;
  SessionHost& at = host(kProxy, Preface::none);
  EXPECT_EQ(who(at, "", "X-Forwarded-For: 192.0.2.1\r\n"), "10.0.0.1:5000 192.0.2.1");
  EXPECT_EQ(who(at), "10.0.0.1:5000 10.0.0.1:5000");
  EXPECT_EQ(who(at, "", "X-Forwarded-For: 192.0.2.2\r\n"), "10.0.0.1:5000 192.0.2.2");
}

TEST_F(SessionAdmission, ReportNamesClients) {
  admission.forwarded = ForwardedHeader::x_forwarded_for;
  SessionHost& at = host(kProxy, Preface::none);
  at.receive(get("/sleep?ms=1000", "X-Forwarded-For: 192.0.2.1\r\n") +
             get("/sleep?ms=1000", "X-Forwarded-For: 192.0.2.2\r\n"));
  const auto unanswered = at.unanswered();
  ASSERT_EQ(unanswered.size(), 2u);
  EXPECT_EQ(unanswered[0].peer, "192.0.2.1");
  EXPECT_EQ(unanswered[1].peer, "192.0.2.2");
}

}  // namespace
}  // namespace lastcall::test
