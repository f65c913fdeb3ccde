#include <gtest/gtest.h>

#include <lastcall/http/admin_page.hpp>
#include <lastcall/http/cross_site.hpp>

namespace lastcall {
namespace {

bool obeyed(const RequestOrigin& from, std::string_view machine = "box") {
  return cross_site_refusal(from, machine).empty();
}

TEST(CrossSite, WhoIsNoBrowserIsObeyedWhateverItSays) {
  EXPECT_TRUE(obeyed({.host = "localhost", .origin = {}, .fetch_site = {}}));
  EXPECT_TRUE(obeyed({.host = "evil.example", .origin = {}, .fetch_site = {}}));
  EXPECT_TRUE(obeyed({.host = "", .origin = {}, .fetch_site = {}}));
}

TEST(CrossSite, OurOwnPageIsObeyed) {
  for (const char* host :
       {"127.0.0.1:9000", "[::1]:9000", "localhost:9000", "LOCALHOST", "Box:80", "10.1.2.3", "[fe80::1]"}) {
    const std::string origin = "http://" + std::string(host);
    EXPECT_TRUE(obeyed({.host = host, .origin = origin, .fetch_site = "same-origin"})) << host;
    EXPECT_TRUE(obeyed({.host = host, .origin = origin, .fetch_site = {}})) << host;
    EXPECT_TRUE(obeyed({.host = host, .origin = {}, .fetch_site = "none"})) << host;
  }
  EXPECT_TRUE(obeyed({.host = "127.0.0.1:9000", .origin = "https://127.0.0.1:9000", .fetch_site = {}}));
}

TEST(CrossSite, OtherSitesAndOriginsAreNot) {
  const std::string_view host = "127.0.0.1:9000";
  for (const char* site : {"cross-site", "same-site", "", "unheard-of", "Same-Origin"}) {
    EXPECT_FALSE(obeyed({.host = host, .origin = {}, .fetch_site = site})) << site;
    EXPECT_FALSE(obeyed({.host = host, .origin = "http://127.0.0.1:9000", .fetch_site = site})) << site;
  }
  for (const char* origin : {"null", "", "http://evil.example", "http://127.0.0.1", "http://127.0.0.1:9001",
                             "http://127.0.0.1:9000.evil.example", "http://127.0.0.1:9000@evil.example",
                             "127.0.0.1:9000", "file://", "http://"}) {
    EXPECT_FALSE(obeyed({.host = host, .origin = origin, .fetch_site = {}})) << origin;
    EXPECT_FALSE(obeyed({.host = host, .origin = origin, .fetch_site = "same-origin"})) << origin;
  }
}

// The attacker's name leads to us: for the browser it is all one origin.
TEST(CrossSite, ABrowserThatWasAskedForANameOfSomebodyElseIsNot) {
  for (const char* host : {"evil.example", "evil.example:9000", "localhost.evil.example", "box.evil.example",
                           "", "127.0.0.1.evil.example:9000", "[::1", "0x7f000001", "]"}) {
    const std::string origin = "http://" + std::string(host);
    EXPECT_FALSE(obeyed({.host = host, .origin = origin, .fetch_site = "same-origin"})) << host;
    EXPECT_FALSE(obeyed({.host = host, .origin = {}, .fetch_site = "none"})) << host;
  }
  EXPECT_FALSE(obeyed({.host = "box", .origin = "http://box", .fetch_site = {}}, ""))
      << "its name is not known";
}

TEST(AdminPage, CarriesItsNonceAndNothingFromElsewhere) {
  const AdminPage page = make_admin_page("0123abcd");
  EXPECT_NE(page.html.find("<style nonce=\"0123abcd\">"), std::string::npos);
  EXPECT_NE(page.html.find("<script nonce=\"0123abcd\">"), std::string::npos);
  EXPECT_EQ(page.html.find("{{"), std::string::npos);
  EXPECT_NE(page.content_security_policy.find("default-src 'none'"), std::string::npos);
  EXPECT_NE(page.content_security_policy.find("script-src 'nonce-0123abcd';"), std::string::npos);
  EXPECT_EQ(page.content_security_policy.find("unsafe"), std::string::npos);
  for (const char* foreign :
       {"http:", "https:", "src=\"/", "@import", "url(", "innerHTML", "insertAdjacentHTML", "document.write",
        "outerHTML", " style=\"", " onclick=\""}) {
    EXPECT_EQ(page.html.find(foreign), std::string::npos) << foreign;
  }
}

TEST(AdminPage, NoncesAreAllDifferent) {
  const std::string nonce = make_nonce();
  EXPECT_EQ(nonce.size(), 32u);
  EXPECT_EQ(nonce.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(make_nonce(), nonce);
}

}  // namespace
}  // namespace lastcall
