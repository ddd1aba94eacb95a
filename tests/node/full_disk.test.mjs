// The disk of the data folder fills up under load (a small tmpfs stands for it), the server is killed on it, and there is room again: nobody waits
// without end, nothing that was told is lost, what was going on is done once there is room.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { closeSync, mkdtempSync, openSync, readdirSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { serve, sleep } from './served.mjs';

// A small disk of its own; skip: why there is none.
function mountSmall(megabytes) {
  const path = mkdtempSync(join(tmpdir(), 'higgins-disk-')), ballast = join(path, 'ballast');
  const disk = {
    path, skip: false,
    // Takes all the room that is left.
    fill() {
      const fd = openSync(ballast, 'a');
      for (let n = 1 << 20; n >= 1;) {
        try {
          if (writeSync(fd, Buffer.alloc(n)) < n) n = Math.floor(n / 2);
        } catch (e) {
          assert.equal(e.code, 'ENOSPC');
          n = Math.floor(n / 2);
        }
      }
      closeSync(fd);
    },
    clear() { rmSync(ballast); },
    end() {
      execFileSync('umount', ['-l', path]);
      rmdirSync(path);
    },
  };
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path], { stdio: 'pipe' });
  } catch (e) {
    disk.skip = `no small disk can be mounted here: ${String(e.stderr ?? e).trim().split('\n')[0]}`;
    rmdirSync(path);
  }
  return disk;
}

let server;
const heard = [];
const hook = createServer((request, response) => {
  let body = '';
  request.on('data', (d) => { body += d; });
  request.on('end', () => {
    heard.push(JSON.parse(body));
    response.end();
  });
});
async function ask(method, path, body, patience = 20000) {
  const init = { method, signal: AbortSignal.timeout(patience) };
  if (body !== undefined) init.body = body instanceof FormData ? body : JSON.stringify(body);
  const reply = await fetch(server.url + path, init);
  const text = await reply.text();
  return { status: reply.status, text, json: () => JSON.parse(text) };
}
async function fine(method, path, body) {
  const reply = await ask(method, path, body);
  assert.ok(reply.status < 300, `${method} ${path}: ${reply.status} ${reply.text}`);
  return reply;
}
async function until(what, ok, seconds = 40) {
  for (let i = 0; i < seconds * 20; i++) {
    const now = await what();
    if (ok(now)) return now;
    await sleep(50);
  }
  throw new Error(`it never comes: ${JSON.stringify(await what()).slice(0, 2000)}`);
}
const messages = [{ role: 'user', content: 'Tell me a story' }];
const upload = (text, purpose) => {
  const form = new FormData();
  form.set('purpose', purpose);
  form.set('file', new Blob([text]), 'x.jsonl');
  return form;
};
const chat = { model: 'random', messages, max_tokens: 8, store: true, seed: 1 };
const response = { model: 'random', input: 'Hello', max_output_tokens: 16 };
const prediction = (max_tokens) => ({ input: { prompt: 'Once', max_tokens }, webhook: `http://127.0.0.1:${hook.address().port}/`, webhook_events_filter: ['completed'] });
const talk = { title: 'Disk', messages: [{ id: 'm', parent: null, role: 'user', content: 'Thunder '.repeat(20000) }] };
const hasEnded = (p) => !['starting', 'processing', 'queued', 'validating', 'in_progress', 'finalizing'].includes(p.status);

// Each way to have something kept: an answer, or a refusal that gives a reason; nothing breaks, nobody waits.
async function load(i) {
  const asked = [
    ['POST', '/v1/chat/completions', chat], ['POST', '/v1/chat/completions', { ...chat, stream: true }],
    ['POST', '/v1/responses', response], ['POST', '/v1/responses', { ...response, background: true }],
    ['POST', '/v1/models/local/random/predictions', prediction(8)], ['POST', '/v1/files', upload('x'.repeat(100000), 'user_data')],
    ['PUT', `/app/conversations/full${i}`, talk], ['POST', '/v1/files', upload('{}', 'batch')],
  ];
  return Promise.all(asked.map(async ([method, path, body]) => {
    const reply = await ask(method, path, body);
    if (reply.status >= 400) assert.match(reply.text, /disk is full|No space/, `${method} ${path}: ${reply.text}`);
    else if (path === '/v1/responses' && reply.json().store) await fine('GET', `${path}/${reply.json().id}`);
    return reply.status;
  }));
}

