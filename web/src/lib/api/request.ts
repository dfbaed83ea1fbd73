// One request to the API, typed by its OpenAPI document: path, parameters, body and answer belong together.
import { connection } from '../state/connection.svelte';
import type { paths, Problem } from './schema';

/** What went wrong, as the control plane said it or, when it could not be reached, as we say it for it. */
export class ApiError extends Error {
  constructor(readonly problem: Omit<Problem, 'code'> & { code: Problem['code'] | 'unreachable' | 'not_understood' }) {
    super(problem.detail || problem.title);
  }
  get code(): string {
    return this.problem.code;
  }
}

type Method = 'get' | 'post' | 'put' | 'delete';
type PathsWith<M extends Method> = { [P in keyof paths]: paths[P] extends { [K in M]: object } ? P : never }[keyof paths];
type Operation<M extends Method, P extends PathsWith<M>> = paths[P] extends { [K in M]: infer O } ? O : never;
type Responses<O> = O extends { responses: infer R } ? R : never;
type Body<R> = R extends { content: { 'application/json': infer B } } ? B : undefined;
export type Answer<O> = { [S in keyof Responses<O> & (200 | 201 | 202 | 204)]: Body<Responses<O>[S]> }[keyof Responses<O> & (200 | 201 | 202 | 204)];

type PathParameters<O> = O extends { parameters: { path: infer T } } ? { path: T } : { path?: undefined };
type QueryParameters<O> = O extends { parameters: { query?: infer T } } ? { query?: T } : { query?: undefined };
type RequestBody<O> = O extends { requestBody: { content: { 'application/json': infer B } } }
  ? { body: B }
  : O extends { requestBody?: undefined }
    ? { body?: undefined }
    : O extends { requestBody?: { content: { 'application/json': infer B } } }
      ? { body?: B }
      : { body?: undefined };
/** A POST that creates something carries a key, so that a lost answer can be asked for again without creating two. */
type Creation<O> = O extends { parameters: { header?: { 'Idempotency-Key'?: string } } } ? { creates?: boolean } : { creates?: undefined };
export type Options<O> = PathParameters<O> & QueryParameters<O> & RequestBody<O> & Creation<O>;

/** Called once for every answer that says that nobody is signed in. */
let onSignedOut: () => void = () => {};
export function whenSignedOut(callback: () => void): void {
  onSignedOut = callback;
}

export async function request<M extends Method, P extends PathsWith<M>>(
  method: M,
  path: P,
  options: Options<Operation<M, P>>,
): Promise<Answer<Operation<M, P>>> {
  const {
    path: places,
    query,
    body,
    creates,
  } = options as { path?: Record<string, string>; query?: Record<string, unknown>; body?: unknown; creates?: boolean };
  const headers: Record<string, string> = { accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (creates) headers['idempotency-key'] = crypto.randomUUID();
  const init: RequestInit = { method: method.toUpperCase(), headers, credentials: 'same-origin', cache: 'no-store' };
  if (body !== undefined) init.body = JSON.stringify(body);

  const answer = await send(fill(path, places) + search(query), init, creates === true || method === 'get');
  if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as Answer<Operation<M, P>>;
  const error = new ApiError(await problemOf(answer));
  if (error.code === 'unauthenticated') onSignedOut();
  throw error;
}

/** Sends a request, and once more when no answer came and a repeat cannot do harm. */
async function send(url: string, init: RequestInit, repeatable: boolean): Promise<Response> {
  for (let left = repeatable ? 1 : 0; ; left -= 1) {
    try {
      const answer = await fetch(url, init);
      connection.answered();
      return answer;
    } catch {
      if (left > 0) continue;
      connection.failed();
      throw new ApiError({
        code: 'unreachable',
        status: 0,
        title: 'Ringfence cannot be reached',
        detail: 'No answer came. Nothing is known to have changed; check your connection and try again.',
        request_id: '',
      });
    }
  }
}

async function problemOf(answer: Response): Promise<ApiError['problem']> {
  const unreadable: ApiError['problem'] = {
    code: 'not_understood',
    status: answer.status,
    title: `Ringfence answered ${answer.status}`,
    detail: 'The answer was not one this page understands.',
    request_id: answer.headers.get('cf-ray') ?? '',
  };
  if (!answer.headers.get('content-type')?.includes('json')) return unreadable;
  try {
    return { ...unreadable, ...((await answer.json()) as Partial<Problem>) };
  } catch {
    return unreadable;
  }
}

const fill = (path: string, places: Record<string, string> = {}): string =>
  path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(places[name] ?? ''));

function search(query: Record<string, unknown> = {}): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  return pairs.length ? `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}` : '';
}
