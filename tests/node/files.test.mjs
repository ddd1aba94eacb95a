// Files through the official `openai` client and as Replicate's clients send them.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import OpenAI, { toFile } from 'openai';
import { serve } from './served.mjs';

let server, client;
before(async () => {
  server = await serve();
  client = new OpenAI({ baseURL: server.base, apiKey: 'none', maxRetries: 0 });
});
after(async () => {
  const end = await server.stop();
  assert.equal(end.code, 0, `the server ends well: ${end.complaints}`);
});

async function refused(promise, status, fields = {}) {
  const error = await promise.then(() => assert.fail('was not refused'), (e) => e);
  assert.ok(error instanceof OpenAI.APIError, String(error));
  assert.equal(error.status, status, error.message);
  for (const [key, value] of Object.entries(fields)) assert.equal(error[key], value, `${key} of: ${error.message}`);
  return error;
}
const upload = (text, more = {}) => toFile(Buffer.from(text), 'some.jsonl').then((file) => client.files.create({ file, purpose: 'fine-tune', ...more }));

test('a file goes up, is read, listed, downloaded and deleted', async () => {
  const made = await upload('{"a":1}\n');
  assert.match(made.id, /^file-/);
  assert.deepEqual({ object: made.object, bytes: made.bytes, filename: made.filename, purpose: made.purpose, status: made.status },
    { object: 'file', bytes: 8, filename: 'some.jsonl', purpose: 'fine-tune', status: 'processed' });
  assert.equal(made.expires_at, undefined);
  assert.deepEqual(await client.files.retrieve(made.id), made);
  const got = await client.files.content(made.id);
  assert.equal(await got.text(), '{"a":1}\n');
  assert.match(got.headers.get('content-disposition'), /attachment; filename="some.jsonl"/);
  assert.deepEqual(await client.files.delete(made.id), { id: made.id, object: 'file', deleted: true });
  await refused(client.files.retrieve(made.id), 404, { code: 'not_found' });
  await refused(client.files.content(made.id), 404);
  await refused(client.files.delete(made.id), 404);
});

test('lists are paged, ordered and filtered', async () => {
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push((await upload(`${i}`, { purpose: i === 2 ? 'batch' : 'evals' })).id);
  const all = [];
  for await (const file of client.files.list({ limit: 2 })) all.push(file.id);
  assert.deepEqual(all, [...ids].reverse());
  const up = await client.files.list({ order: 'asc', limit: 3 });
  assert.deepEqual(up.data.map((f) => f.id), ids.slice(0, 3));
  assert.equal(up.has_more, true);
  assert.deepEqual((await client.files.list({ purpose: 'batch' })).data.map((f) => f.id), [ids[2]]);
  await refused(client.files.list({ limit: 0 }), 400, { param: 'limit' });
  await refused(client.files.list({ order: 'up' }), 400, { param: 'order' });
  await refused(client.files.list({ after: 'file-none' }), 404, { param: 'after' });
  for (const id of ids) await client.files.delete(id);
});

test('what is wrong with an upload is named', async () => {
  await refused(upload('x', { purpose: 'fun' }), 400, { param: 'purpose' });
  await refused(upload(''), 400, { param: 'file' });
  await refused(upload('x', { expires_after: { anchor: 'created_at', seconds: 5 } }), 400, { param: 'expires_after.seconds' });
  const plain = await fetch(`${server.base}/files`, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } });
  assert.equal(plain.status, 400);
  assert.match((await plain.json()).error.message, /the body must be multipart\/form-data/);
  const form = new FormData();
  form.append('purpose', 'batch');
  const bare = await fetch(`${server.base}/files`, { method: 'POST', body: form });
  assert.equal(bare.status, 400);
  assert.equal((await bare.json()).error.param, 'file');
});

test('a file may expire', async () => {
  const made = await upload('x', { expires_after: { anchor: 'created_at', seconds: 3600 } });
  assert.ok(Math.abs(made.expires_at - made.created_at - 3600) <= 1);
  await client.files.delete(made.id);
});

