// Replicate's official client against `higgins serve`: predictions by model, version and deployment, waited for, polled, streamed, told to
// webhooks; what is read of models; what outlives a kill.
import test, { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import Replicate, { parseProgressFromLogs, validateWebhook } from 'replicate';
import { serve, sleep } from './served.mjs';

let server, replicate, hooks;
const calls = []; // what the webhooks' receiver got
const model = 'local/random', eliza = 'weizenbaum/eliza';

before(async () => {
  server = await serve('--allow-private-urls');
  replicate = new Replicate({ auth: 'none', baseUrl: server.base });
  hooks = createServer((request, response) => {
    let body = '';
    request.on('data', (d) => { body += d; });
    request.on('end', () => {
      calls.push({ url: request.url, headers: request.headers, body });
      response.statusCode = request.url.startsWith('/fails') && calls.filter((c) => c.url === request.url).length < 3 ? 500 : 200;
      if (request.url !== '/hangs') response.end();
    });
  });
  await new Promise((resolve) => hooks.listen(0, '::', resolve));
});
after(async () => {
  hooks.closeAllConnections();
  hooks.close();
  await server.stop();
});

const create = (input, more = {}) => replicate.predictions.create({ model, input, ...more });
const get = (path, options) => fetch(`${server.base}${path}`, options);
const post = (path, body, headers = {}) => get(path, { method: 'POST', body: JSON.stringify(body), headers });
async function ended(p) {
  for (let i = 0; i < 400; i++) {
    const now = await replicate.predictions.get(p.id);
    if (!['starting', 'processing'].includes(now.status)) return now;
    await sleep(25);
  }
  throw new Error('it never ends');
}

test('a model is run by its name, and gives its output in pieces', async () => {
  const output = await replicate.run(model, { input: { prompt: 'Once upon a time', max_tokens: 12, seed: 7 } });
  assert.ok(Array.isArray(output) && output.length > 1);
  const again = await replicate.run(model, { input: { prompt: 'Once upon a time', max_tokens: 12, seed: 7 } });
  assert.deepEqual(again, output);
  const other = await replicate.run(model, { input: { prompt: 'Once upon a time', max_tokens: 12, seed: 8 } });
  assert.notDeepEqual(other, output);
});

test('a model is run by its version, and by polling', async () => {
  const { latest_version: v } = await replicate.models.get('local', 'random');
  assert.match(v.id, /^[0-9a-f]{64}$/);
  const input = { prompt: 'The mouse', max_tokens: 6, temperature: 0 };
  const output = await replicate.run(`${model}:${v.id}`, { input, wait: { mode: 'poll', interval: 20 } });
  assert.deepEqual(await replicate.run(model, { input }), output);
  assert.equal((await ended(await replicate.predictions.create({ version: v.id, input }))).output.join(''), output.join(''));
  const refused = await post('/predictions', { version: '0'.repeat(64), input });
  assert.equal(refused.status, 422);
  assert.match((await refused.json()).detail, /Invalid version or not permitted/);
});

test('ELIZA is there without weights', async () => {
  const said = (await replicate.run(eliza, { input: { prompt: 'My mother takes care of me.' } })).join('');
  assert.match(said, /FAMILY|MOTHER/i);
});

test('a stream says what the prediction says, from the start, also afterwards and from a place', async () => {
  const input = { prompt: 'A long story', max_tokens: 24, seed: 3 };
  const events = [];
  for await (const e of replicate.stream(model, { input })) events.push(e);
  assert.equal(events.at(-1).event, 'done');
  const said = events.filter((e) => e.event === 'output').map((e) => e.data).join('');
  const p = await ended(await create(input));
  assert.equal(said, p.output.join('').replaceAll('\r', '\n'));
  const late = await (await fetch(p.urls.stream, { headers: { Accept: 'text/event-stream' } })).text();
  const blocks = late.trim().split('\n\n').map((b) => Object.fromEntries(b.split('\n').filter((l) => !l.startsWith(':')).map((l) => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 2)])));
  assert.ok(blocks.every((b) => /^\d+:\d+$/.test(b.id)), 'every event has an id');
  assert.equal(new Set(blocks.map((b) => b.id)).size, blocks.length);
  assert.deepEqual(new Set(blocks.map((b) => b.event)), new Set(['logs', 'output', 'done']));
  const rest = await (await fetch(p.urls.stream, { headers: { 'Last-Event-ID': blocks[2].id } })).text();
  assert.ok(rest.startsWith(`event: ${blocks[3].event}\nid: ${blocks[3].id}\n`), rest.slice(0, 80));
  assert.equal((await get(`/streams/${'a'.repeat(52)}`)).status, 404);
});

test('whoever waits in vain is told to ask again', async () => {
  const began = Date.now();
  const reply = await post(`/models/${model}/predictions`, { input: { prompt: 'x', max_tokens: 100000, min_tokens: 50000 } }, { Prefer: 'wait=1' });
  assert.equal(reply.status, 201);
  assert.equal(reply.headers.get('preference-applied'), 'wait');
  const p = await reply.json();
  assert.ok(Date.now() - began < 1100, `${Date.now() - began} ms`);
  if (p.status === 'starting') {
    assert.equal(p.output, null);
    assert.equal(p.started_at, null);
    const now = await replicate.predictions.cancel(p.id);
    assert.equal(now.id, p.id);
    assert.equal((await ended(p)).status, 'canceled');
  } else {
    assert.equal(p.status, 'succeeded'); // the context is full within a second
  }
  const fast = await post(`/models/${eliza}/predictions`, { input: { prompt: 'Hello' } }, { Prefer: 'wait' });
  const done = await fast.json();
  assert.equal(done.status, 'succeeded');
  assert.ok(done.completed_at >= done.started_at && done.started_at >= done.created_at);
  assert.equal(done.metrics.output_token_count, done.output.length);
});

