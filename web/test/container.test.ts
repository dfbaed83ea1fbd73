import { expect, test } from 'vitest';
import type { ContainerLimitsView, SizeView } from '../src/lib/api/schema';
import { complaints, emptyForm, fits, fullName, networks, parameters, reach, summary, variables, type ContainerForm } from '../src/lib/container';

const GIB = 1024 ** 3;
const limits: ContainerLimitsView = {
  default: {
    image: 'docker.io/library/debian:13',
    cpu_limit: 1,
    memory_limit_bytes: 2 * GIB,
    disk_quota_bytes: 5 * GIB,
    pids_limit: 512,
    network: 'internet',
  },
  cpu_limit_max: 16,
  memory_limit_bytes_max: 64 * GIB,
  disk_quota_bytes_max: 100 * GIB,
  pids_limit_max: 4096,
  network_max: 'internet',
};
const form = (fields: Partial<ContainerForm>): ContainerForm => ({ ...emptyForm(), ...fields });
const wrong = (fields: Partial<ContainerForm>) => complaints(form(fields), limits);

test('an empty form asks nothing and nothing is wrong with it', () => {
  expect(wrong({})).toEqual({});
  expect(parameters(emptyForm(), limits)).toEqual({});
});

test('what is filled in is asked in the API’s units', () => {
  const filled = form({
    image: ' ghcr.io/me/app:1 ',
    cpu: '1,5',
    memory: '0.5',
    disk: '10',
    pids: '64',
    network: 'restricted',
    domains: 'example.com, deb.debian.org\nexample.com',
    repository: 'https://git.example.com/me/app',
    branch: 'main',
    env: 'A=1\n\nB=x=y',
    secrets: [
      { name: 'deploy_key', value: 'two\nlines' },
      { name: '', value: '' },
    ],
    username: 'robot$ci',
    password: 'pass word',
  });
  expect(complaints(filled, limits)).toEqual({});
  expect(parameters(filled, limits)).toEqual({
    image: 'ghcr.io/me/app:1',
    cpu_limit: 1.5,
    memory_limit_bytes: GIB / 2,
    disk_quota_bytes: 10 * GIB,
    pids_limit: 64,
    network: 'restricted',
    allowed_domains: ['example.com', 'deb.debian.org'],
    repository: { url: 'https://git.example.com/me/app', branch: 'main' },
    env: { A: '1', B: 'x=y' },
    secrets: { deploy_key: 'two\nlines' },
    registry_login: { username: 'robot$ci', password: 'pass word' },
  });
});

test('a secret is a file of its own name, and a login is whole', () => {
  for (const name of ['', '.hidden', '-x', 'a/b', 'a b', 'x'.repeat(65)])
    expect(wrong({ secrets: [{ name, value: 'v' }] }).secrets, name).toMatch(/name/);
  expect(
    wrong({
      secrets: [
        { name: 'a', value: '1' },
        { name: 'a', value: '2' },
      ],
    }).secrets,
  ).toMatch(/same name/);
  expect(wrong({ secrets: [{ name: 'a', value: 'é'.repeat(8193) }] }).secrets).toMatch(/16 KiB/);
  expect(wrong({ secrets: [{ name: 'a', value: '' }] })).toEqual({});
  expect(wrong({ username: 'me' }).login).toMatch(/password/);
  expect(wrong({ password: 'x' }).login).toMatch(/user name/);
  expect(wrong({ username: 'me:you', password: 'x' }).login).toMatch(/colon/);
  expect(wrong({ username: 'me', password: 'x\ny' }).login).toMatch(/one line/);
});

test('the default network is not asked for, and domains only with a restricted one', () => {
  expect(parameters(form({ network: 'internet', domains: 'example.com' }), limits)).toEqual({});
  expect(parameters(form({ network: 'none' }), limits)).toEqual({ network: 'none' });
});

test('images are references', () => {
  for (const image of ['debian', 'debian:13', 'ghcr.io/a/b-c__d:1', 'Registry.example:5000/x', `a@sha256:${'0a'.repeat(32)}`])
    expect(wrong({ image }), image).toEqual({});
  for (const image of ['Debian', 'a b', 'a:', 'a//b', 'a@sha256:0', '-a', 'a..b', 'https://x/y', 'x'.repeat(600)])
    expect(wrong({ image }).image, image).toBeTruthy();
});

