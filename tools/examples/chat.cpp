// Chat rooms over WebSocket: ws://127.0.0.1:8080/rooms/{name}. Members of a room may be on different
// reactors. When the server stops, everybody gets close code 1001, "going away", and what they had said
// before is still passed on.
#include <algorithm>
#include <map>
#include <mutex>

#include <lastcall/lastcall.hpp>

using lastcall::Request;
using lastcall::Response;
using lastcall::WebSocket;

class Rooms {
 public:
  void enter(const std::string& room, const WebSocket::Sender& who) {
    const std::lock_guard lock(mutex_);
    rooms_[room].push_back(who);
  }
  void leave(const std::string& room, const WebSocket::Sender& who) {
    const std::lock_guard lock(mutex_);
    std::erase(rooms_[room], who);
    if (rooms_[room].empty()) rooms_.erase(room);
  }
  void say(const std::string& room, const std::string& text) {
    const std::lock_guard lock(mutex_);
    for (const WebSocket::Sender& member : rooms_[room]) member.send_text(text);  // never waits
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<WebSocket::Sender>> rooms_;
};

int main(int argc, char** argv) {
  Rooms rooms;
  lastcall::Server server({.listen = {argc > 1 ? argv[1] : "127.0.0.1:8080"}});
  server.get("/rooms/{name}", [&rooms](Request& request, Response& response) -> lastcall::Task<> {
    auto socket = WebSocket::accept(request, response, {.max_message_bytes = 4096});
    if (!socket) co_return;  // not a WebSocket: answered
    const std::string room(*request.param("name"));
    const WebSocket::Sender self = socket->sender();
    rooms.enter(room, self);
    rooms.say(room, request.peer() + " is here");
    while (auto message = co_await socket->receive()) rooms.say(room, request.peer() + ": " + message->data);
    rooms.leave(room, self);
    rooms.say(room, request.peer() + " has left");
  });
  return server.run();
}
