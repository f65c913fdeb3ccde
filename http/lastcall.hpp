#pragma once

/// @file
/// All of lastcall's public interface, but <lastcall/http/test_client.hpp>, which is for tests.

#include <lastcall/http/completion.hpp>
#include <lastcall/http/event_stream.hpp>
#include <lastcall/http/server.hpp>
#include <lastcall/http/stream.hpp>
#include <lastcall/http/task.hpp>
#include <lastcall/http/websocket.hpp>

/// An HTTP/1.1 server that serves everyone already inside before it stops: begin with Server. What can fail
/// as expected returns a Result; what only a mistake in the calling program can cause throws.
namespace lastcall {}
