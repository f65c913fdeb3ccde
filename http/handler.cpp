#include <lastcall/http/handler.hpp>

namespace lastcall {

Handler::Handler(Handler&& other) noexcept = default;
Handler& Handler::operator=(Handler&& other) noexcept = default;
Handler::~Handler() = default;

}  // namespace lastcall
