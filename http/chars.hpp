#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/// Character classes of RFC 9110 5.6 and RFC 3986, and the small pieces of grammar built from them.
namespace lastcall::chars {

inline constexpr uint8_t kToken = 1;    ///< tchar, RFC 9110 5.6.2
inline constexpr uint8_t kTarget = 2;   ///< any character of a request target: pchar / "/" / "?" / "[" / "]"
inline constexpr uint8_t kPath = 4;     ///< pchar without "%", or "/"
inline constexpr uint8_t kHost = 8;     ///< reg-name without "%"; no comma, see valid_host()
inline constexpr uint8_t kValue = 16;   ///< field-vchar / SP / HTAB, RFC 9110 5.5
inline constexpr uint8_t kQuoted = 32;  ///< qdtext, RFC 9110 5.6.4
inline constexpr uint8_t kDigit = 64;

namespace detail {
constexpr bool is_alpha_or_digit(unsigned c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}
constexpr bool is_one_of(unsigned c, std::string_view set) {
  return c < 0x80 && set.find(static_cast<char>(c)) != std::string_view::npos;
}
constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (unsigned c = 0; c < 256; ++c) {
    const bool plain = is_alpha_or_digit(c);
    const bool value = c == '\t' || (c >= 0x20 && c != 0x7f);
    unsigned bits = 0;
    if (plain || is_one_of(c, "!#$%&'*+-.^_`|~")) bits |= kToken;
    if (plain || is_one_of(c, "-._~%!$&'()*+,;=:@/?[]")) bits |= kTarget;
    if (plain || is_one_of(c, "-._~!$&'()*+,;=:@/")) bits |= kPath;
    if (plain || is_one_of(c, "-._~!$&'()*+;=")) bits |= kHost;
    if (value) bits |= kValue;
    if (value && c != '"' && c != '\\') bits |= kQuoted;
    if (c >= '0' && c <= '9') bits |= kDigit;
    classes[c] = static_cast<uint8_t>(bits);
  }
  return classes;
}
constexpr std::array<int8_t, 256> make_hex() {
  std::array<int8_t, 256> hex{};
  for (unsigned c = 0; c < 256; ++c) {
    hex[c] = -1;
    if (c >= '0' && c <= '9') hex[c] = static_cast<int8_t>(c - '0');
    if (c >= 'a' && c <= 'f') hex[c] = static_cast<int8_t>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') hex[c] = static_cast<int8_t>(c - 'A' + 10);
  }
  return hex;
}
inline constexpr std::array<uint8_t, 256> kClasses = make_classes();
inline constexpr std::array<int8_t, 256> kHex = make_hex();
}  // namespace detail

constexpr bool is(char c, uint8_t classes) noexcept {
  return (detail::kClasses[static_cast<unsigned char>(c)] & classes) != 0;
}
constexpr bool is_blank(char c) noexcept {
  return c == ' ' || c == '\t';
}

/// 0 to 15, or -1 when `c` is no hex digit.
constexpr int hex_value(char c) noexcept {
  return detail::kHex[static_cast<unsigned char>(c)];
}

constexpr char to_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

namespace detail {
/// equals_lower() of the `sizeof(Word)` bytes at both places. OR with 0x20 where `lower` has a letter:
/// nothing but that letter, in either case, comes to it.
template <class Word>
[[nodiscard]] constexpr bool word_equals_lower(const char* text, const char* lower) noexcept {
  Word letters = 0;
  Word there = 0;
  Word wanted = 0;
  for (size_t i = 0; i < sizeof(Word); ++i) {
    const bool letter = lower[i] >= 'a' && lower[i] <= 'z';
    const auto shift = 8 * i;
    letters = static_cast<Word>(letters | Word{letter ? uint8_t{0x20} : uint8_t{0}} << shift);
    there = static_cast<Word>(there | Word{static_cast<uint8_t>(text[i])} << shift);
    wanted = static_cast<Word>(wanted | Word{static_cast<uint8_t>(lower[i])} << shift);
  }
  return (there | letters) == wanted;
}
}  // namespace detail

