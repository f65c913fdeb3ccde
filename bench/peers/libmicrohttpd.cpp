// GNU libmicrohttpd as a peer: epoll in one thread of its own. Argument: PORT.
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "json_body.hpp"

namespace {

struct Exchange {
  unsigned long long bytes = 0;
};

MHD_Response* from_memory(std::string_view body, const char* type, MHD_ResponseMemoryMode mode) {
  MHD_Response* response = MHD_create_response_from_buffer(body.size(), const_cast<char*>(body.data()), mode);
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
  return response;
}

MHD_Result shared(MHD_Connection* connection, MHD_Response* response) {
  return MHD_queue_response(connection, MHD_HTTP_OK, response);
}

MHD_Result once(MHD_Connection* connection, const std::string& body, unsigned status = MHD_HTTP_OK) {
  MHD_Response* response = from_memory(body, "application/json", MHD_RESPMEM_MUST_COPY);
  const MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result;
}

MHD_Result answer(MHD_Connection* connection, std::string_view path, const Exchange& exchange) {
  static MHD_Response* const plaintext = from_memory("Hello, World!", "text/plain", MHD_RESPMEM_PERSISTENT);
  static MHD_Response* const bytes =
      from_memory(megabyte(), "application/octet-stream", MHD_RESPMEM_PERSISTENT);
  if (path == "/plaintext") return shared(connection, plaintext);
  if (path == "/json") return once(connection, message_body());
  if (path.starts_with("/users/")) return once(connection, user_body(path.substr(7)));
  if (path == "/bytes") return shared(connection, bytes);
  if (path == "/upload") return once(connection, bytes_body(exchange.bytes));
  return once(connection, "{}", MHD_HTTP_NOT_FOUND);
}

/// Called when the head is there, for each piece of the body, and once more at its end.
MHD_Result on_request(void*, MHD_Connection* connection, const char* path, const char*, const char*,
                      const char*, size_t* size, void** state) {
  if (*state == nullptr) {
    *state = new Exchange;
    return MHD_YES;
  }
  auto* exchange = static_cast<Exchange*>(*state);
  if (*size == 0) return answer(connection, path, *exchange);
  exchange->bytes += *size;
  *size = 0;
  return MHD_YES;
}

void on_completed(void*, MHD_Connection*, void** state, MHD_RequestTerminationCode) {
  delete static_cast<Exchange*>(*state);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 1;
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stops, nullptr);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[1])));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  MHD_Daemon* daemon =
      MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO | MHD_USE_ERROR_LOG, 0, nullptr, nullptr,
                       &on_request, nullptr, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_CONNECTION_LIMIT,
                       16384u, MHD_OPTION_CONNECTION_TIMEOUT, 75u, MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u,
                       MHD_OPTION_NOTIFY_COMPLETED, &on_completed, nullptr, MHD_OPTION_END);
  if (daemon == nullptr) return 1;
  int signal = 0;
  sigwait(&stops, &signal);
  MHD_stop_daemon(daemon);
}