test('a large file goes up and down in little memory', async () => {
  const bytes = randomBytes(1 << 20);
  const big = Buffer.concat(Array.from({ length: 96 }, () => bytes));
  const before = server.anonymous();
  const made = await client.files.create({ file: await toFile(big, 'big.bin'), purpose: 'user_data' });
  assert.equal(made.bytes, big.length);
  const back = Buffer.from(await (await client.files.content(made.id)).arrayBuffer());
  assert.ok(back.equals(big));
  assert.ok(server.anonymous() - before < 24 << 20, `memory grew by ${server.anonymous() - before} bytes`);
  await client.files.delete(made.id);
});

// ---- Replicate's face ----
const replicate = (path, options = {}) => fetch(`${server.base}/files${path}`, { ...options, headers: { 'user-agent': 'replicate-javascript/1.4.0', ...options.headers } });
async function send(text, metadata) {
  const form = new FormData();
  form.append('content', new Blob([text], { type: 'text/plain' }), 'note.txt');
  if (metadata !== undefined) form.append('metadata', new Blob([metadata], { type: 'application/json' }));
  return replicate('', { method: 'POST', body: form });
}

test("Replicate's form is told apart by its field", async () => {
  const answer = await send('hello', '{"a": [1]}');
  assert.equal(answer.status, 201);
  const made = await answer.json();
  assert.deepEqual({ name: made.name, type: made.content_type, size: made.size, metadata: made.metadata },
    { name: 'note.txt', type: 'text/plain', size: 5, metadata: { a: [1] } });
  assert.equal(made.checksums.sha256, createHash('sha256').update('hello').digest('hex'));
  assert.equal(Math.round((new Date(made.expires_at) - new Date(made.created_at)) / 1000), 86400);
  assert.deepEqual(await (await fetch(made.urls.get)).json().then((f) => f.id), made.id);
  const list = await (await replicate('')).json();
  assert.deepEqual([list.next, list.previous, list.results.map((f) => f.id)], [null, null, [made.id]]);
  assert.equal(await (await fetch(made.urls.download)).text(), 'hello');
  const gone = await replicate(`/${made.id}`, { method: 'DELETE' });
  assert.equal(gone.status, 204);
  const missing = await replicate(`/${made.id}`);
  assert.equal(missing.status, 404);
  assert.equal((await missing.json()).status, 404);
  assert.equal((await fetch(made.urls.download)).status, 404);
});

test('metadata must be an object', async () => {
  const answer = await send('hello', '[1]');
  assert.equal(answer.status, 400);
  assert.match((await answer.json()).detail, /metadata must be a JSON object, not an array/);
});

test('each token has its own files, and a signature stands for a token', async () => {
  const other = await serve('--with-token');
  const stranger = new OpenAI({ baseURL: other.base, apiKey: 'hg_wrong', maxRetries: 0 });
  const owner = new OpenAI({ baseURL: other.base, apiKey: other.token, maxRetries: 0 });
  try {
    const made = await owner.files.create({ file: await toFile(Buffer.from('mine'), 'a.txt'), purpose: 'user_data' });
    await refused(stranger.files.retrieve(made.id), 401);
    await refused(stranger.files.create({ file: await toFile(Buffer.alloc(2 << 20), 'a.txt'), purpose: 'user_data' }), 401);
    const second = new OpenAI({ baseURL: other.base, apiKey: other.makeToken('ben'), maxRetries: 0 });
    await refused(second.files.retrieve(made.id), 404);
    await refused(second.files.delete(made.id), 404);
    assert.deepEqual((await second.files.list()).data, []);
    const form = new FormData();
    form.append('content', new Blob(['signed']), 'b.txt');
    const sent = await fetch(`${other.base}/files`, { method: 'POST', body: form, headers: { authorization: `Bearer ${other.token}` } });
    const { urls } = await sent.json();
    assert.equal((await fetch(urls.get)).status, 401);
    assert.equal(await (await fetch(urls.download)).text(), 'signed');
    assert.equal((await fetch(urls.download.replace(/signature=(.)/, (_, c) => `signature=${c === '_' ? 'A' : '_'}`))).status, 404);
    assert.equal((await fetch(urls.download.replace(/owner=first/, 'owner=ben'))).status, 404);
  } finally {
    await other.stop();
  }
});
