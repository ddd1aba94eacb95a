// The official `openai` client against `higgins serve`: what programs written for OpenAI do, unchanged.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { serve, sleep } from './served.mjs';

let server, client;
before(async () => {
  server = await serve('--parallel', '8');
  client = new OpenAI({ baseURL: server.base, apiKey: 'none', maxRetries: 0 });
});
after(async () => {
  const end = await server.stop();
  assert.equal(end.code, 0, `the server ends well: ${end.complaints}`);
});

const messages = [{ role: 'system', content: 'Be kind.' }, { role: 'user', content: 'Once upon a time' }];
const chat = (more = {}) => client.chat.completions.create({ model: 'random', messages, max_tokens: 24, seed: 7, ...more });
const complete = (more = {}) => client.completions.create({ model: 'random', prompt: 'Once upon', max_tokens: 12, seed: 7, ...more });

async function gather(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
const textOf = (chunks, index = 0) => chunks.flatMap((c) => c.choices).filter((c) => c.index === index).map((c) => c.delta?.content ?? c.text ?? '').join('');

async function refused(promise, status, fields = {}) {
  const error = await promise.then(() => assert.fail('was not refused'), (e) => e);
  assert.ok(error instanceof OpenAI.APIError, String(error));
  assert.equal(error.status, status, error.message);
  for (const [key, value] of Object.entries(fields)) assert.equal(error[key], value, `${key} of: ${error.message}`);
  return error;
}

test('models are listed, found by name, and missed by their name', async () => {
  const list = await client.models.list();
  assert.deepEqual(list.data.map((m) => m.id), ['random']);
  const model = await client.models.retrieve('random');
  assert.equal(model.object, 'model');
  assert.ok(model.created > 1.7e9);
  await refused(client.models.retrieve('owner/none'), 404, { code: 'model_not_found' });
});

test('a chat answer has every member that clients read', async () => {
  const answer = await chat();
  assert.equal(answer.object, 'chat.completion');
  assert.match(answer.id, /^chatcmpl-/);
  assert.match(answer._request_id, /^req_/);
  const [choice] = answer.choices;
  assert.equal(choice.message.role, 'assistant');
  assert.equal(choice.message.refusal, null);
  assert.equal(choice.logprobs, null);
  assert.ok(choice.message.content.length > 0);
  assert.equal(choice.finish_reason, 'length');
  assert.equal(answer.usage.completion_tokens, 24);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + 24);
});

