#include <gtest/gtest.h>
#include <tests/support/allocation_counter.hpp>

#include <string>
#include <vector>

#include <lastcall/http/router.hpp>

namespace lastcall {
namespace {

using Outcome = Router::Outcome;

uint64_t bits(std::initializer_list<Method> methods) {
  uint64_t all = 0;
  for (Method method : methods) all |= bit(method);
  return all;
}

struct RouterTest : testing::Test {
  Router router;
  RouteParams params;
  std::string scratch;

  void add(std::string_view pattern, uint32_t route, Method method = Method::get) {
    auto added = router.add(method, pattern, route);
    ASSERT_TRUE(added) << added.error().message;
  }
  void add_any(std::string_view pattern, uint32_t route) {
    auto added = router.add_any(pattern, route);
    ASSERT_TRUE(added) << added.error().message;
  }
  std::string add_error(std::string_view pattern, Method method = Method::get) {
    auto added = router.add(method, pattern, 99);
    return added ? "accepted" : added.error().message;
  }
  Router::Match match(std::string_view path, Method method = Method::get) {
    scratch.clear();
    scratch.reserve(path.size());
    return router.match(method, path, params, scratch);
  }
  /// "7 id=42 rest=a/b", or "404", "405".
  std::string get(std::string_view path, Method method = Method::get) {
    auto found = match(path, method);
    if (found.outcome == Outcome::not_found) return "404";
    if (found.outcome == Outcome::method_not_allowed) return "405";
    std::string text = std::to_string(found.route);
    for (uint32_t i = 0; i < params.size; ++i)
      text += " " + std::string(params.params[i].name) + "=" + std::string(params.params[i].value);
    return text;
  }
};

TEST_F(RouterTest, APathMeansTheSameHoweverItIsSpelled) {
  add("/a", 1);
  add("/a", 2, Method::post);
  add("/a/b", 3, Method::put);
  add("/a/{x}", 4);
  add("/{y}/b", 5, Method::patch);
  add_any("/c", 6);
  add("/c", 7, Method::delete_);
  add("/{rest...}", 8, Method::trace);
  add("/long/enough/for/words", 9);
  for (int i = 0; i < 100; ++i) add("/many/" + std::to_string(i), static_cast<uint32_t>(100 + i));
  std::vector<std::string> paths = {
      "/a", "/a/b", "/a/c", "/c", "/c/", "/", "/b", "/long/enough/for/words", "/long/enough/for/word"};
  for (int i = 0; i < 101; ++i) paths.push_back("/many/" + std::to_string(i));
  for (const std::string& path : paths) {
    std::string encoded;  // goes by the tree
    for (const char c : path)
      encoded += c == 'a'   ? "%61"
                 : c == 'c' ? "%63"
                 : c == 'm' ? "%6d"
                 : c == 'w' ? "%77"
                            : std::string(1, c);
    for (uint32_t i = 0; i < kMethodCount; ++i) {
      const auto method = static_cast<Method>(i);
      const Router::Match plain = match(path, method);
      const std::string found = get(path, method);
      const Router::Match other = match(encoded, method);
      EXPECT_EQ(found, get(encoded, method)) << to_string(method) << " " << path;
      EXPECT_EQ(plain.allowed, other.allowed) << to_string(method) << " " << path;
      EXPECT_EQ(plain.automatic_head, other.automatic_head) << to_string(method) << " " << path;
      EXPECT_EQ(plain.automatic_options, other.automatic_options) << to_string(method) << " " << path;
    }
  }
  EXPECT_EQ(get("/many/99"), "199");
  EXPECT_EQ(get("/long/enough/for/words"), "9");
}

TEST_F(RouterTest, LiteralsMatchWhole) {
  add("/", 1);
  add("/static", 2);
  add("/static/app.js", 3);
  EXPECT_EQ(get("/"), "1");
  EXPECT_EQ(get("/static"), "2");
  EXPECT_EQ(get("/static/app.js"), "3");
  EXPECT_EQ(get("/stati"), "404");
  EXPECT_EQ(get("/statics"), "404");
  EXPECT_EQ(get("/Static"), "404");
  EXPECT_EQ(get("/static/app"), "404");
}

TEST_F(RouterTest, EmptyRouterAndPathsThatAreNone) {
  EXPECT_EQ(get("/"), "404");
  add_any("/{path...}", 1);
  EXPECT_EQ(get("*", Method::options), "404");
  EXPECT_EQ(get(""), "404");
}

TEST_F(RouterTest, TrailingSlashAndEmptySegmentsAreSignificant) {
  add("/users", 1);
  add("/posts/", 2);
  add("/a//b", 3);
  EXPECT_EQ(get("/users/"), "404");
  EXPECT_EQ(get("/posts/"), "2");
  EXPECT_EQ(get("/posts"), "404");
  EXPECT_EQ(get("/a//b"), "3");
  EXPECT_EQ(get("/a/b"), "404");
  EXPECT_EQ(get("//users"), "404");
}

TEST_F(RouterTest, ParametersTakeOneSegmentThatIsNotEmpty) {
  add("/users/{id}", 1);
  add("/users/{id}/posts/{post}", 2);
  EXPECT_EQ(get("/users/42"), "1 id=42");
  EXPECT_EQ(get("/users/42/posts/7"), "2 id=42 post=7");
  EXPECT_EQ(get("/users/"), "404");
  EXPECT_EQ(get("/users//posts/7"), "404");
  EXPECT_EQ(get("/users/42/posts"), "404");
  ASSERT_EQ(get("/users/42"), "1 id=42");
  ASSERT_NE(params.find("id"), nullptr);
  EXPECT_EQ(*params.find("id"), "42");
  EXPECT_EQ(params.find("post"), nullptr);
}

TEST_F(RouterTest, WildcardTakesTheRestEvenWhenEmpty) {
  add("/anything/{path...}", 1);
  EXPECT_EQ(get("/anything/"), "1 path=");
  EXPECT_EQ(get("/anything/a"), "1 path=a");
  EXPECT_EQ(get("/anything/a/b//c/"), "1 path=a/b//c/");
  EXPECT_EQ(get("/anything"), "404");
  add("/anything", 2);
  EXPECT_EQ(get("/anything"), "2");
}

TEST_F(RouterTest, RootWildcardMatchesEverything) {
  add("/{path...}", 1);
  EXPECT_EQ(get("/"), "1 path=");
  EXPECT_EQ(get("/a/b"), "1 path=a/b");
}

TEST_F(RouterTest, MoreSpecificWinsAtEachSegment) {
  add("/users/{path...}", 1);
  add("/users/{id}", 2);
  add("/users/me", 3);
  EXPECT_EQ(get("/users/me"), "3");
  EXPECT_EQ(get("/users/you"), "2 id=you");
  EXPECT_EQ(get("/users/you/x"), "1 path=you/x");
  EXPECT_EQ(get("/users/"), "1 path=");
}

TEST_F(RouterTest, BacktracksFromLiteralToParamToWildcard) {
  add("/a/b/c", 1);
  add("/a/{x}/d", 2);
  add("/{y}/b/e", 3);
  add("/{all...}", 4);
  EXPECT_EQ(get("/a/b/c"), "1");
  EXPECT_EQ(get("/a/b/d"), "2 x=b");
  EXPECT_EQ(get("/a/b/e"), "3 y=a");
  EXPECT_EQ(get("/a/b/f"), "4 all=a/b/f");
}

TEST_F(RouterTest, BacktrackingForgetsDecodedText) {
  add("/{a}/{b}/x", 1);
  add("/{all...}", 2);
  EXPECT_EQ(get("/%41/%42/%43"), "2 all=A/B/C");
  EXPECT_EQ(scratch, "A/B/C");
}

TEST_F(RouterTest, DecodesValuesAndLiteralComparisons) {
  add("/users", 1);
  add("/users/{id}", 2);
  add("/files/{path...}", 3);
  add("/a b", 4);
  add("/100%", 5);
  EXPECT_EQ(get("/%75sers"), "1");
  EXPECT_EQ(get("/%75%73ers/%7E"), "2 id=~");
  EXPECT_EQ(get("/users/a%2Fb"), "2 id=a/b");
  EXPECT_EQ(get("/users%2Fa"), "404");
  EXPECT_EQ(get("/files/a%20b/c%2fd"), "3 path=a b/c/d");
  EXPECT_EQ(get("/a%20b"), "4");
  EXPECT_EQ(get("/100%25"), "5");
  EXPECT_EQ(get("/users/%00"), std::string("2 id=") + '\0');
  EXPECT_EQ(get("/users/%c3%A9"), "2 id=\xc3\xa9");
}

TEST_F(RouterTest, ScratchIsAppendedToAndViewsStayWhenItMustGrow) {
  add("/{a}/{b}", 1);
  std::string small = "kept";
  small.shrink_to_fit();
  std::string path = "/" + std::string(100, 'x') + "%41/" + std::string(100, 'y') + "%42";
  ASSERT_EQ(router.match(Method::get, path, params, small).outcome, Outcome::found);
  EXPECT_TRUE(small.starts_with("keptxxx"));
  EXPECT_EQ(*params.find("a"), std::string(100, 'x') + "A");
  EXPECT_EQ(*params.find("b"), std::string(100, 'y') + "B");
}

TEST_F(RouterTest, MethodsHaveRoutesOfTheirOwn) {
  add("/x", 1, Method::get);
  add("/x", 2, Method::post);
  EXPECT_EQ(get("/x", Method::get), "1");
  EXPECT_EQ(get("/x", Method::post), "2");
  auto refused = match("/x", Method::delete_);
  EXPECT_EQ(refused.outcome, Outcome::method_not_allowed);
  EXPECT_EQ(refused.allowed, bits({Method::get, Method::head, Method::post, Method::options}));
  EXPECT_EQ(params.size, 0u);
}

TEST_F(RouterTest, HeadIsAnsweredByGet) {
  add("/x", 1, Method::get);
  add("/y", 2, Method::get);
  add("/y", 3, Method::head);
  add("/z", 4, Method::post);
  EXPECT_EQ(get("/x", Method::head), "1");
  EXPECT_TRUE(match("/x", Method::head).automatic_head);
  EXPECT_FALSE(match("/x", Method::get).automatic_head);
  EXPECT_EQ(get("/y", Method::head), "3");
  EXPECT_FALSE(match("/y", Method::head).automatic_head);
  EXPECT_EQ(get("/z", Method::head), "405");
  EXPECT_EQ(match("/z", Method::head).allowed, bits({Method::post, Method::options}));
}

TEST_F(RouterTest, OptionsIsAutomaticWhenThePathExists) {
  add("/x", 1, Method::get);
  add("/y", 2, Method::options);
  auto found = match("/x", Method::options);
  EXPECT_EQ(found.outcome, Outcome::found);
  EXPECT_TRUE(found.automatic_options);
  EXPECT_EQ(found.allowed, bits({Method::get, Method::head, Method::options}));
  EXPECT_EQ(get("/none", Method::options), "404");
  EXPECT_EQ(get("/y", Method::options), "2");
  EXPECT_FALSE(match("/y", Method::options).automatic_options);
}

TEST_F(RouterTest, AnyRouteTakesEveryMethod) {
  add_any("/any", 1);
  for (uint32_t i = 0; i < kMethodCount; ++i) {
    auto found = match("/any", static_cast<Method>(i));
    EXPECT_EQ(found.outcome, Outcome::found) << i;
    EXPECT_EQ(found.route, 1u);
    EXPECT_FALSE(found.automatic_head);
    EXPECT_FALSE(found.automatic_options);
    EXPECT_EQ(found.allowed, 0u);
  }
}

TEST_F(RouterTest, OneMethodGoesBeforeAnyMethod) {
  add_any("/x", 1);
  add("/x", 2, Method::post);
  EXPECT_EQ(get("/x", Method::post), "2");
  EXPECT_EQ(get("/x", Method::put), "1");
  EXPECT_EQ(get("/x", Method::head), "1");
}

TEST_F(RouterTest, LooksPastAPatternThatLacksTheMethod) {
  add("/users/me", 1, Method::get);
  add("/users/{id}", 2, Method::delete_);
  EXPECT_EQ(get("/users/me", Method::get), "1");
  EXPECT_EQ(get("/users/me", Method::delete_), "2 id=me");
  auto refused = match("/users/me", Method::put);
  EXPECT_EQ(refused.outcome, Outcome::method_not_allowed);
  EXPECT_EQ(refused.allowed, bits({Method::get, Method::head, Method::delete_, Method::options}));
}

TEST_F(RouterTest, RefusesBadPatternsByName) {
  EXPECT_EQ(add_error("users"), "route 'users': must start with '/'");
  EXPECT_EQ(add_error(""), "route '': must start with '/'");
  EXPECT_EQ(add_error("/{}"), "route '/{}': empty parameter name");
  EXPECT_EQ(add_error("/{...}"), "route '/{...}': empty parameter name");
  EXPECT_EQ(add_error("/{a}/{a}"), "route '/{a}/{a}': repeated parameter 'a'");
  EXPECT_EQ(add_error("/{a}/{a...}"), "route '/{a}/{a...}': repeated parameter 'a'");
  EXPECT_EQ(add_error("/{a...}/b"), "route '/{a...}/b': the wildcard 'a' must come last");
  for (std::string_view pattern : {"/a{b}", "/{b}c", "/{", "/}", "/{a", "/a}", "/{{a}}", "/{a}{b}"})
    EXPECT_NE(add_error(pattern).find("must be a whole segment"), std::string::npos) << pattern;
}

TEST_F(RouterTest, RefusesConflicts) {
  add("/users/{id}", 1);
  EXPECT_EQ(add_error("/users/{id}"), "route '/users/{id}': already has a route for GET");
  EXPECT_EQ(add_error("/users/{name}", Method::post),
            "route '/users/{name}': parameter 'name' is already called 'id' here");
  EXPECT_EQ(add_error("/users/{name}/x"),
            "route '/users/{name}/x': parameter 'name' is already called 'id' here");
  add("/f/{a...}", 2);
  EXPECT_EQ(add_error("/f/{b...}", Method::post),
            "route '/f/{b...}': parameter 'b' is already called 'a' here");
  add_any("/any", 3);
  auto twice = router.add_any("/any", 4);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message, "route '/any': already has a route for any method");
  add("/users/{other...}", 5);  // a wildcard is another position than a parameter
  EXPECT_EQ(get("/users/1"), "1 id=1");
  EXPECT_EQ(get("/any"), "3");
}

std::string pattern_of(uint32_t segments, bool named) {
  std::string pattern;
  for (uint32_t i = 0; i < segments; ++i) pattern += named ? "/{p" + std::to_string(i) + "}" : "/s";
  return pattern;
}

TEST_F(RouterTest, LimitsOfAPattern) {
  add(pattern_of(kMaxRouteParams, true), 1);
  EXPECT_NE(add_error(pattern_of(kMaxRouteParams + 1, true)).find("more than 16 parameters"),
            std::string::npos);
  ASSERT_EQ(match(pattern_of(kMaxRouteParams, false)).outcome, Outcome::found);
  EXPECT_EQ(params.size, kMaxRouteParams);
  EXPECT_NE(add_error(pattern_of(kMaxRouteParams, true) + "/{rest...}").find("more than 16 parameters"),
            std::string::npos);
  add(pattern_of(kMaxRouteSegments, false), 2);
  EXPECT_EQ(get(pattern_of(kMaxRouteSegments, false)), "2");
  EXPECT_NE(add_error(pattern_of(kMaxRouteSegments + 1, false)).find("more than 64 segments"),
            std::string::npos);
}

TEST_F(RouterTest, DeepPathsCostNoStack) {
  add("/{a}/{b}/c", 1);
  add("/x/{path...}", 2);
  std::string deep = "/x";
  for (int i = 0; i < 2'000'000; ++i) deep += "/y";
  EXPECT_EQ(match(deep).route, 2u);
  EXPECT_EQ(params.params[0].value.size(), deep.size() - 3);
  EXPECT_EQ(match(deep.substr(2)).outcome, Outcome::not_found);
}

// Patterns that all start alike, at every segment as a literal, as a parameter and with a wildcard that does
// not take the method. A matcher that compared pattern by pattern, or entered a node twice, would not come
// back from 3^40 ways.
TEST_F(RouterTest, BacktrackingIsNotExponential) {
  constexpr uint32_t kDepth = 40;
  std::string literals;
  for (uint32_t i = 0; i < kDepth; ++i) {
    add(literals + "/{w...}", 1, Method::post);
    add(literals + "/{p}" + pattern_of(kDepth - i - 1, false) + "/end", 2, Method::post);
    literals += "/s";
  }
  EXPECT_EQ(get(literals), "405");
  EXPECT_EQ(get(literals, Method::post), "1 w=s");
  EXPECT_EQ(get(literals + "/end", Method::post), "2 p=s");
}

TEST_F(RouterTest, MatchAllocatesNothing) {
  add("/users/{id}/posts/{post}", 1);
  add("/users/{id}/{rest...}", 2);
  add("/users/me/posts/new", 3, Method::post);
  std::string path = "/users/%6De/posts/a%20rather%20long%20title%20that%20fits%20no%20small%20string";
  scratch.reserve(path.size());
  test::AllocationCounter counter;
  auto found = router.match(Method::get, path, params, scratch);
  auto refused = router.match(Method::put, "/users/me/posts/new", params, scratch);
  auto missing = router.match(Method::get, "/nowhere", params, scratch);
  EXPECT_EQ(counter.count(), 0u);
  EXPECT_EQ(found.route, 1u);
  EXPECT_EQ(refused.outcome, Outcome::method_not_allowed);
  EXPECT_EQ(missing.outcome, Outcome::not_found);
}

TEST(AllocationCounter, CountsThisThread) {
  test::AllocationCounter counter;
  auto text = std::make_unique<std::string>(1000, 'x');
  EXPECT_EQ(counter.count(), 2u);
}

TEST(FormatAllow, InTheOrderOfTheEnum) {
  EXPECT_EQ(format_allow(0), "");
  EXPECT_EQ(format_allow(bits({Method::options, Method::get, Method::head})), "GET, HEAD, OPTIONS");
  EXPECT_EQ(format_allow(bits({Method::unsubscribe})), "UNSUBSCRIBE");
}

TEST(PercentDecode, Appends) {
  std::string out = "x";
  percent_decode("a%2fb%2F%FF+%25", out);
  EXPECT_EQ(out, "xa/b/\xff+%");
}

}  // namespace
}  // namespace lastcall
