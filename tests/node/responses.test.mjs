// OpenAI's Responses API by its official client.
import test, { after, before } from 'node:test';
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { serve } from './served.mjs';

let server, client;
before(async () => {
  server = await serve();
  client = new OpenAI({ baseURL: server.base, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

const ask = (more) => client.responses.create({ model: 'random', input: 'Tell me a story', seed: 3, max_output_tokens: 24, ...more });
const weather = { type: 'function', name: 'weather', description: 'of a town', strict: true, parameters: { type: 'object', properties: { town: { enum: ['Bonn', 'Rome'] } }, required: ['town'], additionalProperties: false } };

async function refused(promise, status, { param, code } = {}) {
  const error = await promise.then(() => assert.fail('it was accepted'), (e) => e);
  assert.ok(error instanceof OpenAI.APIError, String(error));
  assert.equal(error.status, status, error.message);
  if (param) assert.equal(error.param, param);
  if (code) assert.equal(error.code, code);
  return error;
}

test('an answer is one message, with what was asked told back', async () => {
  const r = await ask({ instructions: 'Be brief.', metadata: { a: 'b' }, temperature: 0.5 });
  assert.match(r.id, /^resp_[0-9a-f]+$/);
  assert.equal(r.object, 'response');
  assert.equal(r.instructions, 'Be brief.');
  assert.deepEqual(r.metadata, { a: 'b' });
  assert.equal(r.temperature, 0.5);
  assert.deepEqual(r.text, { format: { type: 'text' } });
  assert.equal(r.output.length, 1);
  assert.equal(r.output[0].type, 'message');
  assert.equal(r.output_text, r.output[0].content[0].text);
  assert.equal(r.usage.total_tokens, r.usage.input_tokens + r.usage.output_tokens);
  assert.equal(r.usage.output_tokens, 24);
});

test('an answer that was cut is incomplete and says why', async () => {
  const r = await ask({ max_output_tokens: 3 });
  assert.equal(r.status, 'incomplete');
  assert.deepEqual(r.incomplete_details, { reason: 'max_output_tokens' });
  assert.equal(r.output[0].status, 'incomplete');
});

test('instructions and a message of the system are the same conversation', async () => {
  const a = await ask({ instructions: 'Be brief.' });
  const b = await ask({ input: [{ role: 'developer', content: 'Be brief.' }, { role: 'user', content: [{ type: 'input_text', text: 'Tell me ' }, { type: 'input_text', text: 'a story' }] }] });
  assert.equal(a.output_text, b.output_text);
  const chat = await client.chat.completions.create({ model: 'random', seed: 3, max_tokens: 24, messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Tell me a story' }] });
  assert.equal(a.output_text, chat.choices[0].message.content);
});

test('the events are those of an answer, in order, and the helper puts them together', async () => {
  const whole = await ask();
  const stream = client.responses.stream({ model: 'random', input: 'Tell me a story', seed: 3, max_output_tokens: 24 });
  const events = [];
  stream.on('event', (e) => events.push(e));
  const final = await stream.finalResponse();
  assert.equal(final.output_text, whole.output_text);
  assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
  const kinds = events.map((e) => e.type).filter((t, i, all) => t !== all[i - 1]);
  assert.deepEqual(kinds, ['response.created', 'response.in_progress', 'response.output_item.added', 'response.content_part.added', 'response.output_text.delta', 'response.output_text.done', 'response.content_part.done', 'response.output_item.done', whole.status === 'incomplete' ? 'response.incomplete' : 'response.completed']);
  assert.equal(events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join(''), final.output_text);
  const items = new Set(events.filter((e) => e.item_id).map((e) => e.item_id));
  assert.deepEqual([...items], [final.output[0].id]);
});

test('a tool that must be called is called, whole and streamed, and its result is taken', async () => {
  const input = [{ role: 'user', content: 'How is the weather in Bonn?' }];
  const r = await ask({ input, tools: [weather], tool_choice: 'required', max_output_tokens: 200 });
  const call = r.output.find((o) => o.type === 'function_call');
  assert.equal(call.name, 'weather');
  assert.ok(['Bonn', 'Rome'].includes(JSON.parse(call.arguments).town));
  assert.match(call.call_id, /^call_/);
  const stream = client.responses.stream({ model: 'random', seed: 3, max_output_tokens: 200, input, tools: [weather], tool_choice: { type: 'function', name: 'weather' } });
  const final = await stream.finalResponse();
  assert.equal(final.output[0].arguments, call.arguments);
  const next = await ask({ input: [...input, call, { type: 'function_call_output', call_id: call.call_id, output: 'sunny' }], tools: [weather], tool_choice: 'none' });
  assert.equal(next.output[0].type, 'message');
  assert.ok(next.usage.input_tokens > 0);
});

test('an answer in a form is held to it', async () => {
  const format = { type: 'json_schema', name: 'n', schema: { type: 'object', properties: { n: { type: 'integer', minimum: 0, maximum: 9 } }, required: ['n'], additionalProperties: false } };
  const r = await ask({ text: { format }, max_output_tokens: 60 });
  const n = JSON.parse(r.output_text).n;
  assert.ok(Number.isInteger(n) && n >= 0 && n <= 9);
});

test('tokens of an input are counted', async () => {
  const { input_tokens } = await client.responses.inputTokens.count({ model: 'random', input: 'Tell me a story' });
  const r = await ask();
  assert.equal(input_tokens, r.usage.input_tokens);
});

test('what cannot be done is refused by name', async () => {
  await refused(ask({ model: 'gpt-5' }), 404, { code: 'model_not_found' });
  await refused(ask({ input: [] }), 400, { param: 'input' });
  await refused(ask({ instructions: 'x', input: [{ type: 'reasoning', id: 'x', summary: [] }] }), 400, { param: 'input' });
  await refused(ask({ input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] }), 400, { param: 'input[0].content' });
  await refused(ask({ input: [{ type: 'item_reference', id: 'x' }] }), 400, { param: 'input[0].type' });
  await refused(ask({ previous_response_id: 'resp_1' }), 400, { param: 'previous_response_id', code: 'previous_response_not_found' });
  await refused(ask({ background: true, store: false }), 400, { param: 'background' });
  await refused(ask({ background: 'yes' }), 400, { param: 'background' });
  await refused(ask({ metadata: { a: 1 } }), 400, { param: 'metadata' });
  await refused(ask({ truncation: 'auto' }), 400, { param: 'truncation' });
  await refused(ask({ include: ['message.output_text.logprobs'] }), 400, { param: 'include' });
  await refused(ask({ tools: [{ type: 'web_search' }] }), 400, { param: 'tools' });
  await refused(ask({ max_output_tokens: 0 }), 400, { param: 'max_output_tokens' });
  await refused(ask({ text: { format: { type: 'json_schema', name: 'n', schema: { not: {} } } } }), 400, { param: 'text.format' });
  await refused(ask({ input: 'word '.repeat(2000) }), 400, { param: 'input', code: 'context_length_exceeded' });
  await refused(ask({ input: 'word '.repeat(2000), stream: true }), 400, { code: 'context_length_exceeded' });
});
