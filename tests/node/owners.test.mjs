// Two tokens on one server: what one has asked shows in nothing that the other gets.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { serve } from './served.mjs';

let server, one, other;
before(async () => {
  server = await serve('--with-token', '--parallel', '2');
  one = new OpenAI({ baseURL: server.base, apiKey: server.token, maxRetries: 0 });
  other = new OpenAI({ baseURL: server.base, apiKey: server.makeToken('other'), maxRetries: 0 });
});
after(() => server.stop());

const prompt = `The password is canary-${'word '.repeat(60)}`;
const ask = (client, more = {}) => client.completions.create({ model: 'random', prompt, max_tokens: 2, seed: 1, ...more });
const cached = (answer) => answer.usage.prompt_tokens_details?.cached_tokens ?? 0;

test('what was read for one is read again for the other', async () => {
  const first = await ask(one);
  assert.equal(cached(first), 0);
  const again = await ask(one);
  assert.ok(cached(again) > 50, `${cached(again)}`);
  const foreign = await ask(other);
  assert.equal(cached(foreign), 0);
  assert.equal(foreign.choices[0].text, first.choices[0].text);
});

test('answers to both at once hold nothing of the other', async () => {
  const said = await Promise.all(Array.from({ length: 12 }, (_, i) => ask(i % 2 ? one : other, { prompt: `${i % 2 ? 'odd' : 'even'} words here`, max_tokens: 24, seed: i })));
  const alone = [];
  for (let i = 0; i < 12; i++) alone.push(await ask(i % 2 ? one : other, { prompt: `${i % 2 ? 'odd' : 'even'} words here`, max_tokens: 24, seed: i }));
  assert.deepEqual(said.map((a) => a.choices[0].text), alone.map((a) => a.choices[0].text));
});

test('one who asks for much does not keep the other waiting', async () => {
  const many = Array.from({ length: 40 }, (_, i) => ask(one, { max_tokens: 60, seed: i }));
  await new Promise((resolve) => setTimeout(resolve, 30));
  let ended = 0;
  for (const m of many) m.then(() => { ended++; }, () => { ended++; });
  await ask(other, { max_tokens: 60 });
  assert.ok(ended < 40, 'the other did not come last');
  await Promise.allSettled(many);
});
