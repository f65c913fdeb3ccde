// One body: decoded whole, and as the fuzzer cuts it. Both must tell the same story.

#include <string>

#include <lastcall/core/check.hpp>
#include <lastcall/http/body_decoder.hpp>

#include "tests/fuzz/split.hpp"

namespace {

using namespace lastcall;
using Outcome = BodyDecoder::Step::Outcome;

std::string ending(const BodyDecoder& decoder, const BodyDecoder::Step& step, size_t consumed) {
  std::string story = "\nreceived " + std::to_string(decoder.received());
  if (step.outcome == Outcome::more) return story + "\nmore";
  if (step.outcome == Outcome::refused) {
    LASTCALL_CHECK(step.refusal);
    return story + "\n" + std::to_string(step.refusal.status) + step.refusal.what;
  }
  LASTCALL_CHECK(decoder.complete());
  story += "\nended at " + std::to_string(consumed);
  for (const Field& field : decoder.trailers()) {
    story += "\n";
    story += field.name;
    story += "=";
    story += field.value;
  }
  return story;
}

std::string story_of(BodyDecoder& decoder, std::string_view wire, fuzz::Cuts cuts) {
  std::string story;
  size_t consumed = 0;
  size_t have = 0;
  for (;;) {
    const fuzz::ExactBytes bytes(wire.substr(consumed, have - consumed));
    const BodyDecoder::Step step = decoder.next(bytes.view());
    LASTCALL_CHECK(step.consumed <= bytes.view().size());
    consumed += step.consumed;
    if (step.outcome == Outcome::data) {
      LASTCALL_CHECK(!step.data.empty());
      story += step.data;
      LASTCALL_CHECK(story.size() == decoder.received());
      continue;
    }
    if (step.outcome != Outcome::more) return story + ending(decoder, step, consumed);
    LASTCALL_CHECK(consumed == have);
    if (have == wire.size()) return story + ending(decoder, step, consumed);
    have += cuts.next(wire.size() - have);
  }
}

void start(BodyDecoder& decoder, uint8_t options) {
  Limits limits;
  if ((options & 1) != 0) limits = {.max_fields = 2, .max_body_bytes = 40, .max_trailer_bytes = 30};
  decoder.set_max_body_bytes(limits.max_body_bytes);
  if ((options & 2) != 0) {
    decoder.start_length(options >> 2);
  } else {
    decoder.start_chunked(limits);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::Input input(data, size);
  static BodyDecoder decoder;  // one for all: a start must forget everything
  start(decoder, input.options);
  const std::string whole = story_of(decoder, input.wire, fuzz::Cuts(std::string_view("\0", 1)));
  start(decoder, input.options);
  LASTCALL_CHECK(whole == story_of(decoder, input.wire, fuzz::Cuts(input.plan)));
  return 0;
}
