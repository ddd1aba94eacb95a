// The `ollama` client against `higgins serve`.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Ollama } from 'ollama';
import { serve } from './served.mjs';

let server, ollama;
before(async () => {
  server = await serve('--parallel', '8');
  ollama = new Ollama({ host: server.url });
});
after(async () => {
  const end = await server.stop();
  assert.equal(end.code, 0, `the server ends well: ${end.complaints}`);
});

const options = { num_predict: 24, temperature: 0 };
const messages = [{ role: 'user', content: 'Once upon a time' }];
const chat = (more = {}) => ollama.chat({ model: 'random', messages, options, ...more });
const generate = (more = {}) => ollama.generate({ model: 'random', prompt: 'Once upon a time', options, ...more });
async function gather(stream) {
  const parts = [];
  for await (const p of stream) parts.push(p);
  return parts;
}
async function refused(promise, status, words) {
  const error = await promise.then(() => assert.fail('was not refused'), (e) => e);
  assert.equal(error.status_code, status, error.message);
  assert.match(error.message, words);
}

test('models are listed and shown, and the version is told', async () => {
  assert.deepEqual((await ollama.list()).models.map((m) => m.name), ['random']);
  const shown = await ollama.show({ model: 'random:latest' });
  assert.deepEqual(shown.capabilities, ['completion', 'embedding', 'tools']);
  assert.match((await ollama.version()).version, /^\d+\.\d+/);
  await refused(ollama.show({ model: 'none' }), 404, /no model "none"/);
});

test('a chat answers whole and as lines that say the same', async () => {
  const whole = await chat();
  assert.deepEqual([whole.done, whole.done_reason, whole.eval_count], [true, 'length', 24]);
  assert.ok(whole.message.content.length > 0 && whole.prompt_eval_count > 0 && whole.total_duration > 0);
  const parts = await gather(await chat({ stream: true }));
  assert.equal(parts.map((p) => p.message.content).join(''), whole.message.content);
  assert.deepEqual(parts.map((p) => p.done).filter(Boolean), [true]);
  assert.equal(parts.at(-1).eval_count, 24);
});

test('a stream is the default, in lines of JSON', async () => {
  const r = await fetch(`${server.url}/api/chat`, { method: 'POST', body: JSON.stringify({ model: 'random', messages, options }) });
  assert.equal(r.headers.get('content-type'), 'application/x-ndjson');
  const lines = (await r.text()).trim().split('\n').map((l) => JSON.parse(l));
  assert.ok(lines.length > 2 && lines.at(-1).done);
});

test('generate is a chat of one turn, or raw text', async () => {
  const said = await generate();
  assert.equal(said.response, (await chat()).message.content);
  const parts = await gather(await generate({ stream: true }));
  assert.equal(parts.map((p) => p.response).join(''), said.response);
  assert.ok((await generate({ raw: true })).prompt_eval_count < said.prompt_eval_count);
  assert.ok((await generate({ system: 'Be kind.' })).prompt_eval_count > said.prompt_eval_count);
  assert.equal((await generate({ raw: true, options: { temperature: 0, num_predict: 40 } })).eval_count, 40);
  assert.equal((await generate({ prompt: '' })).done_reason, 'load');
});

test('the log-probabilities of tokens are told, whole and with each line', async () => {
  const { logprobs, eval_count: n, message } = await chat({ logprobs: true, top_logprobs: 3 });
  assert.ok(logprobs.length === n || logprobs.length === n - 1, 'a token each, but perhaps the one that ends');
  for (const t of logprobs) {
    assert.ok(t.logprob <= 0 && t.top_logprobs.length === 3);
    assert.equal(t.top_logprobs[0].token, t.token, 'greedy is the likeliest');
    assert.equal(t.top_logprobs[0].logprob, t.logprob);
  }
  const text = Buffer.concat(logprobs.map((t) => Buffer.from(t.bytes))).toString();
  assert.ok(text.startsWith(message.content));
  assert.deepEqual((await gather(await chat({ logprobs: true, top_logprobs: 3, stream: true }))).flatMap((p) => p.logprobs ?? []), logprobs);
  assert.equal((await chat()).logprobs, undefined);
  for (const raw of [false, true]) {
    const told = await generate({ raw, logprobs: true });
    assert.ok(told.logprobs.length > 0 && told.logprobs.every((t) => t.logprob <= 0 && t.top_logprobs.length === 0));
    const top = await generate({ raw, logprobs: true, top_logprobs: 2 });
    assert.ok(top.logprobs.every((t) => t.top_logprobs.length === 2));
    await refused(generate({ raw, top_logprobs: 2 }), 400, /top_logprobs/);
    await refused(generate({ raw, logprobs: true, top_logprobs: 999 }), 400, /logprobs/);
    await refused(generate({ raw, logprobs: 'yes' }), 400, /logprobs/);
    await refused(generate({ raw, logprobs: true, top_logprobs: 'two' }), 400, /top_logprobs/);
  }
});

