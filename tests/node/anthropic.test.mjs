// The official `@anthropic-ai/sdk` against `higgins serve`, in both versions of the API.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { serve } from './served.mjs';

let server, client, old;
const oldHeaders = { 'anthropic-version': '2023-06-01' };
before(async () => {
  server = await serve('--parallel', '8');
  client = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
  old = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0, defaultHeaders: oldHeaders });
});
after(async () => {
  const end = await server.stop();
  assert.equal(end.code, 0, `the server ends well: ${end.complaints}`);
});

const messages = [{ role: 'user', content: 'Once upon a time' }];
const base = { model: 'random', max_tokens: 24, messages, system: 'Be kind.' };
// Greedy, so that two answers are the same: only the older version of the API takes a temperature.
const greedy = (more = {}) => old.messages.create({ ...base, temperature: 0, ...more });
const textOf = (message) => message.content.filter((b) => b.type === 'text').map((b) => b.text).join('');
async function gather(stream) {
  const events = [];
  for await (const e of stream) events.push(e);
  return events;
}
async function refused(promise, status, type, words) {
  const error = await promise.then(() => assert.fail('was not refused'), (e) => e);
  assert.ok(error instanceof Anthropic.APIError, String(error));
  assert.equal(error.status, status, error.message);
  assert.equal(error.error.error.type, type);
  assert.match(error.error.error.message, words);
}

test('models are listed, found by name, and missed by their name', async () => {
  const list = await client.models.list();
  assert.deepEqual(list.data.map((m) => [m.id, m.type]), [['random', 'model']]);
  assert.equal((await client.models.retrieve('random')).max_input_tokens, 1024);
  await refused(client.models.retrieve('owner/none'), 404, 'not_found_error', /no model "owner\/none"/);
});

test('a message has every member that the client reads', async () => {
  const m = await client.messages.create(base);
  assert.match(m.id, /^msg_/);
  assert.deepEqual([m.type, m.role, m.model, m.stop_sequence], ['message', 'assistant', 'random', null]);
  assert.ok(textOf(m).length > 0);
  assert.ok(['max_tokens', 'end_turn'].includes(m.stop_reason));
  assert.equal((await greedy()).usage.output_tokens, 24);
  assert.equal((await greedy()).stop_reason, 'max_tokens');
  const { response } = await client.messages.create(base).withResponse();
  assert.match(response.headers.get('request-id'), /^req_/);
});

test('a stream has its events in order and says what the whole message says', async () => {
  const whole = await greedy();
  const events = await gather(await greedy({ stream: true }));
  const types = events.map((e) => e.type);
  assert.deepEqual(types.slice(0, 2), ['message_start', 'content_block_start']);
  assert.deepEqual(types.slice(-3), ['content_block_stop', 'message_delta', 'message_stop']);
  assert.ok(types.slice(2, -3).every((t) => t === 'content_block_delta'));
  assert.equal(events.map((e) => e.delta?.text ?? '').join(''), textOf(whole));
  assert.equal(events[0].message.usage.input_tokens, whole.usage.input_tokens);
  assert.equal(events.at(-2).usage.output_tokens, whole.usage.output_tokens);
  const final = await old.messages.stream({ ...base, temperature: 0 }).finalMessage();
  assert.equal(textOf(final), textOf(whole));
  assert.equal(final.stop_reason, 'max_tokens');
});

test('the system is a string or blocks, and so is what is said', async () => {
  const plain = await greedy();
  const blocks = await greedy({ system: [{ type: 'text', text: 'Be kind.' }], messages: [{ role: 'user', content: [{ type: 'text', text: 'Once upon a time' }] }] });
  assert.equal(textOf(blocks), textOf(plain));
  assert.equal(blocks.usage.input_tokens, plain.usage.input_tokens);
  assert.ok((await greedy({ system: undefined })).usage.input_tokens < plain.usage.input_tokens);
});

test('tokens are counted as the message uses them', async () => {
  const { input_tokens } = await client.messages.countTokens({ model: 'random', messages, system: 'Be kind.' });
  assert.equal(input_tokens, (await greedy()).usage.input_tokens);
});

test('a stop sequence ends the message and is told', async () => {
  const about = (i) => ({ max_tokens: 40, messages: [{ role: 'user', content: `Story number ${i}` }] });
  let i = -1, whole, stop; // of a model of noise: the first story with two whole characters in a row
  do whole = textOf(await greedy(about(++i))); while (!(stop = [...whole].slice(3).join('').match(/[^\uFFFD]{2}/u)?.[0]) && i < 30);
  const want = whole.slice(0, whole.indexOf(stop));
  const cut = await greedy({ ...about(i), stop_sequences: ['never said', stop] });
  assert.deepEqual([textOf(cut), cut.stop_reason, cut.stop_sequence], [want, 'stop_sequence', stop]);
  const events = await gather(await greedy({ ...about(i), stop_sequences: [stop], stream: true }));
  assert.equal(events.at(-2).delta.stop_sequence, stop);
});