test('cancel ends it, twice is once, and its stream ends with a reason', async () => {
  const p = await create({ prompt: 'x', max_tokens: 100000 });
  const stream = fetch(p.urls.stream).then((r) => r.text());
  await replicate.predictions.cancel(p.id);
  const now = await ended(p);
  if (now.status !== 'succeeded') {
    assert.equal(now.status, 'canceled');
    assert.match(await stream, /event: done\nid: \d+:\d+\ndata: \{"reason": "canceled"\}\n\n$/);
  }
  assert.equal((await replicate.predictions.cancel(p.id)).status, now.status);
});

test('input is held against the schema, line by line', async () => {
  const reply = await post(`/models/${model}/predictions`, { input: { temperature: 9, top_k: 1.5, seed: 'x', nobody_knows: 1 } });
  assert.equal(reply.status, 422);
  assert.equal(reply.headers.get('content-type'), 'application/problem+json');
  const body = await reply.json();
  assert.equal(body.title, 'Input validation failed');
  assert.deepEqual(body.detail.split('\n'), [
    '- input.prompt: is required',
    '- input.temperature: Must be less than or equal to 5',
    '- input.top_k: Invalid type. Expected: integer',
    '- input.seed: Invalid type. Expected: integer',
  ]);
  assert.equal(body.invalid_fields[1].field, 'input.temperature');
  await assert.rejects(create({ prompt: 5 }), /422/);
  await assert.rejects(replicate.predictions.create({ model: 'no/body', input: { prompt: 'x' } }), /404/);
  assert.equal((await get('/predictions/nothing')).status, 404);
  assert.equal((await post(`/models/${model}/predictions`, { input: { prompt: 'x' } }, { 'Cancel-After': 'soon' })).status, 422);
  const long = await ended(await create({ prompt: 'word '.repeat(3000) }));
  assert.equal(long.status, 'failed');
  assert.match(long.error, /context/);
});

test('every input acts', async () => {
  const base = { prompt: 'Some words', max_tokens: 16, temperature: 1, top_k: 0, top_p: 1, seed: 5 };
  const said = (more) => replicate.run(model, { input: { ...base, ...more } }).then((o) => o.join(''));
  const plain = await said({});
  assert.notEqual(await said({ system_prompt: 'Be brief.' }), plain);
  assert.notEqual(await said({ prompt_template: '{system_prompt}: {prompt}' }), plain);
  assert.notEqual(await said({ repetition_penalty: 5 }), plain);
  assert.notEqual(await said({ frequency_penalty: 2, temperature: 0 }), await said({ temperature: 0 }));
  assert.notEqual(await said({ presence_penalty: 2, temperature: 0 }), await said({ temperature: 0 }));
  assert.equal(await said({ top_k: 1 }), await said({ temperature: 0 }));
  assert.equal(await said({ top_p: 1e-6 }), await said({ temperature: 0 }));
  assert.equal(await said({ min_p: 1 }), await said({ temperature: 0 }));
  const cut = [...plain].slice(4, 6).join('');
  assert.equal(await said({ stop_sequences: `nothing of that,${cut}` }), plain.slice(0, plain.indexOf(cut)));
  const old = await ended(await create({ prompt: 'x', max_new_tokens: 3, min_new_tokens: 3 }));
  assert.equal(old.metrics.output_token_count, 3);
});

test('predictions are listed, newest first, and deleted', async () => {
  const p = await ended(await create({ prompt: 'to be deleted', max_tokens: 2 }));
  const page = await replicate.predictions.list();
  assert.equal(page.results[0].id, p.id);
  assert.equal(page.previous, null);
  const times = page.results.map((r) => r.created_at);
  assert.deepEqual(times, [...times].sort().reverse());
  const later = await get(`/predictions?created_after=${encodeURIComponent(new Date(Date.now() + 60000).toISOString())}`);
  assert.deepEqual((await later.json()).results, []);
  assert.equal((await get(`/predictions/${p.id}`, { method: 'DELETE' })).status, 204);
  assert.equal((await get(`/predictions/${p.id}`)).status, 404);
  const many = Array.from({ length: 103 }, (_, i) => replicate.predictions.create({ model: eliza, input: { prompt: `${i}` } }));
  await Promise.all(many);
  let n = 0;
  for await (const batch of replicate.paginate(replicate.predictions.list)) n += batch.length;
  assert.ok(n >= 103, `${n}`);
});

