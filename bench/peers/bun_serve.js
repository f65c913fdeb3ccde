// Bun.serve as a peer. Argument: PORT.
const megabyte = new Uint8Array(1000000).fill("x".charCodeAt(0));
const text = { headers: { "Content-Type": "text/plain" } };
const binary = { headers: { "Content-Type": "application/octet-stream" } };

async function upload(request) {
  let bytes = 0;
  for await (const piece of request.body) bytes += piece.length;
  return Response.json({ bytes });
}

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  idleTimeout: 75,
  routes: {
    "/plaintext": () => new Response("Hello, World!", text),
    "/json": () => Response.json({ message: "Hello, World!" }),
    "/users/:id": (request) => Response.json({ id: request.params.id }),
    "/bytes": () => new Response(megabyte, binary),
    "/upload": { POST: upload },
  },
  fetch: () => new Response("", { status: 404 }),
});
process.on("SIGTERM", () => process.exit(0));
