// The whole of Ringfence to test against: the one that the environment names, or one that is started for the file and
// ended with it.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";

const ROOT = path.resolve(import.meta.dirname, "../../..");
/** A cold build of every part included. */
const START_LIMIT_MS = 20 * 60_000;

/** `{ origin, signInLink, cloudToken, stop }` */
export async function startStack() {
  const {
    RINGFENCE_URL: origin,
    RINGFENCE_SIGN_IN_LINK: signInLink,
    RINGFENCE_LOCAL_CLOUD_TOKEN: cloudToken,
  } = process.env;
  if (origin && signInLink && cloudToken)
    return { origin, signInLink, cloudToken, stop: async () => {} };

  const state = await mkdtemp(path.join(os.tmpdir(), "ringfence-browser-"));
  const [program, ...before] = process.env.RINGFENCE_XTASK
    ? [process.env.RINGFENCE_XTASK]
    : ["cargo", "run", "--quiet", "--package", "xtask", "--"];
  // Port 0: chosen when it is listened on. One that is chosen before the build may be taken after it.
  const args = [...before, "dev", "--port", "0", "--state-dir", state];
  const child = spawn(program, args, {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise((resolve) => {
    child.once("exit", resolve);
    // A program that cannot be started has ended, too.
    child.once("error", resolve);
  });
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    await rm(state, { recursive: true, force: true });
  };
  try {
    return { ...(await ready(child)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits for the line that says where it listens, and for the cloud's token, which is said before. */
function ready(child) {
  return new Promise((resolve, reject) => {
    let said = "";
    const late = setTimeout(
      () => reject(new Error(`not ready in time:\n${said}`)),
      START_LIMIT_MS,
    );
    child.once("exit", (code) => {
      clearTimeout(late);
      reject(new Error(`the stack ended with ${code}:\n${said}`));
    });
    child.once("error", (error) => {
      clearTimeout(late);
      reject(error);
    });
    const read = (chunk) => {
      said += chunk;
      const [, origin, signInLink] =
        /READY url=(\S+) sign-in=(\S+)/.exec(said) ?? [];
      const [, cloudToken] =
        /API token of the local cloud: (\S+)/.exec(said) ?? [];
      if (!origin || !cloudToken) return;
      clearTimeout(late);
      resolve({ origin, signInLink, cloudToken });
    };
    child.stdout.setEncoding("utf8").on("data", read);
    child.stderr.setEncoding("utf8").on("data", read);
  });
}
