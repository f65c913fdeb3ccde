#pragma once

/// All of lastcall's public interface, but <lastcall/http/test_client.hpp>, which is for tests.

#include <lastcall/http/completion.hpp>
#include <lastcall/http/event_stream.hpp>
#include <lastcall/http/server.hpp>
#include <lastcall/http/stream.hpp>
#include <lastcall/http/task.hpp>
#include <lastcall/http/websocket.hpp>
