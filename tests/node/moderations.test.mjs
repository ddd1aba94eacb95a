// OpenAI's moderations by its official client: the lexicon, and a model that is asked.
import test, { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import OpenAI, { toFile } from 'openai';
import { serve, sleep } from './served.mjs';

const categories = ['hate', 'hate/threatening', 'harassment', 'harassment/threatening', 'illicit', 'illicit/violent', 'self-harm', 'self-harm/intent', 'self-harm/instructions', 'sexual', 'sexual/minors', 'violence', 'violence/graphic'].sort();
let server, client;
before(async () => {
  server = await serve();
  client = new OpenAI({ baseURL: server.base, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

async function refused(promise, status, { param, code } = {}) {
  const error = await promise.then(() => assert.fail('it was accepted'), (e) => e);
  assert.ok(error instanceof OpenAI.APIError, String(error));
  assert.equal(error.status, status, error.message);
  if (param) assert.equal(error.param, param);
  if (code) assert.equal(error.code, code);
}
const whole = (r) => {
  for (const part of [r.categories, r.category_scores, r.category_applied_input_types]) assert.deepEqual(Object.keys(part).sort(), categories);
  assert.equal(r.flagged, Object.values(r.categories).some(Boolean));
  assert.ok(Object.values(r.category_scores).every((s) => s >= 0 && s <= 1));
};

test('texts are judged one by one, by thirteen categories', async () => {
  const m = await client.moderations.create({ model: 'omni-moderation-latest', input: ['I am going to kill you.', 'The sea is calm today.', 'Je veux me suicider.'] });
  assert.match(m.id, /^modr-/);
  assert.equal(m.model, 'higgins-lexicon-1');
  m.results.forEach(whole);
  assert.deepEqual(m.results.map((r) => r.flagged), [true, false, true]);
  assert.equal(m.results[0].categories['harassment/threatening'], true);
  assert.equal(m.results[2].categories['self-harm/intent'], true);
  const one = await client.moderations.create({ input: [{ type: 'text', text: 'I am going to kill you.' }] });
  assert.deepEqual(one.results[0], m.results[0]);
  assert.deepEqual((await client.moderations.create({ model: 'higgins-lexicon-1', input: 'I am going to kill you.' })).results, one.results);
});

test('what cannot be judged is refused by name', async () => {
  const judge = (more) => client.moderations.create({ input: 'x', ...more });
  await refused(judge({ input: undefined }), 400, { param: 'input' });
  await refused(judge({ input: [] }), 400, { param: 'input' });
  await refused(judge({ input: 7 }), 400, { param: 'input' });
  await refused(judge({ input: [1] }), 400, { param: 'input' });
  await refused(judge({ input: [{ type: 'image_url', image_url: { url: 'x' } }] }), 400, { param: 'input' });
  await refused(judge({ input: Array(1025).fill('x') }), 400, { param: 'input' });
  await refused(judge({ input: 'x'.repeat(1024 * 1024 + 1) }), 400, { param: 'input' });
  await refused(judge({ model: 'gpt-5' }), 404, { param: 'model', code: 'model_not_found' });
  await refused(judge({ model: 7 }), 400, { param: 'model' });
  await refused(judge({ model: 'random', input: Array(33).fill('x') }), 400, { param: 'input' });
});

test('a model that is asked answers with thirteen scores for each text', async () => {
  const m = await client.moderations.create({ model: 'random', input: ['Good day.', 'Good night.'] });
  assert.equal(m.model, 'random');
  assert.equal(m.results.length, 2);
  m.results.forEach(whole);
  const again = await client.moderations.create({ model: 'random', input: ['Good day.', 'Good night.'] });
  assert.deepEqual(again.results, m.results);
  await refused(client.moderations.create({ model: 'random', input: 'word '.repeat(2000) }), 400, { code: 'context_length_exceeded' });
});

test("the owner's model judges where none is named", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'higgins-moderation-'));
  writeFileSync(join(folder, 'serve.yaml'), 'moderation: random\n');
  const own = await serve('--config', join(folder, 'serve.yaml'));
  try {
    const by = new OpenAI({ baseURL: own.base, apiKey: 'none', maxRetries: 0 });
    const m = await by.moderations.create({ input: 'Good day.' });
    assert.equal(m.model, 'random');
    whole(m.results[0]);
  } finally {
    await own.stop();
    rmSync(folder, { recursive: true });
  }
});

test('moderations come in batches', async () => {
  const text = JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/moderations', body: { input: 'You are a worthless idiot.' } });
  const { id } = await client.files.create({ file: await toFile(Buffer.from(text), 'in.jsonl'), purpose: 'batch' });
  let b = await client.batches.create({ input_file_id: id, endpoint: '/v1/moderations', completion_window: '24h' });
  for (let i = 0; i < 400 && !['completed', 'failed'].includes(b.status); i++) { await sleep(25); b = await client.batches.retrieve(b.id); }
  const row = JSON.parse(await (await client.files.content(b.output_file_id)).text());
  assert.equal(row.response.body.results[0].categories.harassment, true);
});