test('only what may be had is offered', () => {
  expect(networks(limits)).toEqual(['internet', 'restricted', 'none']);
  expect(networks({ ...limits, network_max: 'restricted' })).toEqual(['restricted', 'none']);
  expect(networks({ ...limits, network_max: 'none' })).toEqual(['none']);
  const from = (image: string) => complaints(form({ image }), { ...limits, image_registries: ['docker.io/library', 'ghcr.io'] }).image;
  for (const image of ['debian:13', 'index.docker.io/debian', 'GHCR.io/me/app', `ghcr.io/a/b@sha256:${'0a'.repeat(32)}`])
    expect(from(image), image).toBeUndefined();
  for (const image of ['me/app', 'docker.io/librarian/x', 'ghcr.io:444/a', 'quay.io/a/b', 'localhost/x'])
    expect(from(image), image).toBe('Images come from docker.io/library, ghcr.io in this installation.');
  expect([fullName('debian:13'), fullName('me/app'), fullName('Registry.example:5000/x:1')]).toEqual([
    'docker.io/library/debian',
    'docker.io/me/app',
    'registry.example:5000/x',
  ]);
});

test('limits are said before the control plane has to', () => {
  expect(wrong({ cpu: '17' }).cpu).toBe('At most 16 in this installation.');
  expect(wrong({ cpu: '0.05' }).cpu).toContain('at least 0.1');
  expect(wrong({ cpu: '0.125' }).cpu).toContain('hundredths');
  expect(wrong({ cpu: '0.29' })).toEqual({});
  expect(wrong({ memory: '65' }).memory).toBe('At most 64 GB in this installation.');
  expect(wrong({ memory: '0.01' }).memory).toBe('At least 64 MB.');
  expect(wrong({ pids: '4097' }).pids).toBe('At most 4096 in this installation.');
  for (const pids of ['15', '1.5', 'many']) expect(wrong({ pids }).pids, pids).toBe('A whole number, at least 16.');
  expect(wrong({ disk: 'much' }).disk).toBe('At least 256 MB.');
});

test('domains are names, and as many as it takes', () => {
  const domains = (text: string) => wrong({ network: 'restricted', domains: text }).domains;
  expect(domains('')).toContain('at least one');
  for (const text of ['*.example.com', 'https://example.com', 'Example.com', '10.0.0.1', 'localhost', 'a..b', '-a.com', '127.1'])
    expect(domains(text), text).toBeTruthy();
  expect(domains('example.com xn--bcher-kva.example')).toBeUndefined();
});

test('a repository is an address that the workspace reaches', () => {
  const repository = (url: string, more: Partial<ContainerForm> = {}) => wrong({ repository: url, ...more }).repository;
  for (const url of ['http://github.com/a/b', 'git@github.com:a/b', 'https://github.com', 'https://me:pw@github.com/a/b', 'https://github.com/a?b'])
    expect(repository(url), url).toBeTruthy();
  expect(repository('https://github.com/a/b')).toBeUndefined();
  expect(repository('https://github.com/a/b', { network: 'none' })).toContain('reaches nothing');
  expect(repository('https://github.com/a/b', { network: 'restricted', domains: 'hub.com' })).toContain('github.com');
  expect(repository('https://github.com/a/b', { network: 'restricted', domains: 'github.com' })).toBeUndefined();
});

test('the environment is lines of names and values', () => {
  expect(variables('A=1\nB=')).toEqual({ env: { A: '1', B: '' }, wrong: null });
  expect(wrong({ env: 'A' }).env).toContain('“A” is not NAME=value');
  expect(wrong({ env: '1A=x' }).env).toBeTruthy();
  expect(wrong({ env: `A=${'x'.repeat(17_000)}` }).env).toContain('16 KiB');
});

test('the machine shown is one with room for the workspace and for its own system', () => {
  const size = (cpus: number, memory: number, disk = 40): SizeView => ({
    id: 'x',
    cpus,
    memory_bytes: memory * GIB,
    disk_bytes: disk * GIB,
    architecture: 'x86_64',
    prices: [],
  });
  expect(fits(size(2, 4), {}, limits)).toBe(true);
  expect(fits(size(2, 4), { memory_limit_bytes: 4 * GIB }, limits)).toBe(false);
  expect(fits(size(2, 8), { cpu_limit: 2.5 }, limits)).toBe(false);
  expect(fits(size(2, 4), { disk_quota_bytes: 39 * GIB }, limits)).toBe(false);
  expect(fits(size(1, 1), { memory_limit_bytes: 99 * GIB }, null), 'without containers every machine will do').toBe(true);
});

test('a container is said in words', () => {
  expect(summary(limits.default)).toBe('1 processor, 2 GB memory, 5 GB disk');
  expect(reach({ network: 'restricted', allowed_domains: ['a.example', 'b.example'] })).toBe('a.example, b.example');
  expect([reach({ network: 'none' }), reach({ network: 'internet' })]).toEqual(['nothing', 'the internet']);
});