test('webhooks come signed, and the last one until it has arrived', async () => {
  const url = (path) => `http://127.0.0.1:${hooks.address().port}${path}`;
  const p = await ended(await create({ prompt: 'x', max_tokens: 4 }, { webhook: url('/all') }));
  await ended(await create({ prompt: 'x', max_tokens: 4 }, { webhook: url('/hangs').replace('127.0.0.1', 'localhost'), webhook_events_filter: ['completed'] }));
  const failing = await create({ prompt: 'x', max_tokens: 4 }, { webhook: url('/fails'), webhook_events_filter: ['completed'] });
  for (let i = 0; i < 300 && !(calls.some((c) => c.url === '/all' && JSON.parse(c.body).status === 'succeeded')); i++) await sleep(50);
  const done = calls.filter((c) => c.url === '/all').at(-1);
  assert.equal(JSON.parse(done.body).id, p.id);
  assert.deepEqual(JSON.parse(done.body).output, p.output);
  const { key } = await replicate.webhooks.default.secret.get();
  assert.match(key, /^whsec_[A-Za-z0-9+/]{32}$/);
  const h = done.headers;
  const valid = (body) => validateWebhook({ id: h['webhook-id'], timestamp: h['webhook-timestamp'], signature: h['webhook-signature'], body, secret: key });
  assert.equal(await valid(done.body), true);
  assert.equal(await valid(`${done.body} `), false);
  for (let i = 0; i < 300 && calls.filter((c) => c.url === '/fails').length < 3; i++) await sleep(50);
  const tries = calls.filter((c) => c.url === '/fails');
  assert.equal(tries.length, 3);
  assert.equal(new Set(tries.map((c) => c.headers['webhook-id'])).size, 1);
  assert.equal(JSON.parse(tries[0].body).id, failing.id);
  assert.equal((await post(`/models/${model}/predictions`, { input: { prompt: 'x' }, webhook: 'ftp://x/' })).status, 422);
});

test('models tell what clients read of them', async () => {
  const m = await replicate.models.get('weizenbaum', 'eliza');
  assert.equal(m.owner, 'weizenbaum');
  const { Input, Output } = m.latest_version.openapi_schema.components.schemas;
  assert.deepEqual(Input.required, ['prompt']);
  assert.equal(Input.properties.prompt['x-order'], 0);
  assert.equal(Input.properties.temperature.maximum, 5);
  assert.equal(Output['x-cog-array-type'], 'iterator');
  assert.match(m.latest_version.cog_version, /^\d+\.\d+\.\d+$/);
  const versions = await replicate.models.versions.list('local', 'random');
  const [v] = versions.results ?? versions;
  assert.equal((await replicate.models.versions.get('local', 'random', v.id)).id, v.id);
  assert.ok((await replicate.models.list()).results.some((r) => r.name === 'random'));
  assert.deepEqual((await replicate.models.search('eliza')).results.map((r) => r.name), ['eliza']);
  const bare = await get('/models', { method: 'QUERY', body: 'eliza', headers: { 'Content-Type': 'text/plain', 'User-Agent': 'replicate-python/1.0' } });
  assert.deepEqual((await bare.json()).results.map((r) => r.name), ['eliza']);
  const found = await (await get('/search?query=eliza')).json();
  assert.equal(found.models[0].model.name, 'eliza');
  assert.deepEqual(await replicate.hardware.list(), [{ sku: 'cpu', name: 'CPU' }]);
  assert.equal((await replicate.accounts.current()).type, 'user');
  const all = await replicate.collections.list();
  assert.ok(all.results.every((c) => c.description));
  assert.ok((await replicate.collections.get('language-models')).models.length > 0);
  await assert.rejects(replicate.collections.get('nothing'), /404/);
});

test('the same paths still answer the other clients', async () => {
  const list = await (await get('/models')).json();
  assert.equal(list.object, 'list');
  assert.equal((await (await get('/models/random')).json()).object, 'model');
  const gemini = await (await get('/models/random', { headers: { 'x-goog-api-key': 'x' } })).json();
  assert.equal(gemini.name, 'models/random');
});

test('models are made for what is to be trained, changed and taken away', async () => {
  const made = await replicate.models.create('me', 'mine', { visibility: 'private', hardware: 'cpu', description: 'to come' });
  assert.equal(made.latest_version, null);
  assert.equal((await replicate.models.get('me', 'mine')).description, 'to come');
  await assert.rejects(replicate.models.create('me', 'mine', { visibility: 'private', hardware: 'cpu' }), /409/);
  await assert.rejects(replicate.models.create('me', 'Capital', { visibility: 'private', hardware: 'cpu' }), /422/);
  const patched = await get('/models/me/mine', { method: 'PATCH', body: JSON.stringify({ description: 'new' }) });
  assert.equal((await patched.json()).description, 'new');
  assert.equal((await get('/models/me/mine', { method: 'DELETE' })).status, 204);
  await assert.rejects(replicate.models.get('me', 'mine'), /404/);
  assert.equal((await get('/models/local/random', { method: 'DELETE' })).status, 403);
});

test('deployments count their releases and answer', async () => {
  const { latest_version: v } = await replicate.models.get('local', 'random');
  const made = await replicate.deployments.create({ name: 'live', model, version: v.id, hardware: 'cpu', min_instances: 0, max_instances: 2 });
  assert.equal(made.current_release.number, 1);
  const owner = made.owner;
  const p = await ended(await replicate.deployments.predictions.create(owner, 'live', { input: { prompt: 'x', max_tokens: 3 } }));
  assert.equal(p.status, 'succeeded');
  assert.equal(p.deployment, `${owner}/live`);
  assert.equal((await replicate.deployments.update(owner, 'live', { max_instances: 3 })).current_release.number, 2);
  assert.equal((await replicate.deployments.list()).results.length, 1);
  await assert.rejects(replicate.deployments.update(owner, 'live', { hardware: 'gpu' }), /422/);
  assert.equal(await replicate.deployments.delete(owner, 'live'), true);
  await assert.rejects(replicate.deployments.get(owner, 'live'), /404/);
});