test('an answer is held to JSON and to a schema', async () => {
  const noise = { options: { num_predict: 60, temperature: 2 } };
  assert.equal(typeof JSON.parse((await chat({ format: 'json', ...noise })).message.content), 'object');
  const format = { type: 'object', properties: { kind: { enum: ['mouse', 'house'] } }, required: ['kind'] };
  assert.ok(['mouse', 'house'].includes(JSON.parse((await chat({ format, ...noise })).message.content).kind));
});

test('tools and what they said are part of the conversation', async () => {
  const tools = [{ type: 'function', function: { name: 'now', description: 'The time.', parameters: { type: 'object', properties: {} } } }];
  const short = [{ role: 'user', content: 'Hi' }];
  const bare = await chat({ messages: short });
  const offered = await chat({ messages: short, tools });
  assert.ok(offered.prompt_eval_count > bare.prompt_eval_count + 20);
  const told = await chat({ messages: [...short, { role: 'assistant', content: '', tool_calls: [{ function: { name: 'now', arguments: {} } }] }, { role: 'tool', tool_name: 'now', content: 'Nine.' }] });
  assert.ok(told.prompt_eval_count > bare.prompt_eval_count + 10);
});

test('every refusal is the client\'s own error', async () => {
  await refused(chat({ model: 'none' }), 404, /no model "none"/);
  await refused(chat({ format: 'xml' }), 400, /format/);
  await refused(chat({ options: { temperature: 9 } }), 400, /temperature/);
  await refused(chat({ messages: [{ role: 'robot', content: 'x' }] }), 400, /role/);
  await refused(chat({ messages: [{ role: 'user', content: 'word '.repeat(2000) }] }), 400, /context/);
  await refused(chat({ model: 'none', stream: true }), 404, /no model/);
  await refused(generate({ suffix: 'end' }), 400, /suffix/);
  await refused(ollama.embed({ model: 'random', input: [] }), 400, /1 to 2048 texts/);
});

test('texts become vectors', async () => {
  const { embeddings, prompt_eval_count: n } = await ollama.embed({ model: 'random', input: ['Once', 'upon a time'] });
  assert.equal(embeddings.length, 2);
  assert.ok(Math.abs(Math.hypot(...embeddings[1]) - 1) < 1e-5);
  assert.ok(n > 2);
  assert.deepEqual((await ollama.embed({ model: 'random:latest', input: 'upon a time' })).embeddings, [embeddings[1]]);
});

test('the older way to a vector gives the same', async () => {
  const { embeddings } = await ollama.embed({ model: 'random', input: 'upon a time' });
  assert.deepEqual(await ollama.embeddings({ model: 'random', prompt: 'upon a time' }), { embedding: embeddings[0] });
  for (const prompt of [['upon', 'a time'], [1, 2], '', 7, undefined]) {
    await refused(ollama.embeddings({ model: 'random', prompt }), 400, /^prompt must be a text that is not empty$/);
  }
});

test('what is not there is refused in the client\'s form, too', async () => {
  await refused(ollama.pull({ model: 'random' }), 404, /^nothing is at \/api\/pull/);
  const wrong = await fetch(`${server.url}/api/chat`);
  assert.equal(wrong.status, 405);
  assert.match((await wrong.json()).error, /methods of this path are POST/);
});

test('eight streams at once say what each says alone', async () => {
  const ask = async (i) => (await gather(await chat({ stream: true, messages: [{ role: 'user', content: `Story number ${i}` }] }))).map((p) => p.message.content).join('');
  const alone = [];
  for (let i = 0; i < 8; i++) alone.push(await ask(i));
  assert.deepEqual(await Promise.all(Array.from({ length: 8 }, (_, i) => ask(i))), alone);
});
