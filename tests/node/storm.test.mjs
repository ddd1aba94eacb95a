// One storm: three owners ask for everything that the server keeps or makes in the background, and it is killed in the middle, again and again. What
// a client was told whole is there afterwards, byte for byte; nothing is done twice; what was not finished ends with a result or says why not.
// STORM_SEED repeats the moments of the kills and what is asked (not how the threads interleave).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { serve, sleep } from './served.mjs';

const N_KILLS = 4, N_LINES = 40, N_ANTHROPIC = 16, N_EPOCHS = 30;
const SPARE_DESCRIPTORS = 4; // connections that the system closes a moment later
const seed = Number(process.env.STORM_SEED ?? Date.now() % 1000000);
let state = seed;
const random = () => { // mulberry32
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};
const below = (n) => Math.floor(random() * n);

let server, isOver = false;
const told = []; // {owner, path, text}: what GET has to say at the end, byte for byte
const gone = []; // {owner, path}: what was told to be deleted
const heard = new Map(); // webhooks: a prediction's id -> the bodies that told its end
const accepted = { predictions: [], responses: [] };

// A reply that came whole, or null: the server was killed before it had said all.
async function ask(owner, method, path, body, headers = {}) {
  try {
    const init = { method, headers: { Authorization: `Bearer ${owner.token}`, ...headers }, signal: AbortSignal.timeout(60000) };
    if (body !== undefined) init.body = typeof body === 'string' || body instanceof FormData ? body : JSON.stringify(body);
    const reply = await fetch(server.url + path, init);
    const text = await reply.text(), length = reply.headers.get('content-length');
    // Where the connection is not kept, fetch takes its end for the reply's.
    if (length !== null && Buffer.byteLength(text) !== Number(length)) return null;
    return { status: reply.status, text, json() { return JSON.parse(this.text); } };
  } catch {
    await sleep(10);
    return null;
  }
}
// Asked until it is answered; reading is no work that could be done twice.
async function get(owner, path, headers) {
  for (let i = 0; i < 3000; i++) {
    const reply = await ask(owner, 'GET', path, undefined, headers);
    if (reply) return reply;
  }
  throw new Error(`${path}: no answer`);
}
async function until(what, ok) {
  for (let i = 0; i < 6000; i++) {
    const now = await what();
    if (ok(now)) return now;
    await sleep(20);
  }
  throw new Error('it never comes');
}
function fine(reply, status) {
  assert.equal(reply.status, status, reply.text.slice(0, 300));
  return reply.json();
}

// ---- what is done while it storms: each answers whether it has begun something ----
const messages = [{ role: 'user', content: 'Tell me a story' }];
const hasEnded = (p) => !['starting', 'processing', 'queued', 'in_progress'].includes(p.status);
const hook = createServer((request, response) => {
  let body = '';
  request.on('data', (d) => { body += d; });
  request.on('end', () => {
    const { id } = JSON.parse(body);
    heard.set(id, [...(heard.get(id) ?? []), body]);
    response.end();
  });
});

// Follows one to its end, whatever is killed meanwhile; what is told then is told for good.
async function follow(owner, path) {
  const reply = await until(() => get(owner, path), (r) => hasEnded(fine(r, 200)));
  told.push({ owner, path, text: reply.text });
  return reply.json();
}

async function predict(owner) {
  const input = { prompt: `Story ${below(1000)}`, max_tokens: 2 + below(60), seed: below(1000) };
  const reply = await ask(owner, 'POST', '/v1/models/local/random/predictions', { input, webhook: `http://127.0.0.1:${hook.address().port}/`, webhook_events_filter: ['completed'] });
  if (!reply) return;
  const p = fine(reply, 201);
  accepted.predictions.push({ owner, id: p.id });
  if (random() < 0.5) {
    await follow(owner, `/v1/predictions/${p.id}`);
    return;
  }
  const path = new URL(p.urls.stream).pathname;
  const stream = await ask(owner, 'GET', path, undefined, { Accept: 'text/event-stream' });
  if (!stream || !/\nevent: done\nid: \S+\ndata: \{\}\n\n$/.test(stream.text)) return;
  told.push({ owner, path, text: stream.text });
}