const lines = (n, answer) => Array.from({ length: n }, (_, i) => JSON.stringify({ prompt: `What is ${i % 5}?`, completion: answer })).join('\n');
const dataUri = (text) => `data:application/jsonl;base64,${Buffer.from(text).toString('base64')}`;
async function trained(t) {
  for (let i = 0; i < 1200; i++) {
    const now = await replicate.trainings.get(t.id);
    if (['succeeded', 'failed', 'canceled'].includes(now.status)) return now;
    await sleep(100);
  }
  throw new Error('it never ends');
}

test('a training makes a version that runs, and webhooks hear of it', async () => {
  const { latest_version: v } = await replicate.models.get('local', 'random');
  const input = { train_data: dataUri(lines(12, 'It is a number, my dear.')), max_steps: 6, train_batch_size: 2, learning_rate: 0.01, lora_rank: 4, lora_target_modules: 'q_proj,v_proj', seed: 1 };
  const start = (destination, more = {}, hook) => replicate.trainings.create('local', 'random', v.id, { destination, input: { ...input, ...more }, ...hook });
  await assert.rejects(start('me/tuned'), /404.*destination does not exist/s);
  await replicate.models.create('me', 'tuned', { visibility: 'private', hardware: 'cpu' });
  await assert.rejects(start('me/tuned', { learning_rate: 7 }), /422.*input.learning_rate: Must be/s);
  await assert.rejects(start('me/tuned', { train_data: undefined }), /422.*input.train_data: is required/s);
  await assert.rejects(replicate.trainings.create('local', 'random', '0'.repeat(64), { destination: 'me/tuned', input }), /404/);
  const webhook = `http://127.0.0.1:${hooks.address().port}/training`;
  const made = await start('me/tuned', {}, { webhook, webhook_events_filter: ['start', 'completed'] });
  assert.equal(made.model, model);
  assert.equal(made.version, v.id);
  assert.equal(made.output, null);
  const done = await trained(made);
  assert.equal(done.status, 'succeeded', done.error);
  assert.match(done.output.version, /^me\/tuned:[0-9a-f]{64}$/);
  assert.equal(parseProgressFromLogs(done.logs).percentage, 1);
  assert.equal(parseProgressFromLogs(done.logs).total, 6);
  const first = await replicate.models.get('me', 'tuned');
  assert.equal(`me/tuned:${first.latest_version.id}`, done.output.version);
  const ask = { prompt: 'What is 3?', max_tokens: 8, temperature: 0 };
  const said = await replicate.run(done.output.version, { input: ask });
  assert.deepEqual(await replicate.run('me/tuned', { input: ask }), said);
  assert.equal((await replicate.predictions.list()).results[0].model, 'me/tuned');
  // A second one becomes the newest; the first stays.
  const file = await replicate.files.create(Buffer.from(lines(12, 'Nobody knows.')), { filename: 'x.jsonl' });
  const again = await trained(await start('me/tuned', { train_data: file.urls.get, seed: 2 }));
  assert.equal(again.status, 'succeeded', again.error);
  const versions = await get('/models/me/tuned/versions').then((r) => r.json());
  assert.deepEqual(versions.results.map((r) => `me/tuned:${r.id}`), [again.output.version, done.output.version]);
  assert.deepEqual(await replicate.run(done.output.version, { input: ask }), said);
  assert.equal((await replicate.trainings.list()).results[0].id, again.id);
  for (let i = 0; i < 100 && calls.filter((c) => c.url === '/training').length < 2; i++) await sleep(50);
  assert.deepEqual(calls.filter((c) => c.url === '/training').map((c) => JSON.parse(c.body).status), ['processing', 'succeeded']);
  assert.equal((await replicate.models.list()).results.filter((r) => r.name.includes(':')).length, 0);
});

test('trainings are stopped, and say which line is wrong', async () => {
  const { latest_version: v } = await replicate.models.get('local', 'random');
  const start = (input) => replicate.trainings.create('local', 'random', v.id, { destination: 'me/tuned', input });
  const bad = await trained(await start({ train_data: dataUri(`${lines(3, 'x')}\n{"nothing": 1}`) }));
  assert.equal(bad.status, 'failed');
  assert.match(bad.error, /line 4/);
  const train_data = dataUri(lines(50, 'It is a number.'));
  const wrong = [
    [{ train_eval_split: 0.3 }, 'train_eval_split: Must be a number from 0.5 to 1'],
    [{ train_batch_size: 32, gradient_accumulation_steps: 16 }, 'gradient_accumulation_steps: Times train_batch_size it may be 256 at the most'],
    [{ num_train_epochs: 0.001 }, 'num_train_epochs: Must be a number from 0.01 to 1000'],
    [{ lora_target_modules: 'q_proj,x_proj' }, 'lora_target_modules: Must be some of q_proj'],
    [{ lora_target_modules: `${'q_proj,'.repeat(40)}x` }, 'lora_target_modules: Must be some of q_proj'],
  ];
  for (const [more, says] of wrong) {
    await assert.rejects(start({ train_data, ...more }), (e) => {
      assert.equal(e.response.status, 422, says);
      assert.ok(e.message.includes(`- input.${says}`), e.message);
      return true;
    });
  }
  const long = await start({ train_data, num_train_epochs: 500, lora_target_modules: ` v_proj , ${'q_proj,'.repeat(40)}o` });
  await replicate.trainings.cancel(long.id);
  assert.equal((await trained(long)).status, 'canceled');
  assert.equal((await replicate.trainings.cancel(long.id)).status, 'canceled');
  assert.equal((await get('/models/me/tuned', { method: 'DELETE' })).status, 204);
  await assert.rejects(replicate.models.get('me', 'tuned'), /404/);
  await assert.rejects(create({ prompt: 'x' }, { model: 'me/tuned' }), /404/);
  const left = await (await get('/models')).json();
  assert.deepEqual(left.data.filter((m) => m.id.startsWith('me/')), []);
});

