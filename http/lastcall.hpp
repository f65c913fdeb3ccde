#pragma once

/// All of lastcall's public interface.

#include <lastcall/http/completion.hpp>
#include <lastcall/http/event_stream.hpp>
#include <lastcall/http/server.hpp>
#include <lastcall/http/stream.hpp>
#include <lastcall/http/task.hpp>
