// Serves web/dist as the platform does: its _headers on every file, index.html for every path of the page.
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { listen } from "./listen.mjs";

const DIST = path.resolve(import.meta.dirname, "../../../web/dist");
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

export async function serveDist() {
  const headers = parse(await readFile(path.join(DIST, "_headers"), "utf8"));
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    const file = path.extname(pathname) ? pathname : "/index.html";
    try {
      const body = await readFile(path.join(DIST, path.normalize(file)));
      for (const [name, value] of Object.entries(headers))
        response.setHeader(name, value);
      response.setHeader(
        "content-type",
        TYPES[path.extname(file)] ?? "application/octet-stream",
      );
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  const port = await listen(server);
  return {
    origin: `http://127.0.0.1:${port}`,
    close: () => server.close(),
  };
}

/** The headers of the first block, which is for every path. */
function parse(text) {
  const [block = ""] = text.split(/\n\s*\n/);
  const lines = block
    .split("\n")
    .slice(1)
    .filter((line) => line.includes(":"));
  return Object.fromEntries(
    lines.map((line) => [
      line.slice(0, line.indexOf(":")).trim(),
      line.slice(line.indexOf(":") + 1).trim(),
    ]),
  );
}
