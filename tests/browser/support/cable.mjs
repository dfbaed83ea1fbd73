// The cable between the browser and everything else, which a test can pull: a proxy that drops what goes through it.
import http from "node:http";
import net from "node:net";
import { listen } from "./listen.mjs";

export async function layCable() {
  const open = new Set();
  let plugged = true;

  const server = http.createServer((request, response) => {
    const { hostname, port, pathname, search } = new URL(request.url);
    const onward = http.request(
      {
        hostname,
        port,
        path: pathname + search,
        method: request.method,
        headers: request.headers,
      },
      (answer) => {
        response.writeHead(answer.statusCode, answer.rawHeaders);
        answer.pipe(response);
      },
    );
    onward.once("error", () => response.destroy());
    request.pipe(onward);
  });
  server.on("connection", (socket) => {
    if (!plugged) return socket.destroy();
    open.add(socket);
    socket.once("close", () => open.delete(socket)).on("error", () => {});
  });
  // WebSockets come as tunnels.
  server.on("connect", (request, socket) => {
    const [hostname, port] = request.url.split(":");
    const onward = net.connect(Number(port), hostname, () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      onward.pipe(socket).pipe(onward);
    });
    onward.on("error", () => socket.destroy());
    socket.on("close", () => onward.destroy());
  });
  const port = await listen(server);

  return {
    /** For a browser context: everything goes through the cable, loopback too. */
    proxy: {
      server: `http://127.0.0.1:${port}`,
      bypass: "<-loopback>",
    },
    pull() {
      plugged = false;
      for (const socket of open) socket.destroy();
    },
    plug() {
      plugged = true;
    },
    close() {
      this.pull();
      server.close();
    },
  };
}