test('a stream says the same as the whole answer', async () => {
  const whole = await chat();
  const chunks = await gather(await chat({ stream: true, stream_options: { include_usage: true } }));
  assert.equal(textOf(chunks), whole.choices[0].message.content);
  assert.equal(new Set(chunks.map((c) => c.id)).size, 1);
  assert.deepEqual(chunks[0].choices[0].delta, { role: 'assistant', content: '', refusal: null });
  assert.deepEqual(chunks.flatMap((c) => c.choices).map((c) => c.finish_reason).filter(Boolean), ['length']);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.deepEqual(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
  assert.ok(chunks.slice(0, -1).every((c) => c.usage === null));
  const plain = await gather(await chat({ stream: true }));
  assert.ok(plain.every((c) => !('usage' in c) && c.choices.length === 1));
});

test('the client\'s stream helper accepts the stream', async () => {
  const runner = client.chat.completions.stream({ model: 'random', messages, max_tokens: 16, seed: 7 });
  const final = await runner.finalChatCompletion();
  assert.equal(final.choices[0].finish_reason, 'length');
  assert.equal(final.choices[0].message.content, (await chat({ max_tokens: 16 })).choices[0].message.content);
});

test('the same seed gives the same answer and another seed another', async () => {
  const say = async (seed) => (await chat({ seed, temperature: 1.5 })).choices[0].message.content;
  assert.equal(await say(42), await say(42));
  assert.notEqual(await say(42), await say(43));
});

test('temperature 0 does not depend on the seed', async () => {
  const say = async (seed) => (await chat({ seed, temperature: 0 })).choices[0].message.content;
  assert.equal(await say(1), await say(2));
});

test('n choices are different, numbered and each finished', async () => {
  const logit_bias = { 0: -100, 1: -100, 2: -100, 3: -100 }; // the special tokens: no answer ends early
  const answer = await chat({ n: 3, temperature: 1.5, logit_bias });
  assert.deepEqual(answer.choices.map((c) => c.index), [0, 1, 2]);
  assert.equal(new Set(answer.choices.map((c) => c.message.content)).size, 3);
  assert.equal(answer.usage.completion_tokens, 72);
  const chunks = await gather(await chat({ n: 3, temperature: 1.5, logit_bias, stream: true }));
  for (let i = 0; i < 3; i++) assert.equal(textOf(chunks, i), answer.choices[i].message.content);
  assert.equal(chunks.flatMap((c) => c.choices).filter((c) => c.finish_reason).length, 3);
});

test('a stop string ends the answer and is cut off, streamed or not', async () => {
  const whole = (await chat({ max_tokens: 40 })).choices[0].message.content;
  const stop = whole.slice(3).match(/[a-z]{2,3}/)[0];
  const want = whole.slice(0, whole.indexOf(stop));
  const cut = await chat({ max_tokens: 40, stop: [stop, 'never said'] });
  assert.equal(cut.choices[0].message.content, want);
  assert.equal(cut.choices[0].finish_reason, 'stop');
  assert.equal(textOf(await gather(await chat({ max_tokens: 40, stop, stream: true }))), want);
});

test('completions take a text, several texts, and token ids', async () => {
  const one = await complete();
  assert.equal(one.object, 'text_completion');
  assert.equal(one.usage.completion_tokens, 12);
  const two = await complete({ prompt: ['Once upon', 'The mouse'] });
  assert.deepEqual(two.choices.map((c) => c.index), [0, 1]);
  assert.equal(two.choices[0].text, one.choices[0].text);
  const ids = await complete({ prompt: [5, 6, 7] });
  assert.equal(ids.usage.prompt_tokens, 3);
  assert.equal(textOf(await gather(await complete({ stream: true }))), one.choices[0].text);
  assert.equal((await complete({ max_tokens: undefined })).usage.completion_tokens, 16);
});

const probabilityOf = (entries) => entries.reduce((sum, e) => sum + Math.exp(e.logprob), 0);
test('log-probabilities come with the tokens that the answer is made of', async () => {
  const answer = await chat({ logprobs: true, top_logprobs: 5, temperature: 0 });
  const { content, refusal } = answer.choices[0].logprobs;
  assert.equal(refusal, null);
  assert.equal(content.length, answer.usage.completion_tokens);
  for (const t of content) {
    assert.equal(t.top_logprobs.length, 5);
    assert.equal(t.top_logprobs[0].token, t.token, 'temperature 0 takes the likeliest');
    assert.equal(t.top_logprobs[0].logprob, t.logprob);
    assert.ok(t.top_logprobs.every((o, i, all) => i === 0 || o.logprob <= all[i - 1].logprob));
    assert.ok(probabilityOf(t.top_logprobs) <= 1 + 1e-6 && t.logprob < 0);
  }
  const text = new TextDecoder().decode(Uint8Array.from(content.flatMap((t) => t.bytes)));
  assert.equal(text, answer.choices[0].message.content);
  const chunks = await gather(await chat({ logprobs: true, top_logprobs: 5, temperature: 0, stream: true }));
  assert.deepEqual(chunks.flatMap((c) => c.choices[0].logprobs?.content ?? []), content);
  assert.equal((await chat({ logprobs: false })).choices[0].logprobs, null);
});

test('completions tell log-probabilities in columns', async () => {
  const answer = await complete({ logprobs: 3, temperature: 0 });
  const { tokens, token_logprobs, top_logprobs, text_offset } = answer.choices[0].logprobs;
  assert.equal(tokens.length, 12);
  assert.deepEqual([token_logprobs.length, top_logprobs.length, text_offset.length], [12, 12, 12]);
  assert.ok(tokens.every((t, i) => Math.max(...Object.values(top_logprobs[i])) === token_logprobs[i]));
  assert.equal(text_offset[0], 0);
  assert.ok(text_offset.every((o, i) => i === 0 || o >= text_offset[i - 1]));
  const streamed = (await gather(await complete({ logprobs: 3, temperature: 0, stream: true }))).flatMap((c) => c.choices[0].logprobs?.tokens ?? []);
  assert.deepEqual(streamed, tokens);
});

test('an answer is held to JSON, and to a schema, within its tokens', async () => {
  const any = await chat({ response_format: { type: 'json_object' }, temperature: 2, max_tokens: 40 });
  assert.equal(typeof JSON.parse(any.choices[0].message.content), 'object');
  const schema = { type: 'object', properties: { name: { type: 'string' }, age: { type: 'integer', minimum: 0, maximum: 120 }, kind: { enum: ['mouse', 'house'] } },
    required: ['name', 'age', 'kind'] };
  const response_format = { type: 'json_schema', json_schema: { name: 'who', strict: true, schema } };
  for (let seed = 0; seed < 6; seed++) {
    const said = await chat({ response_format, temperature: 2, max_tokens: 60, seed });
    const who = JSON.parse(said.choices[0].message.content);
    assert.deepEqual(Object.keys(who), ['name', 'age', 'kind']);
    assert.ok(Number.isInteger(who.age) && who.age >= 0 && who.age <= 120 && schema.properties.kind.enum.includes(who.kind));
    const streamed = textOf(await gather(await chat({ response_format, temperature: 2, max_tokens: 60, seed, stream: true })));
    assert.equal(streamed, said.choices[0].message.content);
  }
  const plain = await complete({ response_format: { type: 'json_object' }, max_tokens: 30 });
  assert.equal(typeof JSON.parse(plain.choices[0].text), 'object');
});

const tools = [
  { type: 'function', function: { name: 'get_weather', description: 'The weather of a city.', parameters: { type: 'object', required: ['city', 'days'],
    properties: { city: { type: 'string', maxLength: 12 }, days: { type: 'integer', minimum: 1, maximum: 14 }, unit: { $ref: '#/$defs/unit' } },
    $defs: { unit: { enum: ['C', 'F'] } } } } },
  { type: 'function', function: { name: 'now', parameters: { type: 'object', properties: {} } } },
];
const short = [{ role: 'user', content: 'Hi' }], few = [tools[1]];
const isCall = (call) => {
  const args = JSON.parse(call.function.arguments);
  assert.equal(call.type, 'function');
  assert.match(call.id, /^call_[0-9a-f]{24}$/);
  if (call.function.name === 'now') return assert.deepEqual(args, {});
  assert.equal(call.function.name, 'get_weather');
  assert.ok([...args.city].length <= 12 && Number.isInteger(args.days) && args.days >= 1 && args.days <= 14 && [undefined, 'C', 'F'].includes(args.unit), call.function.arguments);
};

test('a model of noise calls tools with arguments that fit, when it must', async () => {
  const named = new Set();
  for (let seed = 0; seed < 12; seed++) {
    const noise = { tool_choice: 'required', temperature: 2, top_k: 0, top_p: 1, min_p: 0, max_tokens: 80, seed };
    const answer = await chat({ tools, messages: short, ...noise });
    const [choice] = answer.choices;
    assert.equal(choice.finish_reason, 'tool_calls');
    assert.equal(choice.message.content, null);
    assert.equal(choice.message.tool_calls.length, 1);
    isCall(choice.message.tool_calls[0]);
    named.add(choice.message.tool_calls[0].function.name);
    const runner = client.chat.completions.stream({ model: 'random', messages: short, tools, ...noise });
    const streamed = (await runner.finalChatCompletion()).choices[0];
    assert.equal(streamed.finish_reason, 'tool_calls');
    assert.deepEqual(streamed.message.tool_calls.map((c) => [c.function.name, c.function.arguments]),
      choice.message.tool_calls.map((c) => [c.function.name, c.function.arguments]));
  }
  assert.equal(named.size, 2, 'either tool is called');
  const one = await chat({ tools, messages: short, tool_choice: { type: 'function', function: { name: 'now' } }, temperature: 2, max_tokens: 80 });
  assert.equal(one.choices[0].message.tool_calls[0].function.name, 'now');
});

test('tools and what they said are part of the conversation', async () => {
  const tokens = async (more) => (await chat({ max_tokens: 1, ...more })).usage.prompt_tokens;
  const bare = await tokens({});
  assert.ok((await tokens({ tools: few })) > bare + 20, 'the tools are told');
  assert.equal(await tokens({ tools: few, tool_choice: 'none' }), bare);
  const called = [...short, { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'now', arguments: '{}' } }] },
    { role: 'tool', tool_call_id: 'call_1', content: 'It is nine.' }];
  assert.ok((await tokens({ messages: called })) > (await tokens({ messages: short })) + 10);
  const free = await chat({ tools: few, messages: called });
  assert.equal(free.choices[0].finish_reason, 'length');
  assert.equal(textOf(await gather(await chat({ tools: few, messages: called, stream: true }))), free.choices[0].message.content);
});

