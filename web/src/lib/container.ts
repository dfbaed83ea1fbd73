// What a form asks of a workspace's container: checked as the control plane checks it, in the same words, and turned into
// the parameters of the request. Pure. Empty fields ask nothing: the installation's defaults then hold.
import type { ContainerLimitsView, ContainerView, NetworkMode, RegistryLogin, Repository, SizeView } from './api/schema';
import { bytes } from './format';

export interface ContainerForm {
  image: string;
  /** Processors, as typed. */
  cpu: string;
  /** In GB, as typed. */
  memory: string;
  /** In GB, as typed. */
  disk: string;
  /** Processes and threads, as typed. */
  pids: string;
  network: NetworkMode | null;
  /** Separated by spaces, commas or lines. */
  domains: string;
  repository: string;
  branch: string;
  /** `NAME=value`, one a line. */
  env: string;
  /** Files under /run/secrets. */
  secrets: Secret[];
  username: string;
  password: string;
}

/** One secret as typed. */
export interface Secret {
  name: string;
  value: string;
}

export type Field = 'image' | 'cpu' | 'memory' | 'disk' | 'pids' | 'domains' | 'repository' | 'branch' | 'env' | 'secrets' | 'login';
/** The parameters of a request that are about its container. */
export interface Asked {
  image?: string;
  cpu_limit?: number;
  memory_limit_bytes?: number;
  disk_quota_bytes?: number;
  pids_limit?: number;
  network?: NetworkMode;
  allowed_domains?: string[];
  repository?: Repository;
  env?: Record<string, string>;
  secrets?: Record<string, string>;
  registry_login?: RegistryLogin;
}
export type Complaints = Partial<Record<Field, string>>;

export const emptyForm = (): ContainerForm => ({
  image: '',
  cpu: '',
  memory: '',
  disk: '',
  pids: '',
  network: null,
  domains: '',
  repository: '',
  branch: '',
  env: '',
  secrets: [],
  username: '',
  password: '',
});

/** What a workspace can reach, the least first: each reaches what those before it do. */
const NETWORKS: NetworkMode[] = ['none', 'restricted', 'internet'];

/** What can be asked for here, in the order of what is most often wanted: the most open first. */
export const networks = ({ network_max }: ContainerLimitsView): NetworkMode[] =>
  NETWORKS.filter((_, reach) => reach <= NETWORKS.indexOf(network_max)).toReversed();

export const NETWORK: Record<NetworkMode, { word: string; explained: string }> = {
  internet: { word: 'Internet', explained: 'It reaches the internet, and neither your cloud’s internal addresses nor other workspaces.' },
  restricted: { word: 'Some domains', explained: 'It reaches the domains you name, with their subdomains, over http and https, and nothing else.' },
  none: { word: 'Nothing', explained: 'It reaches nothing at all. Files come and go through its terminal.' },
};

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** What of a machine its own system needs: what the control plane adds when it looks for one with room. */
const HOST = { memory: 512 * MIB, disk: 8 * GIB };

const list = (text: string): string[] => [...new Set(text.split(/[\s,]+/).filter(Boolean))];
const gigabytes = (text: string): number => Math.round(Number(text.replace(',', '.')) * GIB);
const number = (text: string): number => Number(text.replace(',', '.'));

/** The variables of `NAME=value` lines; a line that is none is given back as it is. */
export function variables(text: string): { env: Record<string, string>; wrong: string | null } {
  const env: Record<string, string> = {};
  for (const line of text.split('\n')) {
    if (!line.trim()) continue;
    const at = line.indexOf('=');
    const name = line.slice(0, Math.max(at, 0)).trim();
    if (at < 1 || !/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) return { env, wrong: line };
    env[name] = line.slice(at + 1);
  }
  return { env, wrong: null };
}

