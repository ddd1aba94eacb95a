// Batches by the official clients of OpenAI and Anthropic.
import test, { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import OpenAI, { toFile } from 'openai';
import Anthropic from '@anthropic-ai/sdk';
import { serve, sleep, higgins } from './served.mjs';

let server, client;
before(async () => {
  server = await serve();
  client = new OpenAI({ baseURL: server.base, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

const chat = (more) => ({ model: 'random', seed: 3, max_tokens: 8, messages: [{ role: 'user', content: 'Tell me a story' }], ...more });
const line = (custom_id, body, url = '/v1/chat/completions') => JSON.stringify({ custom_id, method: 'POST', url, body });
const upload = async (text, by = client, purpose = 'batch') => (await by.files.create({ file: await toFile(Buffer.from(text), 'in.jsonl'), purpose })).id;
const begin = async (lines, more = {}, by = client) => by.batches.create({ input_file_id: await upload(lines.join('\n'), by), endpoint: '/v1/chat/completions', completion_window: '24h', ...more });

async function ended(id, by = client) {
  for (let i = 0; i < 1200; i++) {
    const b = await by.batches.retrieve(id);
    if (['completed', 'failed', 'expired', 'cancelled'].includes(b.status)) return b;
    await sleep(25);
  }
  return assert.fail('it does not end');
}
const rows = async (id, by = client) => (id ? (await (await by.files.content(id)).text()).trimEnd().split('\n').map((l) => JSON.parse(l)) : []);

async function refused(promise, status, { param, code } = {}) {
  const error = await promise.then(() => assert.fail('it was accepted'), (e) => e);
  assert.ok(error instanceof OpenAI.APIError, String(error));
  assert.equal(error.status, status, error.message);
  if (param) assert.equal(error.param, param);
  if (code) assert.equal(error.code, code);
}

test('each line of a batch gets what a request gets, in its order, and failures a file of their own', async () => {
  const begun = await begin([line('a', chat()), line('b', chat({ seed: 9 })), '', line('wrong', chat({ temperature: 9 })), line('none', chat({ model: 'gpt-5' })), line('c', chat())], { metadata: { night: '1' } });
  assert.match(begun.id, /^batch_/);
  assert.ok(['validating', 'in_progress'].includes(begun.status));
  assert.equal(begun.expires_at - begun.created_at, 24 * 60 * 60);
  const b = await ended(begun.id);
  assert.equal(b.status, 'completed');
  assert.deepEqual(b.request_counts, { total: 5, completed: 3, failed: 2 });
  assert.deepEqual(b.metadata, { night: '1' });
  assert.ok(b.in_progress_at >= b.created_at && b.completed_at >= b.finalizing_at && !b.failed_at);
  const good = await rows(b.output_file_id), bad = await rows(b.error_file_id);
  assert.deepEqual(good.map((r) => r.custom_id), ['a', 'b', 'c']);
  assert.equal(new Set([...good, ...bad].map((r) => r.id)).size, 5);
  const direct = await client.chat.completions.create(chat());
  for (const r of [good[0], good[2]]) {
    assert.equal(r.error, null);
    assert.equal(r.response.status_code, 200);
    assert.match(r.response.request_id, /^req_/);
    assert.deepEqual(r.response.body.choices, direct.choices);
  }
  assert.deepEqual(bad.map((r) => [r.custom_id, r.response.status_code, r.response.body.error.param]), [['wrong', 400, 'temperature'], ['none', 404, 'model']]);
  assert.equal((await client.files.retrieve(b.output_file_id)).purpose, 'batch_output');
});

test('completions, embeddings and responses come in batches, too', async () => {
  const bodies = {
    '/v1/completions': { model: 'random', prompt: 'Once', max_tokens: 4, seed: 1 },
    '/v1/embeddings': { model: 'random', input: 'Once' },
    '/v1/responses': { model: 'random', input: 'Once', max_output_tokens: 4, seed: 1 },
  };
  for (const [endpoint, body] of Object.entries(bodies)) {
    const b = await ended((await begin([line('x', body, endpoint)], { endpoint })).id);
    assert.equal(b.status, 'completed', JSON.stringify(b.errors));
    const [row] = await rows(b.output_file_id);
    assert.ok(row, JSON.stringify(await rows(b.error_file_id)));
    assert.equal(row.response.body.object, { '/v1/completions': 'text_completion', '/v1/embeddings': 'list', '/v1/responses': 'response' }[endpoint]);
    if (endpoint === '/v1/responses') assert.equal((await client.responses.retrieve(row.response.body.id)).output_text, row.response.body.output[0].content[0].text);
  }
});

test('an input with mistakes fails whole and tells their lines', async () => {
  const b = await ended((await begin(['{', line('a', chat()), line('a', chat()), line('', chat()), line('u', chat(), '/v1/completions'), '[]', line('s', chat({ stream: true })), JSON.stringify({ custom_id: 'g', method: 'GET', url: '/v1/chat/completions', body: {} }), line('o', 'text')])).id);
  assert.equal(b.status, 'failed');
  assert.ok(b.failed_at);
  assert.deepEqual(b.errors.data.map((e) => [e.line, e.code, e.param]), [
    [1, 'invalid_json_line', null], [4, 'invalid_value', 'custom_id'], [5, 'invalid_value', 'url'], [6, 'invalid_json_line', null],
    [7, 'invalid_value', 'body.stream'], [8, 'invalid_value', 'method'], [9, 'invalid_value', 'body']]);
  assert.equal(b.output_file_id, null);
  const twice = await ended((await begin([line('a', chat()), line('a', chat())])).id);
  assert.deepEqual(twice.errors.data.map((e) => [e.line, e.code]), [[2, 'duplicate_custom_id']]);
  const empty = await ended((await begin(['', '  '])).id);
  assert.deepEqual(empty.errors.data.map((e) => [e.line, e.code]), [[null, 'empty_file']]);
});

test('what cannot be a batch is refused by name', async () => {
  const file = await upload(line('a', chat()));
  const create = (more) => client.batches.create({ input_file_id: file, endpoint: '/v1/chat/completions', completion_window: '24h', ...more });
  await refused(create({ input_file_id: 'file-none' }), 404);
  await refused(create({ input_file_id: await upload('x', client, 'user_data') }), 400, { param: 'input_file_id' });
  await refused(create({ input_file_id: undefined }), 400, { param: 'input_file_id' });
  await refused(create({ endpoint: '/v1/images' }), 400, { param: 'endpoint' });
  await refused(create({ completion_window: '1h' }), 400, { param: 'completion_window' });
  await refused(create({ metadata: { a: 1 } }), 400, { param: 'metadata' });
  await refused(client.batches.retrieve('batch_none'), 404);
  await refused(client.batches.cancel('batch_none'), 404);
  await refused(client.batches.list({ after: 'batch_none' }), 404);
  await refused(client.batches.list({ limit: 1000 }), 400, { param: 'limit' });
});

test('a canceled batch ends early and gives what was done', async () => {
  const begun = await begin(Array.from({ length: 400 }, (_, i) => line(`n${i}`, chat({ max_tokens: 60, seed: i }))));
  let now;
  do { await sleep(20); now = await client.batches.retrieve(begun.id); } while (now.request_counts.completed < 3);
  assert.equal(now.status, 'in_progress');
  assert.equal(now.request_counts.total, 400);
  assert.ok(['cancelling', 'finalizing', 'cancelled'].includes((await client.batches.cancel(begun.id)).status));
  const b = await ended(begun.id);
  assert.equal(b.status, 'cancelled');
  assert.ok(b.cancelled_at >= b.cancelling_at);
  assert.ok(b.request_counts.completed >= 3 && b.request_counts.completed < 400);
  assert.equal((await rows(b.output_file_id)).length, b.request_counts.completed);
  assert.equal((await client.batches.cancel(begun.id)).status, 'cancelled');
});

test('batches are listed newest first, page by page', async () => {
  const made = [];
  for (let i = 0; i < 3; i++) made.push((await begin([line('a', chat())])).id);
  const all = [];
  for await (const b of client.batches.list({ limit: 2 })) all.push(b.id);
  assert.deepEqual(all.slice(0, 3), made.reverse());
});

test('a client that waits is answered before a batch goes on', async () => {
  const begun = await begin(Array.from({ length: 300 }, (_, i) => line(`n${i}`, chat({ max_tokens: 60, seed: i }))));
  while ((await client.batches.retrieve(begun.id)).request_counts.completed < 2) await sleep(20);
  const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => client.chat.completions.create(chat({ seed: i }))));
  assert.equal(answers.length, 12);
  const b = await client.batches.retrieve(begun.id);
  assert.equal(b.status, 'in_progress');
  await client.batches.cancel(begun.id);
  await ended(begun.id);
});

test('what belongs to one owner is not there for another', async () => {
  const guarded = await serve('--with-token');
  try {
    const other = execFileSync(higgins, ['token', 'add', 'anna', '--data', guarded.data]).toString().match(/hg_\S+/)?.[0];
    const [first, anna] = [guarded.token, other].map((apiKey) => new OpenAI({ baseURL: guarded.base, apiKey, maxRetries: 0 }));
    const file = await upload(line('a', chat()), first);
    const b = await first.batches.create({ input_file_id: file, endpoint: '/v1/chat/completions', completion_window: '24h' });
    await refused(anna.batches.retrieve(b.id), 404);
    await refused(anna.batches.cancel(b.id), 404);
    await refused(anna.batches.create({ input_file_id: file, endpoint: '/v1/chat/completions', completion_window: '24h' }), 404);
    assert.deepEqual((await anna.batches.list()).data, []);
    const done = await ended(b.id, first);
    assert.equal(done.status, 'completed');
    await refused(anna.files.content(done.output_file_id), 404);
    assert.equal((await rows(done.output_file_id, first)).length, 1);
  } finally {
    await guarded.stop();
  }
});

test('a batch of large lines holds up no other client, neither when it is read nor when it is dropped', async () => {
  const own = await serve('--with-token');
  try {
    const by = new OpenAI({ baseURL: own.base, apiKey: own.token, maxRetries: 0 });
    const large = 'word '.repeat(1_000_000);
    const id = (await begin(Array.from({ length: 24 }, (_, i) => line(`l${i}`, chat({ messages: [{ role: 'user', content: large }] }))), {}, by)).id;
    let longest = 0, b;
    const watched = async (until) => {
      do {
        const began = Date.now();
        await by.models.list();
        longest = Math.max(longest, Date.now() - began);
        b = await by.batches.retrieve(id);
        await sleep(10);
      } while (!until(b));
    };
    await watched((now) => now.status !== 'validating');
    await by.batches.cancel(id).catch(() => {});
    await watched((now) => now.status === 'cancelled' || now.status === 'completed');
    assert.ok(longest < 2000, `${longest} ms`);
  } finally {
    await own.stop();
  }
});

test('results that its owner has no room for end a batch, and say so', async () => {
  const own = await serve();
  try {
    const by = new OpenAI({ baseURL: own.base, apiKey: 'none', maxRetries: 0 });
    const input = await upload(line('a', chat()), by);
    execFileSync('/usr/bin/python3', ['-c', `import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=20)
db.execute("INSERT INTO files (id, owner, name, type, purpose, metadata, sha256, n_bytes, created, expires) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 9999) SELECT 'file-x' || i, owner, name, type, purpose, metadata, sha256, n_bytes, created, 0 FROM c, (SELECT * FROM files LIMIT 1)")
db.commit()`, `${own.data}/higgins.db`]);
    const b = await ended((await by.batches.create({ input_file_id: input, endpoint: '/v1/chat/completions', completion_window: '24h' })).id, by);
    assert.equal(b.status, 'failed');
    assert.equal(b.errors.data[0].code, 'output_not_kept');
    assert.match(b.errors.data[0].message, /10000/);
  } finally {
    await own.stop();
  }
});

test('results of any size take little memory', async () => {
  const own = await serve();
  let watch;
  try {
    const by = new OpenAI({ baseURL: own.base, apiKey: 'none', maxRetries: 0 });
    await ended((await begin([line('a', chat())], {}, by)).id, by);
    let most = 0;
    const before = own.anonymous();
    watch = setInterval(() => { most = Math.max(most, own.anonymous() - before); }, 5);
    const n = 80, text = JSON.stringify({ text: 'x'.repeat(1 << 20) });
    execFileSync('/usr/bin/python3', ['-c', `import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=20)
owner, = db.execute("SELECT owner FROM batches").fetchone()
for name, vendor, ended in (("batch_large", 0, 0), ("msgbatch_large", 1, 2000000000)):
    n = db.execute("INSERT INTO batches (id, owner, vendor, endpoint, version, status, outcome, input_file, output_file, error_file, metadata, errors, created, began, expires, finalizing, ended, cancelling, n_lines, n_done, n_failed) VALUES (?, ?, ?, '', '', 'in_progress', '', '', '', '', CAST('null' AS BLOB), x'', 1, 1, 3000000000, 0, ?, 0, ${n}, ${n}, 0)", (name, owner, vendor, ended)).lastrowid
    for i in range(${n}):
        db.execute("INSERT INTO batch_lines VALUES (?, ?, ?, x'', 2, 200, 'req_1', ?)", (n, i + 1, b"n%d" % i, b'{"text":"' + b"x" * 1048576 + b'"}'))
db.commit()`, `${own.data}/higgins.db`]);
    const b = await ended('batch_large', by);
    assert.equal(b.status, 'completed');
    assert.equal((await by.files.retrieve(b.output_file_id)).bytes > n * text.length, true);
    const got = await fetch(`${own.url}/v1/messages/batches/msgbatch_large/results`);
    assert.equal(got.headers.get('content-type'), 'application/x-jsonl');
    const results = (await got.text()).trimEnd().split('\n').map((l) => JSON.parse(l));
    assert.deepEqual(results.map((r) => r.custom_id), Array.from({ length: n }, (_, i) => `n${i}`));
    assert.ok(results.every((r) => JSON.stringify(r.result.message) === text));
    assert.ok(most < 32 << 20, `${most >> 20} MiB`);
  } finally {
    clearInterval(watch);
    await own.stop();
  }
});

test('kill -9 and a restart lose nothing and do no finished line twice', async () => {
  const killed = await serve();
  try {
    const by = () => new OpenAI({ baseURL: killed.base, apiKey: 'none', maxRetries: 0 });
    const n = 60, begun = await begin(Array.from({ length: n }, (_, i) => line(`n${i}`, chat({ max_tokens: 40, seed: i }))), {}, by());
    let before = 0;
    for (let round = 0; round < 2; round++) {
      const at = before + 8;
      while (before < at) { await sleep(10); before = (await by().batches.retrieve(begun.id)).request_counts.completed; }
      assert.ok(before < n);
      await killed.again('SIGKILL');
    }
    const b = await ended(begun.id, by());
    assert.equal(b.status, 'completed');
    assert.deepEqual(b.request_counts, { total: n, completed: n, failed: 0 });
    assert.deepEqual((await rows(b.output_file_id, by())).map((r) => r.custom_id), Array.from({ length: n }, (_, i) => `n${i}`));
    // The engine of the last server has answered no line that was kept before the kill.
    const figures = await (await fetch(`${killed.url}/metrics`)).text();
    const answers = Number(figures.match(/higgins_answers_total\{model="random"\} (\d+)/)[1]);
    assert.ok(answers <= n - before, `${answers} answers for ${n - before} lines`);
    assert.ok(answers > 0);
  } finally {
    await killed.stop();
  }
});

test("Anthropic's batches give each request's message, and a failure its error", async () => {
  const anthropic = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0, defaultHeaders: { 'anthropic-version': '2023-06-01' } });
  const params = { model: 'random', max_tokens: 6, temperature: 0, messages: [{ role: 'user', content: 'Once upon a time' }] };
  const begun = await anthropic.messages.batches.create({ requests: [{ custom_id: 'a', params }, { custom_id: 'bad', params: { ...params, max_tokens: 0 } }, { custom_id: 'b', params }] });
  assert.match(begun.id, /^msgbatch_/);
  assert.equal(begun.type, 'message_batch');
  let b = begun;
  for (let i = 0; i < 400 && b.processing_status !== 'ended'; i++) { await sleep(25); b = await anthropic.messages.batches.retrieve(begun.id); }
  assert.equal(b.processing_status, 'ended');
  assert.deepEqual(b.request_counts, { processing: 0, succeeded: 2, errored: 1, canceled: 0, expired: 0 });
  assert.equal(b.results_url, `${server.url}/v1/messages/batches/${b.id}/results`);
  const results = [];
  for await (const r of await anthropic.messages.batches.results(b.id)) results.push(r);
  assert.deepEqual(results.map((r) => [r.custom_id, r.result.type]), [['a', 'succeeded'], ['bad', 'errored'], ['b', 'succeeded']]);
  const direct = await anthropic.messages.create(params);
  assert.deepEqual(results[0].result.message.content, direct.content);
  assert.equal(results[1].result.error.error.type, 'invalid_request_error');
  assert.ok((await anthropic.messages.batches.list({ limit: 1 })).data[0].id === b.id);
  const long = await anthropic.messages.batches.create({ requests: Array.from({ length: 200 }, (_, i) => ({ custom_id: `n${i}`, params: { ...params, max_tokens: 60 } })) });
  const refusal = async (promise, status) => assert.equal((await promise.then(() => assert.fail('it was accepted'), (e) => e)).status, status);
  assert.equal((await fetch(`${server.url}/v1/messages/batches/${long.id}/results`)).status, 404);
  await refusal(anthropic.messages.batches.delete(long.id), 409);
  await anthropic.messages.batches.cancel(long.id);
  for (b = long; b.processing_status !== 'ended'; await sleep(25)) b = await anthropic.messages.batches.retrieve(long.id);
  assert.ok(b.request_counts.canceled > 0);
  assert.equal(b.request_counts.canceled + b.request_counts.succeeded, 200);
  assert.deepEqual(await anthropic.messages.batches.delete(long.id), { id: long.id, type: 'message_batch_deleted' });
  await refusal(anthropic.messages.batches.retrieve(long.id), 404);
  await refusal(anthropic.messages.batches.create({ requests: [] }), 400);
  await refusal(anthropic.messages.batches.create({ requests: [{ custom_id: 'a', params }, { custom_id: 'a', params }] }), 400);
  await refusal(anthropic.messages.batches.create({ requests: [{ custom_id: '', params }] }), 400);
  await refusal(anthropic.messages.batches.create({ requests: [{ custom_id: 'a', params: 1 }] }), 400);
});