async function chat(owner) {
  const store = random() < 0.7, stream = random() < 0.5;
  const reply = await ask(owner, 'POST', '/v1/chat/completions', { model: 'random', messages, max_tokens: 2 + below(30), seed: below(100), store, stream });
  if (!reply) return;
  assert.equal(reply.status, 200, reply.text);
  if (stream && !reply.text.endsWith('data: [DONE]\n\n')) return;
  if (!store) return;
  const parts = stream ? reply.text.split('\n\n').filter((l) => l.startsWith('data: {')).map((l) => JSON.parse(l.slice(6))) : [reply.json()];
  const text = parts.map((c) => (stream ? c.choices[0]?.delta.content : c.choices[0].message.content) ?? '').join('');
  const path = `/v1/chat/completions/${parts[0].id}`;
  told.push({ owner, path, says: (kept) => assert.equal(kept.choices[0].message.content, text) });
  if (random() > 0.2) return;
  const drop = await ask(owner, 'DELETE', path);
  told.splice(told.findIndex((t) => t.path === path), 1); // unknown, when no answer came
  if (drop) {
    fine(drop, 200);
    gone.push({ owner, path });
  }
}

async function respond(owner) {
  const background = random() < 0.5, stream = random() < 0.5;
  const reply = await ask(owner, 'POST', '/v1/responses', { model: 'random', input: 'Tell me a story', max_output_tokens: 16 + below(60), seed: below(100), background, stream });
  if (!reply) return;
  assert.equal(reply.status, 200, reply.text);
  const end = stream && reply.text.match(/\nevent: response\.(?:completed|incomplete|failed)\ndata: (.*)\n\n$/);
  if (stream && !end) return;
  const r = stream ? JSON.parse(end[1]).response : reply.json();
  const path = `/v1/responses/${r.id}`;
  if (hasEnded(r)) told.push({ owner, path, says: (kept) => assert.deepEqual(kept, r) });
  else if (background) {
    accepted.responses.push({ owner, id: r.id });
    await follow(owner, path);
  }
}

const upload = (owner, text, purpose) => {
  const form = new FormData();
  form.set('purpose', purpose);
  form.set('file', new Blob([text]), 'x.jsonl');
  return ask(owner, 'POST', '/v1/files', form);
};
async function keepFile(owner) {
  const text = Array.from({ length: 1 + below(2000) }, () => below(2 ** 31).toString(36)).join('\n');
  const reply = await upload(owner, text, 'user_data');
  if (!reply) return;
  const path = `/v1/files/${fine(reply, 200).id}`;
  if (random() < 0.3) {
    const drop = await ask(owner, 'DELETE', path);
    if (drop) gone.push({ owner, path });
    return;
  }
  told.push({ owner, path, text: reply.text }, { owner, path: `${path}/content`, text });
}

async function talk(owner) {
  const path = `/app/conversations/t${below(2 ** 31)}`;
  const body = { title: 'Storm', messages: [] };
  for (let i = 0; i < 3; i++) {
    body.messages.push({ id: `m${i}`, parent: i > 0 ? `m${i - 1}` : null, role: i % 2 ? 'assistant' : 'user', content: `Thunder ${below(1000)}` });
    const reply = await ask(owner, 'PUT', path, body);
    if (!reply) return;
    assert.equal(reply.status, 204, reply.text);
  }
  told.push({ owner, path, says: (kept) => assert.deepEqual(kept.messages.map((m) => m.content), body.messages.map((m) => m.content)) });
}