test('a full disk is told, loses nothing, and what waits for room is done when there is some', async (t) => {
  const disk = mountSmall(24);
  if (disk.skip) return t.skip(disk.skip);
  await new Promise((resolve) => hook.listen(0, '127.0.0.1', resolve));
  const data = join(disk.path, 'data');
  try {
    server = await serve('--allow-private-urls', '--data', data);
    const told = new Map();
    const keep = async (path) => told.set(path, (await fine('GET', path)).text);
    await keep(`/v1/chat/completions/${(await fine('POST', '/v1/chat/completions', chat)).json().id}`);
    await keep(`/v1/responses/${(await fine('POST', '/v1/responses', response)).json().id}`);
    await keep(`/v1/files/${(await fine('POST', '/v1/files', upload('kept', 'user_data'))).json().id}/content`);
    await fine('PUT', '/app/conversations/before', talk);
    await keep('/app/conversations/before');
    const everythingIsThere = async () => {
      for (const [path, text] of told) assert.equal((await fine('GET', path)).text, text, path);
    };

    const lines = Array.from({ length: 60 }, (_, i) => JSON.stringify({ custom_id: `n${i}`, method: 'POST', url: '/v1/chat/completions', body: { model: 'random', seed: i, max_tokens: 60, messages } }));
    const file = (await fine('POST', '/v1/files', upload(lines.join('\n'), 'batch'))).json();
    const batch = (await fine('POST', '/v1/batches', { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' })).json();
    const open = [];
    for (let i = 0; i < 4; i++) open.push((await fine('POST', '/v1/models/local/random/predictions', prediction(400))).json());
    disk.fill();
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push(...await load(i));
    disk.fill(); // what rollbacks have given back
    statuses.push(...await load(4));
    assert.ok(statuses.includes(507), `${statuses}`);
    await everythingIsThere();
    assert.equal((await ask('GET', '/health')).status, 200);
    await server.end('SIGKILL');
    const refusal = await server.again('SIGKILL').then(() => '', (e) => e.message);
    if (refusal) assert.match(refusal, /full|No space/, 'where it cannot start it says why');
    else await everythingIsThere();
    disk.clear();
    await server.again('SIGKILL');
    await everythingIsThere();
    for (const p of open) {
      const now = await until(async () => (await fine('GET', `/v1/predictions/${p.id}`)).json(), hasEnded);
      assert.ok(now.status === 'succeeded' || /the server was ended/.test(now.error), now.error);
      await until(() => heard.filter((h) => h.id === p.id), (l) => l.length > 0);
      assert.deepEqual([...new Set(heard.filter((h) => h.id === p.id).map((h) => h.status))], [now.status]);
    }
    const done = await until(async () => (await fine('GET', `/v1/batches/${batch.id}`)).json(), hasEnded);
    assert.deepEqual(done.request_counts, { total: 60, completed: 60, failed: 0 });
    const rows = (await fine('GET', `/v1/files/${done.output_file_id}/content`)).text.trimEnd().split('\n').map((l) => JSON.parse(l).custom_id);
    assert.deepEqual(rows, lines.map((_, i) => `n${i}`));

    // Once more, without a kill: what was begun before the disk was full ends when there is room.
    const late = (await fine('POST', '/v1/models/local/random/predictions', prediction(400))).json();
    disk.fill();
    await sleep(1500);
    disk.clear();
    await until(async () => (await fine('GET', `/v1/predictions/${late.id}`)).json(), hasEnded);
    assert.ok((await load(5)).every((s) => s < 300));
    await everythingIsThere();
    const end = await server.end('SIGTERM');
    assert.equal(end.code, 0, end.complaints);
    assert.equal(execFileSync('python3', ['-c', 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("PRAGMA integrity_check").fetchone()[0])', join(data, 'higgins.db')], { encoding: 'utf8' }), 'ok\n');
    assert.deepEqual(readdirSync(data, { recursive: true }).filter((n) => /tmp/.test(n)), []);
  } finally {
    hook.closeAllConnections();
    hook.close();
    await server?.stop();
    disk.end();
  }
});

// What a training has learnt so far is there again when there is room: it rests meanwhile, and becomes the model that it would have become.
test('a training rests while the disk is full and goes on from its checkpoint', async (t) => {
  const disk = mountSmall(160);
  if (disk.skip) return t.skip(disk.skip);
  try {
    server = await serve('--data', join(disk.path, 'data'));
    const rows = Array.from({ length: 12 }, (_, i) => JSON.stringify({ messages: [{ role: 'user', content: `What is ${i}?` }, { role: 'assistant', content: 'A number.' }] }));
    const { id: training_file } = (await fine('POST', '/v1/files', upload(rows.join('\n'), 'fine-tune'))).json();
    const make = async () => (await fine('POST', '/v1/fine_tuning/jobs', { model: 'random', training_file, seed: 3, method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 200, batch_size: 1 } } } })).json().id;
    const job = async (id) => (await fine('GET', `/v1/fine_tuning/jobs/${id}`)).json();
    const events = async (id) => (await fine('GET', `/v1/fine_tuning/jobs/${id}/events?limit=100`)).json().data;
    const learnt = async (id) => {
      const done = await until(() => job(id), (j) => !['validating_files', 'queued', 'running'].includes(j.status), 120);
      assert.equal(done.status, 'succeeded', JSON.stringify(done.error));
      return (await fine('GET', `/v1/files/${done.result_files[0]}/content`)).text;
    };
    const id = await make();
    await until(() => events(id), (l) => l.some((e) => e.type === 'metrics' && e.data.step >= 10));
    disk.fill();
    await sleep(3000);
    disk.fill(); // what was given back
    assert.equal((await job(id)).status, 'running');
    await server.again('SIGKILL').catch(() => {}); // on a full disk it may refuse to start
    disk.clear();
    await server.again('SIGKILL');
    const whole = await learnt(id);

    const other = await make();
    await until(() => events(other), (l) => l.some((e) => e.type === 'metrics' && e.data.step >= 10));
    const told = await until(async () => {
      disk.fill();
      return (await events(other)).filter((e) => e.level === 'warn');
    }, (l) => l.length > 0);
    assert.match(told[0].message, /disk is full at step \d+: the job rests, and goes on by itself from its last checkpoint when there is room/);
    assert.doesNotMatch(told[0].message, /higgins-disk/, 'the folders of the server are nobody\'s business');
    disk.clear();
    assert.equal(await learnt(other), whole);
    assert.equal(await learnt(await make()), whole, 'as one that nothing disturbed');
  } finally {
    await server?.stop();
    disk.end();
  }
});
