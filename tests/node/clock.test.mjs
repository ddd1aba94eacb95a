// The day's clock is set by hours, backwards and forwards, under a running server and while it is down (libfaketime reads it from a file; the clocks
// that nobody sets stay as they are): nothing is lost, lists stay in order, rates and deadlines stay as they were, no time told lies before what it follows.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { serveIn, sleep } from './served.mjs';

const library = readdirSync('/usr/lib').map((d) => `/usr/lib/${d}/faketime/libfaketimeMT.so.1`).find(existsSync);
const skip = library ? false : 'libfaketime is not installed';
const folder = mkdtempSync(join(tmpdir(), 'higgins-clock-'));
const SWEEP_MS = 21_000; // what is old is looked for each 20 seconds

// Moves the server's clock of the day to so many hours from now.
function setClock(hours) {
  writeFileSync(join(folder, 'next'), `${hours < 0 ? '' : '+'}${hours}h`);
  renameSync(join(folder, 'next'), join(folder, 'clock'));
}

let server, token;
const heard = [];
const hook = createServer((request, response) => {
  let body = '';
  request.on('data', (d) => { body += d; });
  request.on('end', () => {
    heard.push({ ...JSON.parse(body), at: Number(request.headers['webhook-timestamp']) });
    response.end();
  });
});
before(async () => {
  if (skip) return;
  setClock(0);
  await new Promise((resolve) => hook.listen(0, '127.0.0.1', resolve));
  const env = { LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: join(folder, 'clock'), FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1', NO_FAKE_STAT: '1' };
  server = await serveIn(env, '--with-token', '--allow-private-urls', '--retention', '1');
  token = server.makeToken('anna', '--rate', '0');
});
after(async () => {
  hook.closeAllConnections();
  hook.close();
  const end = await server?.stop();
  rmSync(folder, { recursive: true });
  if (!skip) assert.equal(end.code, 0, end.complaints);
});

// Every time and every duration that is told.
function check(value, key = '') {
  if (typeof value === 'number' && /(_at|_time|created|changed|expires|_second|_duration|finish)$/.test(key)) assert.ok(value >= 0, `${key}: ${value}`);
  if (value && typeof value === 'object') for (const [k, v] of Object.entries(value)) check(v, k);
}
async function ask(method, path, body, headers = {}) {
  const init = { method, headers: { Authorization: `Bearer ${token}`, ...headers } };
  if (body !== undefined) init.body = body instanceof FormData ? body : JSON.stringify(body);
  const reply = await fetch(server.url + path, init);
  const text = await reply.text();
  const value = text.startsWith('{') ? JSON.parse(text) : text;
  check(value);
  return { status: reply.status, headers: reply.headers, value };
}
async function get(path, headers) {
  const reply = await ask('GET', path, undefined, headers);
  assert.equal(reply.status, 200, `${path}: ${JSON.stringify(reply.value)}`);
  return reply.value;
}
async function made(method, path, body, headers) {
  const reply = await ask(method, path, body, headers);
  assert.ok(reply.status < 300, `${path}: ${JSON.stringify(reply.value)}`);
  return reply.value;
}
async function until(what, ok) {
  for (let i = 0; i < 1500; i++) {
    const now = await what();
    if (ok(now)) return now;
    await sleep(20);
  }
  throw new Error('it never comes');
}
const messages = [{ role: 'user', content: 'Tell me a story' }];
const inOrder = (...times) => assert.deepEqual(times, [...times].sort((a, b) => a - b));
const at = (t) => Date.parse(t);

// ---- what is kept ----
const predict = (input = {}, headers = {}) => made('POST', '/v1/models/local/random/predictions', { input: { prompt: 'Once', max_tokens: 8, ...input }, webhook: `http://127.0.0.1:${hook.address().port}/`, webhook_events_filter: ['completed'] }, headers);
const ended = async (p) => {
  const now = await until(() => get(`/v1/predictions/${p.id}`), (q) => !['starting', 'processing'].includes(q.status));
  inOrder(at(now.created_at), at(now.started_at ?? now.created_at), at(now.completed_at));
  assert.ok((now.metrics.total_time ?? 0) < 60, `it took ${now.metrics.total_time} s`);
  return now;
};
const talk = async (id) => {
  await made('PUT', `/app/conversations/${id}`, { title: id, messages: [{ id: 'm', parent: null, role: 'user', content: 'Thunder' }] });
  return `/app/conversations/${id}`;
};
const upload = async (text, more = {}) => {
  const form = new FormData();
  for (const [k, v] of Object.entries({ purpose: 'user_data', ...more })) form.set(k, v);
  form.set('file', new Blob([text]), 'x.jsonl');
  return made('POST', '/v1/files', form);
};
const kept = new Map(); // by path, as it was told
const keep = async (path) => kept.set(path, await get(path));
async function keepOneOfEach(name) {
  const p = await ended(await predict());
  await keep(`/v1/predictions/${p.id}`);
  await keep(`/v1/chat/completions/${(await made('POST', '/v1/chat/completions', { model: 'random', messages, max_tokens: 4, store: true })).id}`);
  const r = await made('POST', '/v1/responses', { model: 'random', input: 'Hello', max_output_tokens: 16 });
  inOrder(r.created_at, r.completed_at ?? r.created_at);
  await keep(`/v1/responses/${r.id}`);
  await keep(`/v1/files/${(await upload(name)).id}`);
  await keep(await talk(name));
}
async function everythingIsThere(but = () => false) {
  for (const [path, was] of kept) if (!but(path)) assert.deepEqual(await get(path), was, path);
}
// Lists know the order in which things were made (conversations: changed), whatever the clock said.
async function listsAreInOrder() {
  const ids = (prefix) => [...kept.keys()].filter((k) => k.startsWith(prefix)).map((k) => k.slice(prefix.length));
  const lists = [
    ['/v1/predictions/', (await get('/v1/predictions')).results.map((p) => p.id).reverse()],
    ['/v1/chat/completions/', (await get('/v1/chat/completions')).data.map((c) => c.id)],
    ['/v1/files/', (await get('/v1/files?order=asc')).data.map((f) => f.id)],
    ['/app/conversations/', (await get('/app/conversations')).conversations.map((c) => c.id).reverse()],
  ];
  for (const [prefix, list] of lists) assert.deepEqual(list.filter((id) => ids(prefix).includes(id)), ids(prefix), prefix);
}

const lines = Array.from({ length: 30 }, (_, i) => JSON.stringify({ custom_id: `n${i}`, method: 'POST', url: '/v1/chat/completions', body: { model: 'random', seed: i, max_tokens: 60, messages } })).join('\n');
const beginBatch = async () => made('POST', '/v1/batches', { input_file_id: (await upload(lines, { purpose: 'batch' })).id, endpoint: '/v1/chat/completions', completion_window: '24h' });
async function batchEnds({ id }) {
  const b = await until(() => get(`/v1/batches/${id}`), (r) => ['completed', 'failed', 'expired'].includes(r.status));
  assert.equal(b.status, 'completed');
  inOrder(b.created_at, b.in_progress_at, b.finalizing_at, b.completed_at);
  assert.equal(b.expires_at - b.created_at, 24 * 60 * 60);
}
let version;
async function train(seed) {
  const data = Array.from({ length: 8 }, () => JSON.stringify({ prompt: 'What is 3?', completion: 'A number.' })).join('\n');
  const t = await made('POST', `/v1/models/local/random/versions/${version}/trainings`, { destination: 'anna/tuned', input: { train_data: `data:application/jsonl;base64,${Buffer.from(data).toString('base64')}`, max_steps: 2, seed } });
  return async () => {
    const now = await until(() => get(`/v1/trainings/${t.id}`), (r) => !['starting', 'processing'].includes(r.status));
    assert.equal(now.status, 'succeeded', now.error);
    inOrder(at(now.created_at), at(now.started_at), at(now.completed_at));
    return now.output.version;
  };
}

test('a clock that jumps ahead makes nothing old', { skip }, async () => {
  const long = await upload('kept for an hour', { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '3600' });
  await keep(`/v1/files/${long.id}`);
  await keepOneOfEach('first');
  const batch = await beginBatch();
  for (let i = 0; i < 6; i++) await predict({ max_tokens: 400 });
  const hour = await predict({}, { 'Cancel-After': '1h' });
  setClock(5);
  assert.equal((await ended(hour)).status, 'succeeded');
  await batchEnds(batch);
  await keepOneOfEach('second');
  await sleep(SWEEP_MS);
  const hidden = (path) => path === `/v1/files/${long.id}`; // by the clock its hour is over
  await everythingIsThere(hidden);
  setClock(0);
  await everythingIsThere();
});

test('a clock that is set back loses nothing and turns no order round', { skip }, async () => {
  version = (await get('/v1/models/local/random')).latest_version.id;
  await made('POST', '/v1/models', { owner: 'anna', name: 'tuned', visibility: 'private', hardware: 'cpu' });
  const first = await (await train(1))();
  const batch = await beginBatch();
  const running = await predict({ max_tokens: 400 });
  const trained = await train(2);
  setClock(-3);
  const second = await trained();
  await ended(running);
  await batchEnds(batch);
  await keepOneOfEach('third');
  await everythingIsThere();
  await listsAreInOrder();
  const third = await (await train(3))();
  const names = (await get('/v1/models/anna/tuned/versions')).results.map((v) => `anna/tuned:${v.id}`);
  assert.deepEqual(names, [third, second, first]);
  await until(() => heard.map((p) => p.id), (ids) => ids.includes(running.id));
  const late = await ended(await predict());
  const told = await until(() => heard.find((p) => p.id === late.id), Boolean);
  assert.ok(Math.abs(told.at - (Date.now() / 1000 - 3 * 3600)) < 60, 'it is signed with the time of the day');
});

test('rates know nothing of the clock of the day', { skip }, async () => {
  const slow = server.makeToken('bert', '--rate', '2');
  const create = () => ask('POST', '/v1/chat/completions', { model: 'random', messages, max_tokens: 1 }, { Authorization: `Bearer ${slow}` });
  await until(create, (r) => r.status === 429);
  for (const hours of [-9, 0, 9, -3]) {
    setClock(hours);
    const reply = await create();
    const wait = Number(reply.headers.get('retry-after'));
    if (reply.status !== 429) continue; // half a minute has passed
    assert.ok(wait >= 1 && wait <= 31, `at ${hours} h: ${wait} s`);
    assert.equal(reply.headers.get('ratelimit-reset'), String(wait));
  }
  assert.equal((await create()).status, 429);
});

test('what was kept is there after a restart under another time', { skip }, async () => {
  const waiting = [];
  for (let i = 0; i < 8; i++) waiting.push(await predict({ max_tokens: 400 }, { 'Cancel-After': '2h' }));
  await server.end('SIGKILL');
  setClock(-8);
  await server.again('SIGKILL');
  for (const p of waiting) assert.ok(['succeeded', 'failed'].includes((await ended(p)).status));
  await everythingIsThere();
  await keepOneOfEach('fourth');
  await listsAreInOrder();
  setClock(0);
  await server.again('SIGTERM');
  // Over a restart the day's clock is all there is: what was made eight hours before has lost its input and output.
  await everythingIsThere((path) => path.startsWith('/v1/predictions/'));
  await listsAreInOrder();
});
