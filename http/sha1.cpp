#include <bit>
#include <cstddef>

#include <lastcall/http/sha1.hpp>

namespace lastcall {
namespace {

constexpr size_t kBlockBytes = 64;

using State = std::array<uint32_t, 5>;

uint32_t read_word(const char* at) noexcept {
  uint32_t word = 0;
  for (int i = 0; i < 4; ++i) word = word << 8 | static_cast<uint8_t>(at[i]);
  return word;
}

/// RFC 3174 6.1.
void add_block(State& state, const char* block) noexcept {
  std::array<uint32_t, 80> words{};
  for (size_t t = 0; t < 16; ++t) words[t] = read_word(block + 4 * t);
  for (size_t t = 16; t < 80; ++t)
    words[t] = std::rotl(words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16], 1);
  auto [a, b, c, d, e] = state;
  for (size_t t = 0; t < 80; ++t) {
    uint32_t mixed = 0;
    if (t < 20) {
      mixed = ((b & c) | (~b & d)) + 0x5a827999u;
    } else if (t < 40) {
      mixed = (b ^ c ^ d) + 0x6ed9eba1u;
    } else if (t < 60) {
      mixed = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
    } else {
      mixed = (b ^ c ^ d) + 0xca62c1d6u;
    }
    const uint32_t next = std::rotl(a, 5) + mixed + e + words[t];
    e = d;
    d = c;
    c = std::rotl(b, 30);
    b = a;
    a = next;
  }
  state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d, state[4] + e};
}

}  // namespace

std::array<uint8_t, 20> sha1(std::string_view bytes) {
  // RFC 3174 4: one bit, zeros to the end of a block, the length in bits as its last 64 bits.
  std::string padded(bytes);
  padded.push_back('\x80');
  while (padded.size() % kBlockBytes != kBlockBytes - 8) padded.push_back('\0');
  const uint64_t bits = uint64_t{bytes.size()} * 8;
  for (int shift = 56; shift >= 0; shift -= 8) padded.push_back(static_cast<char>(bits >> shift & 0xff));

  State state{0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
  for (size_t at = 0; at < padded.size(); at += kBlockBytes) add_block(state, padded.data() + at);
  std::array<uint8_t, 20> digest{};
  for (size_t i = 0; i < digest.size(); ++i)
    digest[i] = static_cast<uint8_t>(state[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    uint32_t group = 0;
    for (size_t i = at; i < at + 3; ++i)
      group = group << 8 | (i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : 0u);
    for (size_t i = 0; i < 4; ++i)
      text.push_back(at + i <= bytes.size() ? kAlphabet[group >> (18 - 6 * i) & 0x3f] : '=');
  }
  return text;
}

}  // namespace lastcall