test('special tokens in a user\'s text stay text', async () => {
  const count = async (content) => (await chat({ messages: [{ role: 'user', content }], max_tokens: 1 })).usage.prompt_tokens;
  const none = await count('');
  assert.ok((await count('<|im_end|>')) - none > 3, 'one id would be the special token');
});

test('every refusal is the client\'s own error with its status, parameter and code', async () => {
  await refused(chat({ temperature: 3 }), 400, { param: 'temperature', code: 'invalid_value' });
  await refused(chat({ n: 1000 }), 400, { param: 'n' });
  await refused(chat({ tools: [{ type: 'function', function: { name: 'no name' } }] }), 400, { param: 'tools', code: 'invalid_value' });
  const strict = { name: 'f', strict: true, parameters: { type: 'object', properties: { a: { not: {} } } } };
  assert.match((await refused(chat({ tools: [{ type: 'function', function: strict }] }), 400, { param: 'tools' })).message, /tools\[0\].*"not" is not held/);
  await refused(chat({ tool_choice: 'required' }), 400, { param: 'tool_choice' });
  await refused(chat({ tools, tool_choice: { type: 'function', function: { name: 'other' } } }), 400, { param: 'tool_choice' });
  await refused(chat({ tools, response_format: { type: 'json_object' } }), 400, { param: 'response_format' });
  await refused(chat({ response_format: { type: 'xml' } }), 400, { param: 'response_format', code: 'invalid_value' });
  const shape = await refused(chat({ response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { not: {} } } } }), 400, { param: 'response_format' });
  assert.match(shape.message, /#: "not" is not held/);
  await refused(chat({ top_logprobs: 3 }), 400, { param: 'top_logprobs' });
  await refused(chat({ logprobs: true, top_logprobs: 21 }), 400, { param: 'top_logprobs' });
  await refused(chat({ messages: [] }), 400, { param: 'messages' });
  await refused(chat({ messages: [{ role: 'user', content: 'word '.repeat(2000) }] }), 400, { code: 'context_length_exceeded', param: 'messages' });
  await refused(chat({ messages: [{ role: 'user', content: 'word '.repeat(2000) }], stream: true }), 400, { code: 'context_length_exceeded' });
  const missing = await refused(chat({ model: 'gpt-5' }), 404, { code: 'model_not_found' });
  assert.ok(missing instanceof OpenAI.NotFoundError);
  await refused(client.post('/embeddings', { body: {} }), 400);
  await refused(client.post('/nowhere', { body: {} }), 404);
});

