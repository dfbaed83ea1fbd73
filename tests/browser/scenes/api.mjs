// Answers a page's requests and sockets from a scene, so that states which are rare in life can be looked at.
import { lifeOf, READY } from "./lives.mjs";

const JSON_TYPE = { contentType: "application/json" };
const PROBLEM_TYPE = "application/problem+json";

export const problem = (status, code, title, detail) => ({
  status,
  contentType: PROBLEM_TYPE,
  body: JSON.stringify({
    code,
    status,
    title,
    detail,
    request_id: "8f3c2d10a9b74e55",
  }),
});
const UNAVAILABLE = problem(
  503,
  "unavailable",
  "Not available for the moment",
  "The database did not answer. Nothing was changed; try again in a moment.",
);
const NOT_FOUND = problem(
  404,
  "not_found",
  "Not found",
  "There is no such thing, or it is somebody else’s.",
);

/** Lets `page` see `scene`. `refuse` maps "METHOD path" to a problem; `failing` makes all but the sign-in fail. */
export async function stage(
  page,
  scene,
  { refuse = {}, failing = false, signedIn = true, terminal = [] } = {},
) {
  await page.route("**/api/**", (route) => {
    const request = route.request();
    const { pathname, searchParams } = new URL(request.url());
    const answer = (body, status = 200) =>
      route.fulfill({ status, ...JSON_TYPE, body: JSON.stringify(body) });
    const refused = refuse[`${request.method()} ${pathname}`];
    if (refused) return route.fulfill(refused);
    if (pathname === "/api/me" && !signedIn)
      return route.fulfill(
        problem(
          401,
          "unauthenticated",
          "Sign in first",
          "There is no session.",
        ),
      );
    if (failing && pathname !== "/api/me") return route.fulfill(UNAVAILABLE);
    if (searchParams.get("gone") === "true")
      return answer({ items: scene.ended?.[pathname] ?? [] });
    if (scene[pathname]) return answer(scene[pathname]);
    if (pathname === "/api/events")
      return answer(eventsOf(scene, searchParams));
    if (pathname === "/api/warm-pool")
      return answer({ minimum: 0, warm: 0, being_made: 0 });
    if (pathname.endsWith("/catalog")) return answer(scene.catalog);
    const [, , kind, id] = pathname.split("/");
    const item = scene[kind]?.[id];
    if (item && pathname.endsWith("/lifecycle")) return answer(lifeOf(item));
    if (item && pathname.endsWith("/token"))
      return answer(
        {
          token: "scene",
          permissions: ["terminal:read", "terminal:write"],
          expires_at: new Date(Date.now() + 3_600_000).toISOString(),
        },
        201,
      );
    return item ? answer(item) : route.fulfill(NOT_FOUND);
  });
  await page.route("**/readyz", (route) =>
    failing
      ? route.fulfill(UNAVAILABLE)
      : route.fulfill({ ...JSON_TYPE, body: JSON.stringify(READY) }),
  );
  await page.routeWebSocket("**/api/workspaces/*/socket", (socket) => {
    const workspace =
      scene.workspaces[new URL(socket.url()).pathname.split("/")[3]];
    const node = scene.nodes[workspace.node.id];
    socket.onMessage(() => {});
    socket.send(JSON.stringify({ type: "snapshot", workspace, node }));
    socket.send(
      JSON.stringify({
        type: "events",
        items: scene.events.filter((event) => event.node_id === node.id),
      }),
    );
    if (scene.progress?.workspace_id === workspace.id)
      socket.send(JSON.stringify({ type: "progress", ...scene.progress }));
  });
  await page.routeWebSocket("**/api/workspaces/*/terminal?*", (socket) => {
    socket.onMessage(() => {});
    for (const frame of terminal) {
      if (typeof frame === "number") socket.close({ code: frame });
      else socket.send(frame);
    }
  });
}

function eventsOf(scene, query) {
  const last_id = scene.events.at(-1)?.id ?? 0;
  const limit = Number(query.get("limit") ?? 200);
  const own = scene.events.filter(
    (event) =>
      event.id > Number(query.get("after") ?? 0) &&
      event.id < Number(query.get("before") ?? Infinity) &&
      (!query.has("node_id") || event.node_id === query.get("node_id")),
  );
  const items = query.has("after") ? own.slice(0, limit) : own.slice(-limit);
  return { items, last_id };
}

const u64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};
export const opened = ({ epoch = 7, readOnly = false } = {}) =>
  Buffer.concat([
    Buffer.of(0x81),
    u64(epoch),
    u64(0),
    Buffer.of(readOnly ? 3 : 2),
  ]);
export const reset = (offset = 0) =>
  Buffer.concat([Buffer.of(0x83), u64(offset)]);
export const output = (text, offset = 0) =>
  Buffer.concat([
    Buffer.of(0x82),
    u64(offset),
    Buffer.from(text.replaceAll("\n", "\r\n")),
  ]);
