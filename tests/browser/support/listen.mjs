/**
 * Any free port of this machine.
 * @param {import("node:net").Server} server
 */
export async function listen(server) {
  await new Promise((listening) =>
    server.listen(0, "127.0.0.1", () => listening()),
  );
  const address = server.address();
  if (address === null || typeof address === "string")
    throw new Error(`no port: ${address}`);
  return address.port;
}