/// Is it `lower`, a literal in lower case, in whatever case? A few comparisons of whole words.
template <size_t kSize>
[[nodiscard]] constexpr bool equals_lower(std::string_view text, const char (&lower)[kSize]) noexcept {
  constexpr size_t kLength = kSize - 1;
  if (text.size() != kLength) return false;
  const char* const at = text.data();
  bool equal = true;
  size_t i = 0;
  for (; i + 8 <= kLength; i += 8) equal &= detail::word_equals_lower<uint64_t>(at + i, lower + i);
  if (i + 4 <= kLength) {
    equal &= detail::word_equals_lower<uint32_t>(at + i, lower + i);
    i += 4;
  }
  for (; i < kLength; ++i) equal &= detail::word_equals_lower<uint8_t>(at + i, lower + i);
  return equal;
}

namespace detail {
template <class Word>
[[nodiscard]] inline bool word_equals(const char* left, const char* right) noexcept {
  Word there;
  Word wanted;
  std::memcpy(&there, left, sizeof there);
  std::memcpy(&wanted, right, sizeof wanted);
  return there == wanted;
}
}  // namespace detail

/// memcmp(3) of texts of a few words, without the call: the last words of both overlap those before.
[[nodiscard]] inline bool equal_bytes(const char* left, const char* right, size_t size) noexcept {
  using detail::word_equals;
  if (size >= 8) {
    size_t i = 0;
    for (; i + 8 < size; i += 8) {
      if (!word_equals<uint64_t>(left + i, right + i)) return false;
    }
    return word_equals<uint64_t>(left + size - 8, right + size - 8);
  }
  if (size >= 4)
    return word_equals<uint32_t>(left, right) && word_equals<uint32_t>(left + size - 4, right + size - 4);
  for (size_t i = 0; i < size; ++i) {
    if (left[i] != right[i]) return false;
  }
  return true;
}

/// First byte of [at, end) that is not of the classes, or `end`.
constexpr const char* skip(const char* at, const char* end, uint8_t classes) noexcept {
  while (at != end && is(*at, classes)) ++at;
  return at;
}

#ifdef __SSE2__
namespace detail {
/// 0xff where `low` <= byte <= `high`.
inline __m128i between(__m128i bytes, char low, char high) noexcept {
  const __m128i above = _mm_sub_epi8(bytes, _mm_set1_epi8(low));
  return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(static_cast<char>(high - low))), above);
}
inline __m128i letters(__m128i bytes) noexcept {
  return between(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 'z');
}
}  // namespace detail
#endif

/// First byte of [at, end) that is no tchar, or `end`. What field names are made of, 16 at a time.
inline const char* skip_token(const char* at, const char* end) noexcept {
#ifdef __SSE2__
  while (end - at >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i usual = _mm_or_si128(detail::letters(bytes), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-')));
    const int run = std::countr_one(static_cast<uint16_t>(_mm_movemask_epi8(usual)));
    at += run;
    if (run == 16) continue;
    if (!is(*at, kToken)) return at;
    ++at;
  }
#endif
  return skip(at, end, kToken);
}

/// Past what most paths are made of, letters, digits and `&'()*+,-./:;`, all of it kPath. May stop early.
inline const char* skip_plain_path(const char* at, const char* end) noexcept {
#ifdef __SSE2__
  while (end - at >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i plain = _mm_or_si128(detail::letters(bytes), detail::between(bytes, '&', ';'));
    const int run = std::countr_one(static_cast<uint16_t>(_mm_movemask_epi8(plain)));
    at += run;
    if (run != 16) break;
  }
#endif
  return at;
}

/// First byte of [at, end) that no field value may hold (CR included), or `end`. The long run of a head.
inline const char* skip_value(const char* at, const char* end) noexcept {
#ifdef __SSE2__
  while (end - at >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    const __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    const __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    const int bad = _mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
    if (bad != 0) return at + std::countr_zero(static_cast<unsigned>(bad));
    at += 16;
  }
#endif
  return skip(at, end, kValue);
}

constexpr bool is_token(std::string_view text) noexcept {
  return !text.empty() && skip(text.data(), text.data() + text.size(), kToken) == text.data() + text.size();
}

/// Without SP and HTAB at either end (OWS, RFC 9110 5.6.3).
constexpr std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Takes the next element, trimmed and perhaps empty, off a comma-separated list (RFC 9110 5.6.1). `rest` has
/// a null data() once the last one was taken; the caller loops while it has not.
constexpr std::string_view next_element(std::string_view& rest) noexcept {
  const size_t comma = rest.find(',');
  const std::string_view element = trim(rest.substr(0, comma));
  rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  return element;
}

}  // namespace lastcall::chars