test('what the assistant began is gone on with', async () => {
  const whole = await greedy({ max_tokens: 8 });
  const began = await greedy({ messages: [...messages, { role: 'assistant', content: 'Well' }] });
  assert.ok(began.usage.input_tokens > whole.usage.input_tokens);
  assert.ok(began.usage.input_tokens < whole.usage.input_tokens + 6, 'no turn was opened behind it');
});

const tools = [{ name: 'now', description: 'The time.', input_schema: { type: 'object', properties: {} } },
  { name: 'get_weather', input_schema: { type: 'object', required: ['days'], properties: { days: { type: 'integer', minimum: 1, maximum: 14 } } } }];
test('tools are called with inputs that fit, whole and streamed', async () => {
  const short = { ...base, max_tokens: 80, messages: [{ role: 'user', content: 'Hi' }], system: undefined, tools };
  const m = await old.messages.create({ ...short, tool_choice: { type: 'tool', name: 'get_weather' } });
  assert.equal(m.stop_reason, 'tool_use');
  const [call] = m.content;
  assert.deepEqual([m.content.length, call.type, call.name], [1, 'tool_use', 'get_weather']);
  assert.match(call.id, /^toolu_/);
  assert.ok(Number.isInteger(call.input.days) && call.input.days >= 1 && call.input.days <= 14);
  const streamed = await client.messages.stream({ ...short, tool_choice: { type: 'any' } }).finalMessage();
  assert.equal(streamed.stop_reason, 'tool_use');
  assert.ok(['now', 'get_weather'].includes(streamed.content[0].name));
  const result = [...short.messages, { role: 'assistant', content: m.content.map(({ type, id, name, input }) => ({ type, id, name, input })) },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: 'Rain.' }] }];
  assert.ok((await client.messages.create({ ...short, max_tokens: 4, messages: result })).usage.input_tokens > m.usage.input_tokens);
});

test('a message is held to a schema', async () => {
  const schema = { type: 'object', properties: { kind: { enum: ['mouse', 'house'] } }, required: ['kind'], additionalProperties: false };
  const m = await client.messages.create({ ...base, max_tokens: 60, output_config: { format: { type: 'json_schema', schema } } });
  assert.ok(['mouse', 'house'].includes(JSON.parse(textOf(m)).kind));
});

test('every refusal is the client\'s own error and names the field', async () => {
  const create = (more) => client.messages.create({ ...base, ...more });
  const bad = (more, words) => refused(create(more), 400, 'invalid_request_error', words);
  await bad({ max_tokens: undefined }, /^max_tokens: Field required/);
  await bad({ max_tokens: 0 }, /^max_tokens:/);
  await bad({ messages: [] }, /^messages: at least one message is required/);
  await bad({ messages: [{ role: 'robot', content: 'Hi' }] }, /^messages\.0\.role: Input should be/);
  await bad({ messages: [{ role: 'user', content: '' }] }, /^messages\.0\.content/);
  await bad({ messages: [{ role: 'user', content: [{ type: 'image', source: {} }] }] }, /images/);
  await bad({ messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'none', content: 'x' }] }] }, /tool_result must answer/);
  await bad({ stop_sequences: 'x' }, /^stop_sequences:/);
  await bad({ temperature: 1 }, /^temperature:/);
  await bad({ thinking: { type: 'enabled', budget_tokens: 1024 } }, /^thinking:/);
  await bad({ tools: [{ name: 'f' }] }, /^tools\.0\.input_schema: Field required/);
  await bad({ tools, tool_choice: { type: 'perhaps' } }, /^tool_choice/);
  await bad({ messages: [{ role: 'user', content: 'word '.repeat(2000) }] }, /context/);
  await refused(old.messages.create({ ...base, temperature: 1.5 }), 400, 'invalid_request_error', /^temperature: .*from 0 to 1/);
  await refused(create({ model: 'claude' }), 404, 'not_found_error', /no model "claude"/);
  await refused(client.messages.countTokens({ model: 'random', messages: [] }), 400, 'invalid_request_error', /^messages:/);
  const none = await fetch(`${server.url}/v1/messages`, { method: 'POST', body: '{}' });
  assert.deepEqual([none.status, (await none.json()).error.type], [400, 'invalid_request_error']);
});

test('eight streams at once say what each says alone', async () => {
  const ask = (i) => old.messages.stream({ ...base, temperature: 0, max_tokens: 48, messages: [{ role: 'user', content: `Story number ${i}` }] }).finalMessage().then(textOf);
  const alone = [];
  for (let i = 0; i < 8; i++) alone.push(await ask(i));
  assert.deepEqual(await Promise.all(Array.from({ length: 8 }, (_, i) => ask(i))), alone);
});

test('a key is taken in either header', async () => {
  const locked = await serve('--api-key', 'open sesame');
  const wrong = new Anthropic({ baseURL: locked.url, apiKey: 'wrong', maxRetries: 0 });
  await refused(wrong.messages.create(base), 401, 'authentication_error', /key/);
  const right = new Anthropic({ baseURL: locked.url, apiKey: 'open sesame', maxRetries: 0 });
  assert.equal((await right.models.list()).data.length, 1);
  const header = await fetch(`${locked.url}/v1/models`, { headers: { ...oldHeaders, 'x-api-key': 'open sesame' } });
  assert.equal(header.status, 200);
  await locked.stop();
});
