// Node's own http module as a peer: one thread for JavaScript. Argument: PORT.
"use strict";
const http = require("http");

const megabyte = Buffer.alloc(1000000, "x");

function json(response, value) {
  const body = JSON.stringify(value);
  response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

function upload(request, response) {
  let bytes = 0;
  request.on("data", (piece) => { bytes += piece.length; });
  request.on("end", () => json(response, { bytes }));
}

const server = http.createServer((request, response) => {
  const path = request.url;
  if (path === "/plaintext") {
    response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": 13 });
    response.end("Hello, World!");
  } else if (path === "/json") {
    json(response, { message: "Hello, World!" });
  } else if (path.startsWith("/users/")) {
    json(response, { id: path.slice(7) });
  } else if (path.startsWith("/bytes")) {
    response.writeHead(200, { "Content-Type": "application/octet-stream", "Content-Length": megabyte.length });
    response.end(megabyte);
  } else if (path === "/upload" && request.method === "POST") {
    upload(request, response);
  } else {
    response.writeHead(404, { "Content-Length": 0 });
    response.end();
  }
});
server.keepAliveTimeout = 75000;
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
process.on("SIGTERM", () => process.exit(0));