/** What is wrong with each field; nothing when all of it can be asked. */
export function complaints(form: ContainerForm, limits: ContainerLimitsView): Complaints {
  const found: Complaints = {};
  const say = (field: Field, complaint: string | null) => {
    if (complaint) found[field] = complaint;
  };
  if (form.image) say('image', imageComplaint(form.image.trim()) ?? registryComplaint(form.image.trim(), limits.image_registries ?? []));
  if (form.cpu) {
    const hundredths = number(form.cpu) * 100;
    if (!Number.isFinite(hundredths) || Math.abs(hundredths - Math.round(hundredths)) > 1e-6 || hundredths < 10)
      say('cpu', 'Processors in hundredths, at least 0.1, e.g. 1.5.');
    else if (hundredths > limits.cpu_limit_max * 100) say('cpu', `At most ${limits.cpu_limit_max} in this installation.`);
  }
  if (form.memory) say('memory', sizeComplaint(gigabytes(form.memory), 64 * MIB, limits.memory_limit_bytes_max));
  if (form.disk) say('disk', sizeComplaint(gigabytes(form.disk), 256 * MIB, limits.disk_quota_bytes_max));
  if (form.pids) {
    const pids = number(form.pids);
    if (!Number.isInteger(pids) || pids < 16) say('pids', 'A whole number, at least 16.');
    else if (pids > limits.pids_limit_max) say('pids', `At most ${limits.pids_limit_max} in this installation.`);
  }
  const network = form.network ?? limits.default.network;
  if (network === 'restricted') say('domains', domainsComplaint(list(form.domains)));
  if (form.repository) say('repository', repositoryComplaint(form.repository.trim(), network, list(form.domains)));
  if (form.branch && !form.repository) say('branch', 'Of which repository?');
  else if (form.branch && !/^(?!-)[^\s~^:?*[\\"'`$;&|<>(){}!]{1,255}$/.test(form.branch)) say('branch', 'Not the name of a branch or tag.');
  const { env, wrong } = variables(form.env);
  if (wrong !== null) say('env', `“${wrong.slice(0, 40)}” is not NAME=value. Names are letters, digits and _, not beginning with a digit.`);
  else if (Object.keys(env).length > 100) say('env', 'At most 100 variables.');
  else if (length(Object.entries(env).flat()) > 16 * 1024) say('env', 'At most 16 KiB, names and values together.');
  say('secrets', secretsComplaint(form.secrets.filter(filled)));
  say('login', loginComplaint(form));
  return found;
}

/** Whether a secret can have this name: it is a file's. */
export const isSecretName = (name: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/.test(name);

const filled = ({ name, value }: Secret): boolean => !!(name || value);
const length = (texts: string[]): number => new TextEncoder().encode(texts.join('')).length;

function secretsComplaint(secrets: Secret[]): string | null {
  if (secrets.length > 32) return 'At most 32 secrets.';
  const names = secrets.map(({ name }) => name);
  const odd = names.find((name) => !isSecretName(name));
  if (odd !== undefined) return `“${odd}” cannot be a file’s name: letters, digits, ., _ and -, at most 64, beginning with a letter, digit or _.`;
  if (new Set(names).size < names.length) return 'Two secrets have the same name.';
  return length(secrets.flatMap(({ name, value }) => [name, value])) > 16 * 1024 ? 'At most 16 KiB, names and values together.' : null;
}

function loginComplaint({ username, password }: ContainerForm): string | null {
  if (!username && !password) return null;
  if (!/^[\x21-\x39\x3b-\x7e]{1,256}$/.test(username)) return 'A user name is 1 to 256 visible characters without a colon.';
  return /^\P{Cc}+$/u.test(password) && length([password]) <= 8192 ? null : 'A password or token is 1 to 8192 bytes on one line.';
}

function imageComplaint(image: string): string | null {
  if (image.length > 512 || !/^[\x21-\x7e]+$/.test(image)) return 'One word of at most 512 characters, e.g. docker.io/library/debian:13.';
  const [rest = '', digest] = image.split('@', 2);
  if (digest !== undefined && !/^sha256:[0-9a-f]{64}$|^sha512:[0-9a-f]{128}$/.test(digest))
    return 'The digest after @ is not sha256: and 64 hexadecimal digits.';
  const colon = rest.lastIndexOf(':');
  const tagged = colon > rest.lastIndexOf('/');
  if (tagged && !/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(rest.slice(colon + 1))) return 'The tag after : is letters, digits, _, . and -.';
  const name = tagged ? rest.slice(0, colon) : rest;
  const parts = name.split('/');
  if (parts.length > 1 && /[.:[A-Z]|^localhost$/.test(parts[0] ?? '')) parts.shift();
  const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
  return parts.every((part) => component.test(part))
    ? null
    : 'A name is lower-case letters and digits, with . _ or - inside, and / between its parts.';
}

/** An image's name in full, without tag and digest, as the control plane writes it. */
export function fullName(image: string): string {
  const [rest = ''] = image.split('@', 1);
  const colon = rest.lastIndexOf(':');
  const parts = (colon > rest.lastIndexOf('/') ? rest.slice(0, colon) : rest).split('/');
  const named = parts.length > 1 && /[.:[A-Z]|^localhost$/.test(parts[0] ?? '');
  const registry = named ? (parts.shift() ?? '').toLowerCase().replace(/^index\.docker\.io$/, 'docker.io') : 'docker.io';
  return [registry, ...(registry === 'docker.io' && parts.length === 1 ? ['library'] : []), ...parts].join('/');
}

function registryComplaint(image: string, registries: string[]): string | null {
  const name = fullName(image);
  if (!registries.length || registries.some((registry) => name === registry || name.startsWith(`${registry}/`))) return null;
  return `Images come from ${registries.join(', ')} in this installation.`;
}

function sizeComplaint(asked: number, least: number, most: number): string | null {
  if (!Number.isFinite(asked) || asked < least) return `At least ${bytes(least)}.`;
  return asked > most ? `At most ${bytes(most)} in this installation.` : null;
}

function domainsComplaint(domains: string[]): string | null {
  if (!domains.length) return 'Name at least one domain, e.g. example.com.';
  if (domains.length > 64) return 'At most 64 domains.';
  for (const domain of domains) {
    if (domain.includes('*')) return 'Without a wildcard: a domain stands for its subdomains too.';
    if (/[:/]/.test(domain)) return 'Names of domains alone, without scheme, port or path, e.g. example.com.';
    if (/[A-Z]/.test(domain)) return 'Lower-case letters only.';
    const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
    if (/(^|\.)(\d+|0x[0-9a-f]*)$/.test(domain)) return 'Names only, no addresses.';
    if (!new RegExp(`^${label}(?:\\.${label})+$`).test(domain)) return `“${domain}” is not the name of a domain with at least one dot.`;
  }
  return null;
}

function repositoryComplaint(url: string, network: NetworkMode, domains: string[]): string | null {
  if (!url.startsWith('https://')) return 'An https address, e.g. https://github.com/owner/name.';
  const [authority = '', ...path] = url.slice('https://'.length).split('/');
  if (authority.includes('@')) return 'No user name or password in it.';
  if (!path.join('').length) return 'With the path of a repository, e.g. https://github.com/owner/name.';
  if (!/^[A-Za-z0-9\-._~/:@%+=&,!()[\]]+$/.test(url.slice('https://'.length))) return 'No query, no fragment, no spaces.';
  if (network === 'none') return 'It is cloned inside the workspace, which reaches nothing.';
  const host = (authority.split(':')[0] ?? '').toLowerCase();
  const within = domains.some((domain) => host === domain || host.endsWith(`.${domain}`));
  return network === 'restricted' && !within ? `Its host ${host} is not among the domains that the workspace reaches.` : null;
}

/** The parameters for what was filled in, and for nothing else. */
export function parameters(form: ContainerForm, limits: ContainerLimitsView): Asked {
  const asked: Asked = {};
  if (form.image.trim()) asked.image = form.image.trim();
  if (form.cpu) asked.cpu_limit = number(form.cpu);
  if (form.memory) asked.memory_limit_bytes = gigabytes(form.memory);
  if (form.disk) asked.disk_quota_bytes = gigabytes(form.disk);
  if (form.pids) asked.pids_limit = number(form.pids);
  const network = form.network ?? limits.default.network;
  if (form.network && form.network !== limits.default.network) asked.network = form.network;
  if (network === 'restricted') asked.allowed_domains = list(form.domains);
  if (form.repository.trim()) asked.repository = { url: form.repository.trim(), ...(form.branch ? { branch: form.branch } : {}) };
  const { env } = variables(form.env);
  if (Object.keys(env).length) asked.env = env;
  const secrets = form.secrets.filter(filled);
  if (secrets.length) asked.secrets = Object.fromEntries(secrets.map(({ name, value }) => [name, value]));
  if (form.username) asked.registry_login = { username: form.username, password: form.password };
  return asked;
}

/** Whether a machine has room for what is asked, so that the one shown is the one that would be ordered. */
export function fits(size: SizeView, asked: Asked, limits: ContainerLimitsView | null | undefined): boolean {
  if (!limits) return true;
  const { cpu_limit, memory_limit_bytes, disk_quota_bytes } = { ...limits.default, ...asked };
  return (
    size.cpus >= Math.ceil(cpu_limit) && size.memory_bytes >= memory_limit_bytes + HOST.memory && size.disk_bytes >= disk_quota_bytes + HOST.disk
  );
}

export const processors = (count: number): string => `${count} ${count === 1 ? 'processor' : 'processors'}`;

/** A container in a line. */
export function summary(container: Pick<ContainerView, 'cpu_limit' | 'memory_limit_bytes' | 'disk_quota_bytes'>): string {
  const { cpu_limit, memory_limit_bytes, disk_quota_bytes } = container;
  return `${processors(cpu_limit)}, ${bytes(memory_limit_bytes)} memory, ${bytes(disk_quota_bytes)} disk`;
}

/** What a container reaches, in words. */
export function reach({ network, allowed_domains }: Pick<ContainerView, 'network' | 'allowed_domains'>): string {
  switch (network) {
    case 'none':
      return 'nothing';
    case 'internet':
      return 'the internet';
    case 'restricted':
      return (allowed_domains ?? []).join(', ');
  }
}
