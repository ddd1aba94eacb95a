// Answers that the server keeps, by OpenAI's official client: responses, chains of them, those made in the background, stored chat completions.
import test, { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import OpenAI from 'openai';
import { serve, sleep, higgins } from './served.mjs';

let server, client;
before(async () => {
  server = await serve();
  client = new OpenAI({ baseURL: server.base, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

const ask = (more, by = client) => by.responses.create({ model: 'random', input: 'Tell me a story', seed: 3, max_output_tokens: 24, ...more });
const chat = (more, by = client) => by.chat.completions.create({ model: 'random', seed: 3, max_tokens: 8, messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Tell me a story' }], store: true, ...more });

async function refused(promise, status, { param, code } = {}) {
  const error = await promise.then(() => assert.fail('it was accepted'), (e) => e);
  assert.ok(error instanceof OpenAI.APIError, String(error));
  assert.equal(error.status, status, error.message);
  if (param) assert.equal(error.param, param);
  if (code) assert.equal(error.code, code);
}

// The response once it has ended.
async function ended(id, by = client) {
  for (let i = 0; i < 400; i++) {
    const r = await by.responses.retrieve(id);
    if (!['queued', 'in_progress'].includes(r.status)) return r;
    await sleep(25);
  }
  return assert.fail('it does not end');
}

test('a response is kept as it was told, whole or streamed, until it is deleted', async () => {
  const whole = await ask({ metadata: { a: 'b' } });
  assert.equal(whole.store, true);
  const told = ({ output_text, ...rest }) => rest;
  assert.deepEqual(told(await client.responses.retrieve(whole.id)), JSON.parse(JSON.stringify(told(whole))));
  const final = await client.responses.stream({ model: 'random', input: 'Tell me a story', seed: 3, max_output_tokens: 24 }).finalResponse();
  const again = await client.responses.retrieve(final.id);
  assert.equal(again.output_text, whole.output_text);
  await client.responses.delete(whole.id);
  await refused(client.responses.retrieve(whole.id), 404, { code: 'not_found' });
  await refused(client.responses.delete(whole.id), 404);
});

test('what is not to be stored is not there', async () => {
  const r = await ask({ store: false });
  assert.equal(r.store, false);
  await refused(client.responses.retrieve(r.id), 404);
  await refused(ask({ previous_response_id: r.id }), 400, { param: 'previous_response_id' });
});

test('a chain of responses is the conversation, without the instructions before', async () => {
  const first = await ask({ instructions: 'Be brief.' });
  const second = await ask({ previous_response_id: first.id, input: 'And then?' });
  const third = await ask({ previous_response_id: second.id, input: 'Why?', instructions: 'Be kind.' });
  const told = await ask({ store: false, input: [
    { role: 'developer', content: 'Be kind.' },
    { role: 'user', content: 'Tell me a story' }, { role: 'assistant', content: first.output_text },
    { role: 'user', content: 'And then?' }, { role: 'assistant', content: second.output_text },
    { role: 'user', content: 'Why?' }] });
  assert.equal(third.output_text, told.output_text);
  assert.equal(third.usage.input_tokens, told.usage.input_tokens);
  assert.equal(third.previous_response_id, second.id);
  const { input_tokens } = await client.responses.inputTokens.count({ model: 'random', input: 'Why?', instructions: 'Be kind.', previous_response_id: second.id });
  assert.equal(input_tokens, third.usage.input_tokens);
});

test('a call in a chain is answered by its result alone', async () => {
  const weather = { type: 'function', name: 'weather', strict: true, parameters: { type: 'object', properties: { town: { enum: ['Bonn', 'Rome'] } }, required: ['town'], additionalProperties: false } };
  const first = await ask({ tools: [weather], tool_choice: 'required', max_output_tokens: 200 });
  const call = first.output.find((o) => o.type === 'function_call');
  const output = { type: 'function_call_output', call_id: call.call_id, output: 'sunny' };
  const chained = await ask({ previous_response_id: first.id, tools: [weather], tool_choice: 'none', input: [output] });
  const told = await ask({ tools: [weather], tool_choice: 'none', input: [{ role: 'user', content: 'Tell me a story' }, ...first.output, output] });
  assert.equal(chained.usage.input_tokens, told.usage.input_tokens);
  assert.equal(chained.output_text, told.output_text);
});

test('what was asked is listed, page by page', async () => {
  const r = await ask({ input: [{ role: 'user', content: 'One' }, { role: 'assistant', content: 'Two' }, { role: 'user', content: [{ type: 'input_text', text: 'Three' }] }] });
  const all = [];
  for await (const item of client.responses.inputItems.list(r.id, { limit: 2, order: 'asc' })) all.push(item);
  assert.deepEqual(all.map((i) => i.role), ['user', 'assistant', 'user']);
  assert.equal(new Set(all.map((i) => i.id)).size, 3);
  const page = await client.responses.inputItems.list(r.id, { limit: 1 });
  assert.equal(page.data[0].id, all[2].id);
  assert.equal(page.has_more, true);
  const text = await ask({});
  assert.deepEqual((await client.responses.inputItems.list(text.id)).data[0].content, [{ type: 'input_text', text: 'Tell me a story' }]);
  await refused(client.responses.inputItems.list(r.id, { limit: 0 }), 400, { param: 'limit' });
  await refused(client.responses.inputItems.list(r.id, { order: 'up' }), 400, { param: 'order' });
  await refused(client.responses.inputItems.list(r.id, { after: 'msg_x' }), 404);
  await refused(client.responses.inputItems.list('resp_none'), 404);
});

test('a response in the background is fetched when it is done, and is what would have been told at once', async () => {
  const queued = await ask({ background: true, metadata: { k: 'v' } });
  assert.equal(queued.status, 'queued');
  assert.equal(queued.background, true);
  assert.deepEqual(queued.output, []);
  const r = await ended(queued.id);
  const direct = await ask({});
  assert.equal(r.id, queued.id);
  assert.equal(r.created_at, queued.created_at);
  assert.equal(r.output_text, direct.output_text);
  assert.equal(r.background, true);
  assert.deepEqual(r.metadata, { k: 'v' });
  assert.equal(r.usage.output_tokens, 24);
  await refused(ask({ background: true, model: 'gpt-5' }), 404, { code: 'model_not_found' });
});

test('events in the background are read along, and again from any of them', async () => {
  const live = [];
  for await (const e of await ask({ background: true, stream: true })) live.push(e);
  assert.deepEqual(live.map((e) => e.sequence_number), live.map((_, i) => i));
  assert.deepEqual(live.slice(0, 3).map((e) => e.type), ['response.created', 'response.queued', 'response.in_progress']);
  const last = live.at(-1);
  assert.equal(last.type, `response.${last.response.status}`);
  const { id } = live[0].response;
  assert.deepEqual([...new Set(live.filter((e) => e.response).map((e) => e.response.id))], [id]);
  const again = [];
  for await (const e of await client.responses.retrieve(id, { stream: true, starting_after: 4 })) again.push(e);
  assert.deepEqual(again, live.slice(5));
  const beside = await ask({ background: true, max_output_tokens: 200 });
  const followed = [];
  for await (const e of await client.responses.retrieve(beside.id, { stream: true })) followed.push(e);
  assert.deepEqual(followed.map((e) => e.sequence_number), followed.map((_, i) => i));
  assert.deepEqual(followed.at(-1).response.output, (await client.responses.retrieve(beside.id)).output);
  const direct = await ask({});
  await refused(client.responses.retrieve(direct.id, { stream: true }), 400, { param: 'stream' });
  await refused(client.responses.retrieve(id, { stream: true, starting_after: 'x' }), 400, { param: 'starting_after' });
});

test('a response in the background is ended when it is canceled or deleted', async () => {
  const long = { background: true, max_output_tokens: 400, ignore: 1 };
  const [a, b] = [await ask(long), await ask(long)];
  const canceled = await client.responses.cancel(a.id);
  assert.ok(['cancelled', 'incomplete', 'completed'].includes(canceled.status));
  assert.equal((await client.responses.cancel(a.id)).status, canceled.status);
  assert.equal((await client.responses.retrieve(a.id)).status, canceled.status);
  await client.responses.delete(b.id);
  await sleep(300);
  await refused(client.responses.retrieve(b.id), 404);
  await refused(ask({ previous_response_id: canceled.status === 'cancelled' ? a.id : b.id }), 400, { param: 'previous_response_id' });
  const direct = await ask({});
  await refused(client.responses.cancel(direct.id), 400);
  await refused(client.responses.cancel('resp_none'), 404);
});

test('what does not fit is refused at once, in the background, too', async () => {
  const long = 'word '.repeat(2000);
  await refused(ask({ input: long }), 400, { code: 'context_length_exceeded', param: 'input' });
  await refused(ask({ background: true, input: long }), 400, { code: 'context_length_exceeded', param: 'input' });
  await refused(ask({ background: true, stream: true, input: long }), 400, { code: 'context_length_exceeded', param: 'input' });
  const short = await ask({ max_output_tokens: 200 });
  await refused(ask({ background: true, input: 'word '.repeat(400), previous_response_id: short.id }), 400, { code: 'context_length_exceeded' });
});

test('a stored chat completion is listed, fetched, marked and deleted', async () => {
  const one = await chat({ metadata: { topic: 'cats' } });
  const two = await chat({ metadata: { topic: 'dogs' } });
  await chat({ store: false });
  const all = [];
  for await (const c of client.chat.completions.list({ limit: 1 })) all.push(c.id);
  assert.deepEqual(all, [one.id, two.id]);
  const found = await client.chat.completions.list({ metadata: { topic: 'dogs' }, order: 'desc', model: 'random' });
  assert.deepEqual(found.data.map((c) => c.id), [two.id]);
  assert.deepEqual((await client.chat.completions.list({ model: 'other' })).data, []);
  const again = await client.chat.completions.retrieve(one.id);
  assert.deepEqual(again.choices, one.choices);
  assert.deepEqual(again.metadata, { topic: 'cats' });
  const messages = [];
  for await (const m of client.chat.completions.messages.list(one.id, { limit: 1 })) messages.push(m);
  assert.deepEqual(messages.map((m) => m.content), ['Be brief.', 'Tell me a story']);
  const marked = await client.chat.completions.update(one.id, { metadata: { seen: 'yes' } });
  assert.deepEqual(marked.metadata, { seen: 'yes' });
  assert.deepEqual((await client.chat.completions.retrieve(one.id)).metadata, { seen: 'yes' });
  await refused(client.chat.completions.update(one.id, { metadata: { seen: 1 } }), 400, { param: 'metadata' });
  await refused(client.chat.completions.update(one.id, {}), 400, { param: 'metadata' });
  assert.deepEqual(await client.chat.completions.delete(one.id), { id: one.id, object: 'chat.completion.deleted', deleted: true });
  await refused(client.chat.completions.retrieve(one.id), 404);
  await refused(client.chat.completions.delete(one.id), 404);
  await refused(client.chat.completions.messages.list(one.id), 404);
  await refused(client.chat.completions.list({ after: one.id }), 404);
  await refused(chat({ store: 'yes' }), 400, { param: 'store' });
});

test('a streamed chat completion is kept whole', async () => {
  let text = '', id;
  for await (const part of await chat({ stream: true })) {
    id = part.id;
    text += part.choices[0]?.delta.content ?? '';
  }
  const kept = await client.chat.completions.retrieve(id);
  assert.equal(kept.choices[0].message.content, text);
  assert.equal(kept.usage.completion_tokens, 8);
});

test('what one owner keeps is not there for another', async () => {
  const guarded = await serve('--with-token');
  try {
    const other = execFileSync(higgins, ['token', 'add', 'anna', '--data', guarded.data]).toString().match(/hg_\S+/)?.[0];
    assert.ok(other);
    const [first, anna] = [guarded.token, other].map((apiKey) => new OpenAI({ baseURL: guarded.base, apiKey, maxRetries: 0 }));
    const r = await ask({}, first), later = await ask({ background: true, max_output_tokens: 200 }, first), c = await chat({}, first);
    for (const attempt of [() => anna.responses.retrieve(r.id), () => anna.responses.delete(r.id), () => anna.responses.cancel(later.id), () => anna.responses.inputItems.list(r.id),
      () => anna.chat.completions.retrieve(c.id), () => anna.chat.completions.delete(c.id), () => anna.chat.completions.update(c.id, { metadata: {} })])
      await refused(attempt(), 404);
    await refused(ask({ previous_response_id: r.id }, anna), 400, { code: 'previous_response_not_found' });
    assert.deepEqual((await anna.chat.completions.list()).data, []);
    await first.responses.retrieve(r.id);
    assert.ok(['completed', 'incomplete'].includes((await ended(later.id, first)).status));
  } finally {
    await guarded.stop();
  }
});

test('after kill -9 finished responses are there and unfinished ones failed with a reason', async () => {
  const killed = await serve();
  const by = new OpenAI({ baseURL: killed.base, apiKey: 'none', maxRetries: 0 });
  const done = await ask({}, by);
  const later = [];
  for (let i = 0; i < 12; i++) later.push(await ask({ background: true, max_output_tokens: 450 }, by));
  await killed.again('SIGKILL');
  try {
    const next = new OpenAI({ baseURL: killed.base, apiKey: 'none', maxRetries: 0 });
    assert.deepEqual((await next.responses.retrieve(done.id)).output, done.output);
    const states = await Promise.all(later.map((r) => next.responses.retrieve(r.id)));
    const failed = states.filter((r) => r.status === 'failed');
    assert.ok(failed.length > 0);
    for (const r of failed) assert.match(r.error.message, /restarted/);
    assert.ok(states.every((r) => ['failed', 'completed', 'incomplete'].includes(r.status)));
    for (const r of states) {
      const events = [];
      for await (const e of await next.responses.retrieve(r.id, { stream: true, starting_after: 7 })) events.push(e);
      assert.equal(events.at(-1)?.type, `response.${r.status}`, 'the stream ends, too');
      assert.ok(events.at(-1).sequence_number > 7);
      assert.deepEqual(events.at(-1).response.output, r.output);
    }
    const chained = await next.responses.create({ model: 'random', input: 'And then?', previous_response_id: done.id, max_output_tokens: 4 });
    assert.ok(chained.usage.input_tokens > done.usage.input_tokens);
  } finally {
    await killed.stop();
  }
});