test('each protocol is found once more under its own name', async () => {
  const mounted = new Replicate({ auth: 'none', baseUrl: `${server.url}/replicate/v1` });
  assert.ok((await mounted.run(eliza, { input: { prompt: 'Hello' } })).join('').length > 0);
  assert.ok((await mounted.models.list()).results.length > 0);
  assert.equal((await fetch(`${server.url}/replicate/v1/models`)).status, 200);
  assert.ok(Array.isArray((await (await fetch(`${server.url}/replicate/v1/models`)).json()).results));
  assert.equal((await (await fetch(`${server.url}/openai/v1/models`)).json()).object, 'list');
  assert.equal((await (await fetch(`${server.url}/anthropic/v1/models`)).json()).data[0].type, 'model');
  assert.equal((await (await fetch(`${server.url}/gemini/v1beta/models`)).json()).models[0].name, 'models/random');
  assert.equal((await fetch(`${server.url}/openai/v1/messages`, { method: 'POST', body: '{}' })).status, 404);
  assert.equal((await fetch(`${server.url}/nobody/v1/models`)).status, 404);
});

// A server of its own, what is made on it, and what its webhooks hear.
async function lone(name) {
  const own = await serve('--parallel', '1', '--allow-private-urls');
  const url = `http://127.0.0.1:${hooks.address().port}/${name}`;
  const at = (p) => fetch(`${own.base}/predictions/${p.id}`).then((r) => r.json());
  return {
    own, at,
    create: (input, kind, headers = {}) =>
      fetch(`${own.base}/models/local/random/predictions`, {
        method: 'POST', headers, body: JSON.stringify({ input, webhook: `${url}/${kind}`, webhook_events_filter: ['completed'] }),
      }).then((r) => r.json()),
    until: async (p, ok) => {
      for (let i = 0; i < 2000; i++) {
        const now = await at(p);
        if (ok(now)) return now;
        await sleep(5);
      }
      throw new Error('it never comes');
    },
    heard: (kind) => calls.filter((c) => c.url === `/${name}/${kind}`).map((c) => JSON.parse(c.body)),
  };
}
const hasEnded = (p) => !['starting', 'processing'].includes(p.status);
const long = { prompt: 'two', min_tokens: 50000, max_tokens: 100000 };

test('a kill loses nothing that has ended; what waited is done', async () => {
  const { own, at, create, until, heard } = await lone('waiting');
  try {
    const first = await create({ prompt: 'one', max_tokens: 3, seed: 1 }, 'first');
    const done = await until(first, hasEnded);
    await until(first, () => heard('first').length > 0);
    for (let i = 0; i < 20; i++) await create(long, 'long');
    const waiting = [];
    for (let i = 0; i < 6; i++) waiting.push(await create({ prompt: 'three', max_tokens: 20 }, 'short', i % 2 ? { 'Cancel-After': '5m' } : {}));
    const late = await create({ prompt: 'three' }, 'late', { 'Cancel-After': '5s' });
    assert.equal((await at(late)).output, null);
    await own.end('SIGKILL');
    await sleep(5000);
    await own.again('SIGKILL');
    const { urls: a, ...before } = done, { urls: b, ...kept } = await at(first);
    assert.deepEqual(kept, before);
    assert.equal((await until(late, hasEnded)).status, 'aborted');
    for (const p of waiting) assert.equal((await until(p, hasEnded)).status, 'succeeded');
    await until(first, () => heard('long').length >= 20 && heard('short').length >= 6 && heard('late').length > 0);
    assert.deepEqual(heard('short').map((p) => p.id).sort(), waiting.map((p) => p.id).sort());
    assert.deepEqual([...new Set(heard('short').map((p) => p.status))], ['succeeded']);
    assert.ok(heard('long').every((p) => ['succeeded', 'failed'].includes(p.status))); // one may have said something
    assert.deepEqual([heard('first'), heard('late')].map((l) => l.map((p) => p.status)), [['succeeded'], ['aborted']]);
    const stream = await (await fetch(b.stream.replace(/^http:\/\/[^/]+/, own.url))).text();
    assert.match(stream, /event: done\nid: \d+:\d+\ndata: \{\}\n\n$/);
  } finally {
    await own.stop();
  }
});

test('what had said something when it was killed has failed, and its webhook hears so', async () => {
  const { own, at, create, until, heard } = await lone('cut');
  try {
    let cut, n = 0;
    do { // it may end before it is killed
      const p = await create(long, 'it');
      await until(p, (now) => now.output !== null);
      own.signal('SIGSTOP');
      await sleep(1100); // what runs is kept each second
      own.signal('SIGCONT');
      await sleep(40);
      await own.again('SIGKILL');
      cut = await at(p);
    } while (cut.status === 'succeeded' && ++n < 5);
    assert.equal(cut.status, 'failed');
    assert.match(cut.error, /the server was ended while the prediction ran/);
    assert.ok(cut.output.length > 0);
    await until(cut, () => heard('it').some((p) => p.id === cut.id));
    assert.deepEqual(heard('it').filter((p) => p.id === cut.id).map((p) => p.status), ['failed']);
  } finally {
    await own.stop();
  }
});