// ---- what takes long: begun by each once, and again when nobody knows whether it was ----
async function insist(make, status) {
  for (;;) {
    const reply = await make();
    if (reply) return fine(reply, status);
  }
}
const body = (i) => ({ model: 'random', seed: i, max_tokens: 12, messages });
async function batch(owner) {
  const lines = Array.from({ length: N_LINES }, (_, i) => JSON.stringify({ custom_id: `n${i}`, method: 'POST', url: '/v1/chat/completions', body: body(i) }));
  const file = await insist(() => upload(owner, lines.join('\n'), 'batch'), 200);
  const b = await insist(() => ask(owner, 'POST', '/v1/batches', { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' }), 200);
  const path = `/v1/batches/${b.id}`;
  await until(() => get(owner, path), (r) => r.json().status === 'completed');
  const reply = await get(owner, path), content = `/v1/files/${reply.json().output_file_id}/content`;
  told.push({ owner, path, text: reply.text }, { owner, path: content, text: (await get(owner, content)).text });
}
async function anthropicBatch(owner) {
  const headers = { 'anthropic-version': '2023-06-01' };
  const requests = Array.from({ length: N_ANTHROPIC }, (_, i) => ({ custom_id: `n${i}`, params: { model: 'random', max_tokens: 12, temperature: 0, messages } }));
  const b = await insist(() => ask(owner, 'POST', '/v1/messages/batches', { requests }, headers), 200);
  const path = `/v1/messages/batches/${b.id}`;
  await until(() => get(owner, path, headers), (r) => r.json().processing_status === 'ended');
  told.push({ owner, path: `${path}/results`, text: (await get(owner, `${path}/results`, headers)).text });
}
async function train(owner) {
  const lines = Array.from({ length: 24 }, (_, i) => JSON.stringify({ prompt: `What is ${i % 7}?`, completion: 'It is a number, my dear.' }));
  const file = await insist(() => upload(owner, lines.join('\n'), 'fine-tune'), 200);
  const hyperparameters = { n_epochs: N_EPOCHS, batch_size: 2 };
  const job = await insist(() => ask(owner, 'POST', '/v1/fine_tuning/jobs', { model: 'random', training_file: file.id, suffix: 'storm', seed: 1, hyperparameters }), 200);
  const path = `/v1/fine_tuning/jobs/${job.id}`;
  const reply = await until(() => get(owner, path), (r) => ['succeeded', 'failed', 'cancelled'].includes(r.json().status));
  assert.equal(reply.json().status, 'succeeded', reply.text);
  told.push({ owner, path, text: reply.text });
}

async function repeat(owner, what, pause) {
  while (!isOver) {
    await what(owner);
    await sleep(pause * (0.5 + random()));
  }
}

// ---- what must be true afterwards ----
const all = async (owner, path, of) => of(fine(await get(owner, path), 200));

async function checkTold() {
  for (const t of told) {
    const now = await get(t.owner, t.path);
    assert.equal(now.status, 200, `${t.path}: ${now.text}`);
    if (t.text !== undefined) assert.equal(now.text, t.text, t.path);
    else t.says(now.json());
  }
  for (const g of gone) assert.equal((await get(g.owner, g.path)).status, 404, g.path);
}

async function checkEnds(owners) {
  for (const owner of owners) {
    const ids = new Set();
    for (let path = '/v1/predictions'; path;) {
      const page = fine(await get(owner, path), 200);
      for (const p of page.results) {
        assert.ok(!ids.has(p.id), 'it is listed once');
        ids.add(p.id);
        assert.ok(['succeeded', 'failed'].includes(p.status), `${p.id}: ${p.status}`);
        if (p.status === 'failed') assert.match(p.error, /the server was ended while the prediction ran/);
      }
      path = page.next && new URL(page.next).pathname + new URL(page.next).search;
    }
    for (const p of accepted.predictions.filter((a) => a.owner === owner)) assert.ok(ids.has(p.id), `prediction ${p.id} is lost`);
  }
  for (const a of accepted.responses) {
    const r = fine(await get(a.owner, `/v1/responses/${a.id}`), 200);
    assert.ok(['completed', 'incomplete', 'failed'].includes(r.status), r.status);
    const end = (await get(a.owner, `/v1/responses/${a.id}?stream=true`)).text.match(/event: response\.(\w+)\ndata: (.*)\n\n$/);
    assert.equal(end?.[1], r.status, 'its stream ends, too');
    assert.deepEqual(JSON.parse(end[2]).response, r);
    if (r.status === 'failed') assert.match(r.error.message, /the server was (restarted|stopped) before/);
  }
}

async function checkWebhooks() {
  await until(() => accepted.predictions.filter((p) => !heard.has(p.id)), (left) => left.length === 0);
  for (const { owner, id } of accepted.predictions) {
    const bodies = new Set(heard.get(id));
    assert.equal(bodies.size, 1, `prediction ${id} was told to have ended in more than one way: ${[...bodies].join('\n')}`);
    assert.equal([...bodies][0], (await get(owner, `/v1/predictions/${id}`)).text);
  }
}

// Each line of each batch has one result, and the one that a client gets who asks for it now.
async function checkBatches(owners) {
  const direct = new Map();
  for (let i = 0; i < N_LINES; i++) direct.set(`n${i}`, fine(await ask(owners[0], 'POST', '/v1/chat/completions', body(i)), 200).choices);
  const once = (rows, n) => assert.deepEqual(rows.map((r) => r.custom_id), Array.from({ length: n }, (_, i) => `n${i}`));
  const rowsOf = async (owner, path) => (await get(owner, path)).text.trimEnd().split('\n').map((l) => JSON.parse(l));
  for (const owner of owners) {
    for (const { id } of await all(owner, '/v1/batches', (r) => r.data)) {
      const reply = await until(() => get(owner, `/v1/batches/${id}`), (r) => !['validating', 'in_progress', 'finalizing'].includes(r.json().status));
      const b = reply.json();
      assert.equal(b.status, 'completed');
      assert.deepEqual(b.request_counts, { total: N_LINES, completed: N_LINES, failed: 0 });
      const rows = await rowsOf(owner, `/v1/files/${b.output_file_id}/content`);
      once(rows, N_LINES);
      for (const r of rows) assert.deepEqual(r.response.body.choices, direct.get(r.custom_id));
    }
    const headers = { 'anthropic-version': '2023-06-01' };
    for (const { id } of (await get(owner, '/v1/messages/batches', headers)).json().data) {
      const b = (await until(() => get(owner, `/v1/messages/batches/${id}`, headers), (r) => r.json().processing_status === 'ended')).json();
      assert.equal(b.request_counts.succeeded, N_ANTHROPIC);
      const rows = await rowsOf(owner, `/v1/messages/batches/${id}/results`);
      once(rows.sort((x, y) => x.custom_id.slice(1) - y.custom_id.slice(1)), N_ANTHROPIC);
      assert.equal(new Set(rows.map((r) => JSON.stringify(r.result.message.content))).size, 1);
    }
    const outputs = await all(owner, '/v1/files?purpose=batch_output', (r) => r.data);
    assert.equal(outputs.length, (await all(owner, '/v1/batches', (r) => r.data)).length, 'one file of results a batch');
  }
}

async function checkTrainings(owner) {
  const jobs = await all(owner, '/v1/fine_tuning/jobs', (r) => r.data);
  for (const { id } of jobs) {
    const job = (await until(() => get(owner, `/v1/fine_tuning/jobs/${id}`), (r) => ['succeeded', 'failed', 'cancelled'].includes(r.json().status))).json();
    assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
    assert.equal(job.result_files.length, 1);
    const events = [];
    for (let path = `/v1/fine_tuning/jobs/${id}/events?limit=100`; path;) {
      const page = fine(await get(owner, path), 200);
      events.push(...page.data);
      path = page.has_more && `/v1/fine_tuning/jobs/${id}/events?limit=100&after=${page.data.at(-1).id}`;
    }
    const steps = events.filter((e) => e.type === 'metrics').map((e) => e.data.step).reverse();
    assert.deepEqual(steps, Array.from({ length: events.find((e) => e.type === 'metrics').data.total_steps }, (_, i) => i + 1), 'each step is told once');
    assert.equal(events.filter((e) => /successfully completed/.test(e.message)).length, 1);
    fine(await ask(owner, 'POST', '/v1/chat/completions', { model: job.fine_tuned_model, messages, max_tokens: 4 }), 200);
  }
  const models = await all(owner, '/v1/models', (r) => r.data.map((m) => m.id).filter((m) => m.startsWith('ft:') && !m.includes(':ckpt-')));
  assert.equal(models.length, jobs.length, `one model a job: ${models}`);
  assert.equal((await all(owner, '/v1/files?purpose=fine-tune-results', (r) => r.data)).length, jobs.length);
}

// The store is whole, no bytes are there that no row names, nor what was only to be there for a moment.
function checkFolder(data) {
  const copy = mkdtempSync(join(tmpdir(), 'higgins-storm-'));
  cpSync(data, copy, { recursive: true });
  const query = `
import sqlite3, sys, json
db = sqlite3.connect(sys.argv[1])
one = lambda sql: [r[0] for r in db.execute(sql)]
print(json.dumps({'integrity': one('PRAGMA integrity_check'), 'foreign': len(db.execute('PRAGMA foreign_key_check').fetchall()),
  'files': one('SELECT DISTINCT sha256 FROM files ORDER BY 1'), 'models': one('SELECT folder FROM trained_models ORDER BY 1'),
  'left': one("SELECT count(*) FROM webhooks UNION ALL SELECT count(*) FROM batch_lines WHERE state < 2")}))`;
  const db = JSON.parse(execFileSync('python3', ['-c', query, join(copy, 'higgins.db')], { encoding: 'utf8' }));
  rmSync(copy, { recursive: true });
  assert.deepEqual(db.integrity, ['ok']);
  assert.equal(db.foreign, 0);
  assert.deepEqual(readdirSync(join(data, 'files')).sort(), db.files);
  assert.deepEqual(readdirSync(join(data, 'models')).sort(), db.models);
  assert.deepEqual(readdirSync(join(data, 'trainings')), []);
  assert.deepEqual(readdirSync(data).sort(), ['files', 'higgins.db', 'lock', 'models', 'trainings']);
  assert.deepEqual(db.left, [0, 0], 'webhooks and lines that are still to be seen to');
}

test(`what clients were told outlives a storm of kills (STORM_SEED=${seed})`, async () => {
  console.log(`STORM_SEED=${seed}`);
  await new Promise((resolve) => hook.listen(0, '127.0.0.1', resolve));
  server = await serve('--with-token', '--allow-private-urls');
  try {
    const owners = ['anna', 'bert', 'carl'].map((name) => ({ name, token: server.makeToken(name, '--rate', '0') }));
    await sleep(200);
    const descriptors = server.descriptors();
    const [anna, bert, carl] = owners;
    const work = [batch(anna), anthropicBatch(bert), batch(carl), train(carl)];
    for (const owner of owners) work.push(repeat(owner, predict, 60), repeat(owner, chat, 40), repeat(owner, respond, 60), repeat(owner, keepFile, 60), repeat(owner, talk, 100));
    work.push(repeat(anna, predict, 20));
    const load = Promise.all(work);
    load.catch(() => {}); // told below
    for (let i = 0; i < N_KILLS; i++) {
      await Promise.race([sleep(400 + below(1600)), load]);
      await server.again('SIGKILL');
    }
    await sleep(500);
    isOver = true;
    await load;
    await checkEnds(owners);
    await checkWebhooks();
    await checkBatches(owners);
    await checkTrainings(carl);
    await checkTold();
    for (let i = 0; i < 100 && server.descriptors() > descriptors + SPARE_DESCRIPTORS; i++) await sleep(50);
    assert.ok(server.descriptors() <= descriptors + SPARE_DESCRIPTORS, `${server.descriptors()} descriptors, ${descriptors} before`);
    console.log(`${told.length} told, ${gone.length} deleted, ${accepted.predictions.length} predictions, ${accepted.responses.length} responses in the background`);
    const end = await server.end('SIGTERM');
    assert.equal(end.code, 0, end.complaints);
    checkFolder(server.data);
  } finally {
    isOver = true;
    hook.closeAllConnections();
    hook.close();
    await server.stop();
  }
});