test('texts become vectors, in base64 or as numbers', async () => {
  const input = ['Once upon a time', 'there was a little mouse'];
  const both = await client.embeddings.create({ model: 'random', input });
  assert.equal(both.data.length, 2);
  assert.equal(both.data[1].index, 1);
  const one = await client.embeddings.create({ model: 'random', input: input[0], encoding_format: 'float' });
  const length = Math.hypot(...one.data[0].embedding);
  assert.ok(Math.abs(length - 1) < 1e-5, `${length}`);
  one.data[0].embedding.forEach((v, i) => assert.ok(Math.abs(v - both.data[0].embedding[i]) < 1e-6));
  assert.ok(both.usage.prompt_tokens > one.usage.prompt_tokens);
  assert.equal((await client.embeddings.create({ model: 'random', input, dimensions: 8 })).data[0].embedding.length, 8);
  await refused(client.embeddings.create({ model: 'random', input: 'word '.repeat(2000) }), 400, { code: 'context_length_exceeded' });
  const ids = await client.embeddings.create({ model: 'random', input: [[5, 6, 7], [8, 9]] });
  assert.equal(ids.usage.prompt_tokens, 5);
  const flat = await client.embeddings.create({ model: 'random', input: [5, 6, 7] });
  assert.deepEqual(flat.data[0].embedding, ids.data[0].embedding);
  assert.notDeepEqual(ids.data[0].embedding, ids.data[1].embedding);
  await refused(client.embeddings.create({ model: 'random', input: [[5, -1]] }), 400, { param: 'input' });
  await refused(client.embeddings.create({ model: 'random', input: [[]] }), 400, { param: 'input' });
});