test('private models are their owner\'s, and nobody trains into, changes or deletes what is another\'s', async () => {
  const own = await serve('--with-token');
  try {
    const alice = own.token, bob = own.makeToken('bob');
    const as = (key) => async (method, path, body) => {
      const r = await fetch(`${own.base}${path}`, { method, headers: { authorization: `Bearer ${key}` }, body: body && JSON.stringify(body) });
      return { status: r.status, body: await r.text().then((t) => (t ? JSON.parse(t) : null)) };
    };
    const a = as(alice), b = as(bob);
    for (const [name, visibility] of [['priv', 'private'], ['pub', 'public']])
      assert.equal((await a('POST', '/models', { owner: 'alice', name, visibility, hardware: 'cpu' })).status, 201);
    const { latest_version: v } = (await a('GET', '/models/local/random')).body;
    const train = (who, name, seed) => who('POST', `/models/local/random/versions/${v.id}/trainings`,
      { destination: `alice/${name}`, input: { train_data: dataUri(lines(8, 'It is a number.')), max_steps: 1, seed } });
    const done = async (t) => {
      assert.equal(t.status, 201, JSON.stringify(t.body));
      for (let i = 0; i < 600; i++) {
        const now = (await a('GET', `/trainings/${t.body.id}`)).body;
        if (!['starting', 'processing'].includes(now.status)) return now;
        await sleep(50);
      }
      throw new Error('it never ends');
    };
    assert.equal((await train(b, 'pub', 1)).status, 404);
    const priv = await done(await train(a, 'priv', 3)), pub = await done(await train(a, 'pub', 1)), newer = await done(await train(a, 'pub', 2));
    assert.deepEqual([priv, pub, newer].map((t) => t.status), ['succeeded', 'succeeded', 'succeeded']);
    // What is private is not there for others, whichever way they ask.
    const version = priv.output.version.split(':')[1], id = pub.output.version.split(':')[1];
    const ask = { input: { prompt: 'x', max_tokens: 2 } };
    assert.equal((await a('POST', '/models/alice/priv/predictions', ask)).status, 201);
    assert.equal((await b('POST', '/models/alice/priv/predictions', ask)).status, 404);
    assert.equal((await b('POST', '/predictions', { version, ...ask })).status, 422);
    assert.equal((await b('GET', '/models/alice/priv')).status, 404);
    assert.equal((await b('GET', '/models/alice/priv/versions')).status, 404);
    const names = (await a('GET', '/models')).body.data?.map((m) => m.id) ?? [];
    for (const model of names.filter((n) => n.startsWith('alice/priv')))
      assert.equal((await b('POST', '/chat/completions', { model, messages: [{ role: 'user', content: 'x' }] })).status, 404);
    // A deployment runs the version that it tells, also an older one.
    const made = await b('POST', '/deployments', { name: 'mine', model: 'alice/pub', version: id, hardware: 'cpu', min_instances: 0, max_instances: 1 });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    assert.equal(made.body.current_release.version, id);
    const of = (await b('POST', `/deployments/${made.body.owner}/mine/predictions`, ask)).body;
    assert.equal(of.version, id);
    assert.equal((await b('DELETE', `/deployments/${made.body.owner}/mine/more`)).status, 404);
    assert.equal((await b('GET', `/deployments/${made.body.owner}/mine`)).status, 200);
    // Only who made it changes it; of two versions one is deleted.
    for (const method of ['PATCH', 'DELETE']) {
      assert.equal((await b(method, '/models/alice/pub', method === 'PATCH' ? { description: 'mine' } : undefined)).status, 403);
      assert.equal((await b(method, '/models/alice/priv', method === 'PATCH' ? { description: 'mine' } : undefined)).status, 404);
    }
    assert.equal((await a('PATCH', '/models/alice/pub', { description: 'hers' })).body.description, 'hers');
    assert.equal((await a('PATCH', '/models/alice/pub/versions/x', { description: 'no' })).status, 404);
    assert.equal((await a('DELETE', `/models/alice/pub/versions/${id}`)).status, 202);
    assert.deepEqual((await a('GET', '/models/alice/pub/versions')).body.results.map((r) => r.id), [newer.output.version.split(':')[1]]);
    assert.equal((await b('POST', `/deployments/${made.body.owner}/mine/predictions`, ask)).status, 404);
    assert.equal((await a('DELETE', `/predictions/${of.id}/cancel`)).status, 404);
    assert.equal((await b('DELETE', `/predictions/${of.id}/cancel`)).status, 404);
    assert.equal((await b('GET', `/predictions/${of.id}`)).status, 200);
  } finally {
    await own.stop();
  }
});

