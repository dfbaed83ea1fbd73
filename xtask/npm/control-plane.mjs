// Runs the built Worker in workerd, with what wrangler.toml says of bindings, migrations, assets and dates.
//
// Standard input and output are the control channel, one JSON object a line: the first line in is the start order, the
// first line out says `ready`, and after that each request {id, …} gets one answer {id, …}. The end of standard input
// is the end of this process: a parent that dies by any means takes workerd with it. Secrets come in over the channel,
// so that they are in no argument, environment or log.

import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const order = JSON.parse((await lines.next()).value);

const require = createRequire(join(order.tools, "package.json"));
const wrangler = require("wrangler");
const { Miniflare } = require("miniflare");

const say = (message) => void process.stdout.write(`${JSON.stringify(message)}\n`);
const log = (text) => void process.stderr.write(`${text}\n`);

const root = dirname(resolve(order.config));
const config = wrangler.unstable_readConfig({ config: order.config }, { hideWarnings: true });
const { workerOptions, main } = wrangler.unstable_getMiniflareWorkerOptions(order.config);
const build = resolve(root, dirname(main));

const options = {
  host: "127.0.0.1",
  port: order.port,
  cf: false,
  telemetry: { enabled: false },
  defaultPersistRoot: order.state,
  handleStructuredLogs: ({ timestamp, level, message }) => {
    log(`${new Date(timestamp).toISOString()} ${level} ${message}`);
  },
  name: config.name,
  ...workerOptions,
  bindings: { ...workerOptions.bindings, ...order.vars },
  rootPath: root,
  modulesRoot: build,
  modules: modulesIn(build),
};

let runtime = new Miniflare(options);

try {
  const databases = await open();
  if (order.cron) runCronEveryMinute();
  say({ ready: true });
  for await (const line of lines) {
    const request = JSON.parse(line);
    answer(request, databases).then(
      (result) => say({ id: request.id, result }),
      (error) => say({ id: request.id, error: String(error.cause ?? error.message ?? error) }),
    );
  }
} catch (error) {
  log(error.stack);
  process.exitCode = 1;
}
await runtime.dispose();
process.exit();

/** The files that `worker-build` wrote: the entry first, as workerd wants it. */
function modulesIn(directory) {
  const files = readdirSync(directory, { recursive: true }).filter((name) => !name.startsWith("."));
  const entry = resolve(root, main);
  const paths = files.map((name) => join(directory, name)).filter((path) => path !== entry);
  const modules = [{ type: "ESModule", path: entry }];
  for (const path of paths) {
    if (path.endsWith(".wasm")) modules.push({ type: "CompiledWasm", path });
  }
  return modules;
}

/** The databases, migrated. Once in some hundred starts on a busy machine Miniflare trips over its own first call. */
async function open() {
  try {
    await runtime.ready;
    return await migrate();
  } catch (error) {
    if (error.code !== "ERR_ASSERTION") throw error;
    await runtime.dispose();
    runtime = new Miniflare(options);
    await runtime.ready;
    return migrate();
  }
}

/** Applies what is new in each database's migrations folder, recorded where wrangler records it. */
async function migrate() {
  const databases = new Map();
  for (const { binding, migrations_dir } of config.d1_databases) {
    const database = await runtime.getD1Database(binding);
    databases.set(binding, database);
    if (!migrations_dir) continue;
    await database
      .prepare(
        "CREATE TABLE IF NOT EXISTS d1_migrations(" +
          "id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, " +
          "applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)",
      )
      .run();
    const { results } = await database.prepare("SELECT name FROM d1_migrations").all();
    const applied = new Set(results.map(({ name }) => name));
    const folder = resolve(root, migrations_dir);
    for (const name of readdirSync(folder).filter((name) => name.endsWith(".sql")).sort()) {
      if (applied.has(name)) continue;
      const statements = wrangler.unstable_splitSqlQuery(readFileSync(join(folder, name), "utf8"));
      const record = database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name);
      await database.batch([...statements.map((sql) => database.prepare(sql)), record]);
      log(`applied migration ${name}`);
    }
  }
  return databases;
}

/** Does what Cloudflare does with the triggers of wrangler.toml; those we have are all due every minute. */
function runCronEveryMinute() {
  for (const cron of config.triggers?.crons ?? []) {
    setInterval(() => answer({ cron }).catch((error) => log(`cron ${cron}: ${error}`)), 60_000);
  }
}

/** One request of the parent: SQL, one statement or several all or none, or a run of the scheduled handler. */
async function answer(request, databases) {
  if (request.sql !== undefined) {
    const statement = databases.get(request.database ?? "DB").prepare(request.sql);
    return (await statement.bind(...(request.params ?? [])).all()).results;
  }
  if (request.batch !== undefined) {
    const database = databases.get(request.database ?? "DB");
    const statements = request.batch.map(({ sql, params }) => database.prepare(sql).bind(...params));
    return (await database.batch(statements)).map(({ results }) => results);
  }
  if (request.cron !== undefined) {
    const worker = await runtime.getWorker();
    return worker.scheduled({ cron: request.cron });
  }
  throw new Error("unknown request");
}