test('eight streams at once say what each says alone', async () => {
  const ask = (i) => chat({ messages: [{ role: 'user', content: `Story number ${i}` }], seed: i, max_tokens: 48, stream: true }).then(gather).then((c) => textOf(c));
  const alone = [];
  for (let i = 0; i < 8; i++) alone.push(await ask(i));
  const together = await Promise.all(Array.from({ length: 8 }, (_, i) => ask(i)));
  assert.deepEqual(together, alone);
});

test('a stream that is broken off frees its place', async () => {
  for (let i = 0; i < 24; i++) {
    const stream = await chat({ stream: true, max_tokens: 400, seed: i });
    for await (const _ of stream) break;
  }
  const began = performance.now();
  await chat({ max_tokens: 1 });
  assert.ok(performance.now() - began < 2000);
});

test('memory and descriptors stay flat over 500 requests', async () => {
  const round = () => Promise.all(Array.from({ length: 10 }, (_, i) => chat({ max_tokens: 2, stream: i % 2 === 0 }).then((r) => (i % 2 === 0 ? gather(r) : r))));
  for (let i = 0; i < 10; i++) await round();
  await sleep(100);
  const rss = server.rss(), descriptors = server.descriptors();
  for (let i = 0; i < 50; i++) await round();
  await sleep(100);
  assert.ok(server.rss() - rss < 4 << 20, `memory grew by ${server.rss() - rss} bytes`);
  assert.ok(server.descriptors() - descriptors < 12, `descriptors grew by ${server.descriptors() - descriptors}`);
});

test('a key is asked for, and the client\'s error for it is the right one', async () => {
  const locked = await serve('--api-key', 'open sesame');
  const wrong = new OpenAI({ baseURL: locked.base, apiKey: 'wrong', maxRetries: 0 });
  const error = await refused(wrong.models.list(), 401, { code: 'invalid_api_key' });
  assert.ok(error instanceof OpenAI.AuthenticationError);
  const right = new OpenAI({ baseURL: locked.base, apiKey: 'open sesame', maxRetries: 0 });
  assert.equal((await right.models.list()).data.length, 1);
  await locked.stop();
});

test('SIGTERM finishes the streams that are open and ends with 0', async () => {
  const other = await serve();
  const mine = new OpenAI({ baseURL: other.base, apiKey: 'none', maxRetries: 0 });
  const stream = await mine.chat.completions.create({ model: 'random', messages, max_tokens: 300, seed: 3, stream: true });
  const end = other.end('SIGTERM');
  const chunks = await gather(stream);
  assert.ok(chunks.at(-1).choices[0].finish_reason, 'the stream has its end');
  assert.equal((await end).code, 0);
});

test('an answer goes on with what the assistant began', async () => {
  const asked = { temperature: 0, max_tokens: 16, logit_bias: { 0: -100, 1: -100, 2: -100, 3: -100 } };
  const begun = [...messages, { role: 'assistant', content: 'There was' }];
  const on = await chat({ ...asked, messages: begun, continue_final_message: true });
  const turn = await chat({ ...asked, messages: begun });
  assert.notEqual(on.choices[0].message.content, turn.choices[0].message.content);
  assert.equal(on.usage.completion_tokens, 16);
  assert.ok(on.usage.prompt_tokens < turn.usage.prompt_tokens, 'no turn is opened behind it');
  const error = await refused(chat({ continue_final_message: true }), 400, { param: 'continue_final_message' });
  assert.match(error.message, /needs a last message of the assistant/);
  await refused(chat({ continue_final_message: 'yes' }), 400, { param: 'continue_final_message' });
});