test('a receiver that hangs holds up nobody else, and each owner signs with a key of its own', async () => {
  const own = await serve('--with-token', '--allow-private-urls', '--queue', '200');
  try {
    const bob = own.makeToken('bob');
    const as = (key) => new Replicate({ auth: key, baseUrl: own.base });
    const url = (path, host) => `http://${host}:${hooks.address().port}${path}`;
    await Promise.all(Array.from({ length: 80 }, () => as(own.token).predictions.create({ model: eliza, input: { prompt: 'x' }, webhook: url('/hangs', 'localhost') })));
    await as(bob).predictions.create({ model: eliza, input: { prompt: 'Hello' }, webhook: url('/bob', '127.0.0.1') });
    for (let i = 0; i < 200 && !calls.some((c) => c.url === '/bob'); i++) await sleep(25);
    const got = calls.filter((c) => c.url === '/bob');
    assert.ok(got.length > 0, 'it comes within five seconds');
    const [hers, his] = await Promise.all([own.token, bob].map((key) => as(key).webhooks.default.secret.get()));
    assert.notEqual(hers.key, his.key);
    const h = got[0].headers;
    const valid = (secret) => validateWebhook({ id: h['webhook-id'], timestamp: h['webhook-timestamp'], signature: h['webhook-signature'], body: got[0].body, secret });
    assert.equal(await valid(his.key), true);
    assert.equal(await valid(hers.key), false);
  } finally {
    await own.stop();
  }
});

test('a start is told as one, also of what ends at once', async () => {
  const p = await ended(await create({ prompt: 'x', max_tokens: 1 }, { webhook: `http://127.0.0.1:${hooks.address().port}/quick`, webhook_events_filter: ['start', 'completed'] }));
  const told = () => calls.filter((c) => c.url === '/quick').map((c) => JSON.parse(c.body)).filter((b) => b.id === p.id).map((b) => b.status);
  for (let i = 0; i < 100 && told().length < 2; i++) await sleep(25);
  assert.deepEqual(told(), ['processing', 'succeeded']);
});

test('an engine without room is asked again: one seed each, in the order that each owner asked', async () => {
  const own = await serve('--with-token', '--parallel', '1', '--queue', '2');
  try {
    const bob = own.makeToken('bob');
    const ask = (key) => fetch(`${own.base}/models/local/random/predictions`, { method: 'POST', headers: { authorization: `Bearer ${key}` }, body: JSON.stringify({ input: { prompt: 'x', min_tokens: 200, max_tokens: 200 } }) }).then((r) => r.json());
    const at = (key, p) => fetch(`${own.base}/predictions/${p.id}`, { headers: { authorization: `Bearer ${key}` } }).then((r) => r.json());
    const hers = [];
    for (let i = 0; i < 30; i++) hers.push(await ask(own.token));
    const his = await ask(bob);
    const end = async (key, p) => {
      for (let i = 0; i < 2000; i++) {
        const now = await at(key, p);
        if (!['starting', 'processing'].includes(now.status)) return now;
        await sleep(10);
      }
      throw new Error('it never ends');
    };
    const last = await end(bob, his), all = [];
    for (const p of hers) all.push(await end(own.token, p));
    assert.deepEqual([...new Set([last, ...all].map((p) => p.status))], ['succeeded']);
    for (const p of [last, ...all]) assert.equal(p.logs.match(/^Seed: /gm).length, 1, p.logs);
    const began = all.map((p) => p.started_at);
    assert.deepEqual(began, [...began].sort());
    const between = all.filter((p) => p.started_at > last.created_at && p.started_at < last.started_at).length;
    assert.ok(between < 5, `${between} of hers begin between his asking and his turn`);
  } finally {
    await own.stop();
  }
});

test('what a prompt grows to is bounded, and the whole of a long stream is read afterwards', async () => {
  const grown = await ended(await create({ prompt: 'x'.repeat(400_000), prompt_template: '{prompt}'.repeat(5000) }));
  assert.equal(grown.status, 'failed');
  assert.match(grown.error, /prompt_template with its prompts comes to more than/);
  const long = await ended(await replicate.predictions.create({ model: eliza, input: { prompt: 'You are '.repeat(20000) } }));
  assert.equal(long.status, 'succeeded', long.error);
  const text = await (await fetch(long.urls.stream)).text();
  assert.match(text, /event: done/);
});

test('pages keep their filter, and a time is one', async () => {
  await sleep(5);
  const at = new Date().toISOString();
  await sleep(5);
  for (let i = 0; i < 105; i += 15) await Promise.all(Array.from({ length: 15 }, () => replicate.predictions.create({ model: eliza, input: { prompt: 'x' } })));
  const first = await (await get(`/predictions?created_after=${encodeURIComponent(at)}`)).json();
  assert.equal(first.results.length, 100);
  const second = await (await fetch(first.next)).json();
  assert.equal(second.results.length, 5);
  assert.ok(second.results.every((p) => p.created_at >= at));
  for (const bad of ['nonsense', '2147483647-01-01', '2026-13-01'])
    assert.equal((await get(`/predictions?created_after=${bad}`)).status, 422, bad);
});

test('pages neither repeat nor skip what is made and deleted meanwhile, and lead back', async () => {
  const make = (n) => Promise.all(Array.from({ length: n }, () => replicate.predictions.create({ model: eliza, input: { prompt: 'x' } })));
  const page = async (url) => (await fetch(url)).json();
  const ids = (p) => p.results.map((r) => r.id);
  for (let i = 0; i < 14; i++) await make(15);
  const first = await page(`${server.url}/v1/predictions`);
  assert.equal(first.previous, null);
  const gone = await ended(first.results[99]);
  assert.equal((await get(`/predictions/${gone.id}`, { method: 'DELETE' })).status, 204);
  await make(15);
  const second = await page(first.next), third = await page(second.next);
  const all = [first, second, third].flatMap(ids);
  assert.equal(new Set(all).size, all.length, 'nothing twice');
  const now = [];
  for (let p = await page(`${server.url}/v1/predictions`); ; p = await page(p.next)) {
    now.push(...ids(p));
    if (p.next === null || now.length >= 330) break;
  }
  const from = now.indexOf(first.results[0].id);
  assert.equal(from, 15);
  assert.deepEqual(all.filter((id) => id !== gone.id), now.slice(15, 15 + all.length - 1), 'nothing left out');
  assert.deepEqual(ids(await page(third.previous)), ids(second));
  const back = await page(second.previous);
  assert.equal(back.results.at(-1).id, first.results[98].id);
  assert.deepEqual(ids(await page(back.next)), ids(second));
  for (const bad of ['100', 'n', 'x12', 'nxyz', 'n-1', 'n0', `n${'f'.repeat(16)}`, `n${'1'.repeat(200)}`, "n1'", 'n%00'])
    assert.equal((await get(`/predictions?cursor=${bad}`)).status, 422, bad);
  assert.equal((await get('/trainings?cursor=5')).status, 422);
  assert.equal((await get('/trainings?cursor=nnobody')).status, 404);
  assert.equal((await get('/trainings?cursor=pnobody')).status, 404);
});

test('train_data may be a long data URI, and what is refused leaves no file', async () => {
  const { latest_version: v } = await replicate.models.get('local', 'random');
  assert.equal((await post('/models', { owner: 'me', name: 'long', visibility: 'public', hardware: 'cpu' })).status, 201);
  assert.ok((await replicate.models.list()).results.some((m) => m.name === 'long'), 'a made model is listed');
  const data = dataUri(lines(3000, 'It is a number.'));
  assert.ok(data.length > 100_000);
  const count = async () => (await (await get('/files?purpose=fine-tune', { headers: { 'User-Agent': 'x' } })).json()).data?.length;
  const before = await count();
  const bad = await post(`/models/local/random/versions/${v.id}/trainings`, { destination: 'me/long', input: { train_data: data, gradient_accumulation_steps: 4 } });
  assert.equal(bad.status, 422);
  assert.equal(await count(), before);
  const half = await post(`/models/local/random/versions/${v.id}/trainings`, { destination: 'me/long', input: { train_data: data, eval_data: 'data:application/jsonl;base64,no*base64' } });
  assert.equal(half.status, 422);
  assert.match((await half.json()).detail, /input.eval_data: what stands in the data URI is no base64/);
  assert.equal(await count(), before, 'nor what was read before the fault');
  const t = await trained(await replicate.trainings.create('local', 'random', v.id, { destination: 'me/long', input: { train_data: data, max_steps: 1 } }));
  assert.equal(t.status, 'succeeded', t.error);
  assert.match(t.input.train_data, /\/v1\/files\/file-/);
  assert.equal((await get('/models/me/long', { method: 'DELETE' })).status, 204);
});

test('pages of made models, predictions and lists of trainings do not wait for each other', async () => {
  assert.equal((await post('/models', { owner: 'me', name: 'locked', visibility: 'private', hardware: 'cpu' })).status, 201);
  const { latest_version: v } = await replicate.models.get('local', 'random');
  const t = await trained(await replicate.trainings.create('local', 'random', v.id, { destination: 'me/locked', input: { train_data: dataUri(lines(8, 'x')), max_steps: 1 } }));
  assert.equal(t.status, 'succeeded', t.error);
  const until = Date.now() + 2000;
  const again = async (ask) => { while (Date.now() < until) assert.ok((await ask()).status < 300); };
  await Promise.all([
    ...Array.from({ length: 4 }, () => again(() => get('/models/me/locked'))),
    ...Array.from({ length: 3 }, () => again(() => post('/models/me/locked/predictions', { input: { prompt: 'x', max_tokens: 1 } }))),
    again(() => get('/trainings')),
  ]);
  let gone = 409; // while the last of them still run on it
  for (let i = 0; i < 400 && gone === 409; i++) {
    gone = (await get('/models/me/locked', { method: 'DELETE' })).status;
    await sleep(25);
  }
  assert.equal(gone, 204);
});

test('predictions belong to their token, private addresses get no webhooks', async () => {
  const own = await serve('--with-token');
  try {
    const other = own.makeToken('other');
    const as = (key) => new Replicate({ auth: key, baseUrl: own.base });
    const p = await as(own.token).predictions.create({ model: eliza, input: { prompt: 'My secret' } });
    await assert.rejects(as(other).predictions.get(p.id), /404/);
    await assert.rejects(as(other).predictions.cancel(p.id), /404/);
    assert.deepEqual((await as(other).predictions.list()).results, []);
    assert.equal((await as(own.token).predictions.get(p.id)).id, p.id);
    const anonymous = await fetch(`${own.base}/predictions/${p.id}`);
    assert.equal(anonymous.status, 401);
    assert.equal((await anonymous.json()).title, 'Unauthenticated');
    assert.equal((await fetch(p.urls.stream)).status, 200, 'a stream is read by whoever has its link');
    for (const url of ['http://127.0.0.1/', 'http://[::1]:80/', 'http://169.254.169.254/latest', 'http://10.1.2.3/', 'http://[::ffff:127.0.0.1]/', 'http://localhost/'])
      await assert.rejects(as(own.token).predictions.create({ model: eliza, input: { prompt: 'x' }, webhook: url }), /422.*private network/s, url);
  } finally {
    await own.stop();
  }
});
