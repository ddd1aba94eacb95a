// Fine-tuning through the official `openai` client, from a file to a chat with what came of it.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import OpenAI, { toFile } from 'openai';
import { serve, sleep } from './served.mjs';

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
const lines = (list) => list.map((l) => JSON.stringify(l)).join('\n') + '\n';
const upload = async (text, purpose = 'fine-tune') => (await client.files.create({ file: await toFile(Buffer.from(text), 'data.jsonl'), purpose })).id;
const chat = (q, a, more = {}) => ({ messages: [{ role: 'user', content: q }, { role: 'assistant', content: a, ...more }] });
const many = (n) => lines(Array.from({ length: n }, (_, i) => chat(`What is ${i % 7}?`, 'It is a number, my dear.')));
const make = (more) => client.fineTuning.jobs.create({ model: 'random', ...more });

async function ended(id, seconds = 240) {
  for (let i = 0; i < seconds * 5; i++) {
    const job = await client.fineTuning.jobs.retrieve(id);
    if (['succeeded', 'failed', 'cancelled', 'paused'].includes(job.status)) return job;
    await sleep(200);
  }
  throw new Error(`${id} does not end`);
}
async function reached(id, step) {
  for (let i = 0; i < 900; i++) {
    const events = await client.fineTuning.jobs.listEvents(id, { limit: 100 });
    if (events.data.some((e) => e.type === 'metrics' && e.data.step >= step)) return;
    await sleep(50);
  }
  throw new Error(`${id} does not reach step ${step}`);
}

test('a file becomes a model that answers', async () => {
  const training_file = await upload(many(24)), validation_file = await upload(many(8));
  const made = await make({
    training_file, validation_file, suffix: 'dear', seed: 5, metadata: { who: 'me' },
    method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 3, batch_size: 1, learning_rate_multiplier: 20 } } },
  });
  assert.match(made.id, /^ftjob-/);
  assert.equal(made.object, 'fine_tuning.job');
  assert.ok(['validating_files', 'queued', 'running'].includes(made.status));
  assert.deepEqual([made.fine_tuned_model, made.finished_at, made.trained_tokens, made.error, made.result_files], [null, null, null, null, []]);
  const job = await ended(made.id);
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  assert.match(job.fine_tuned_model, /^ft:random:local:dear:[a-z2-7]{8}$/);
  assert.deepEqual(job.metadata, { who: 'me' });
  assert.equal(job.seed, 5);
  assert.deepEqual({ ...job.method.supervised.hyperparameters }, { n_epochs: 3, batch_size: 1, learning_rate_multiplier: 20, lora_rank: 16 });
  assert.ok(job.trained_tokens > 0);
  assert.ok(job.finished_at >= job.created_at);

  const events = [];
  for await (const e of client.fineTuning.jobs.listEvents(job.id, { limit: 3 })) events.push(e);
  assert.match(events[0].message, /successfully completed/);
  assert.match(events.at(-1).message, /Created fine-tuning job/);
  assert.ok(events.some((e) => /The job has started: \d+ steps, on \d+ threads?, in \d+ MB of memory/.test(e.message)));
  const metrics = events.filter((e) => e.type === 'metrics').map((e) => e.data).reverse();
  assert.deepEqual(metrics.map((m) => m.step), metrics.map((_, i) => i + 1));
  assert.equal(metrics.at(-1).step, metrics.at(-1).total_steps);
  assert.ok(metrics.at(-1).train_loss < metrics[0].train_loss, 'it learns');
  assert.ok(metrics.some((m) => m.valid_loss > 0), 'the validation file is looked at');

  const csv = await (await client.files.content(job.result_files[0])).text();
  const rows = csv.trim().split('\n');
  assert.equal(rows[0], 'step,train_loss,train_accuracy,valid_loss,valid_accuracy,learning_rate');
  assert.equal(rows.length, metrics.length + 1);
  assert.equal(Number(rows[1].split(',')[1]), metrics[0].train_loss);
  assert.ok(Number(rows.at(-1).split(',')[3]) > 0);

  const checkpoints = (await client.fineTuning.jobs.checkpoints.list(job.id)).data;
  assert.equal(checkpoints.length, 3);
  assert.equal(checkpoints[0].fine_tuned_model_checkpoint, job.fine_tuned_model);
  assert.equal(checkpoints[0].step_number, metrics.length);
  assert.equal(checkpoints[1].fine_tuned_model_checkpoint, `${job.fine_tuned_model}:ckpt-step-${checkpoints[1].step_number}`);
  assert.equal(checkpoints[1].metrics.train_loss, metrics[checkpoints[1].step_number - 1].train_loss);

  const ask = (model) => client.chat.completions.create({ model, messages: [{ role: 'user', content: 'What is 3?' }], max_tokens: 12, temperature: 0, logprobs: true });
  const said = async (model) => (await ask(model)).choices[0].logprobs.content.map((t) => t.logprob).join(' ');
  const before = await said('random'), tuned = await said(job.fine_tuned_model), middle = await said(checkpoints[2].fine_tuned_model_checkpoint);
  assert.notEqual(tuned, before);
  assert.notEqual(middle, before);
  assert.notEqual(middle, tuned);
  assert.ok((await client.models.list()).data.some((m) => m.id === job.fine_tuned_model));

  assert.deepEqual(await client.models.delete(checkpoints[2].fine_tuned_model_checkpoint).then((d) => d.deleted), true);
  await client.models.delete(job.fine_tuned_model);
  await refused(ask(job.fine_tuned_model), 404, { code: 'model_not_found' });
  await refused(client.models.delete(job.fine_tuned_model), 404);
  assert.equal(await said('random'), before);
});

test('the base cannot be deleted, nor an adapter trained', async () => {
  await refused(client.models.delete('random'), 403);
  await refused(client.models.delete('none'), 404);
  await refused(make({ training_file: await upload(many(2)), model: 'none' }), 404, { param: 'model' });
  await refused(make({ training_file: await upload(many(2)), model: 'weizenbaum/eliza' }), 400, { param: 'model' });
});

test('preferences are learnt with DPO', async () => {
  const pairs = Array.from({ length: 6 }, (_, i) => ({
    input: { messages: [{ role: 'user', content: `Say ${i}` }] },
    preferred_output: [{ role: 'assistant', content: 'Gladly.' }],
    non_preferred_output: [{ role: 'assistant', content: 'No.' }],
  }));
  const made = await make({ training_file: await upload(lines(pairs)), method: { type: 'dpo', dpo: { hyperparameters: { n_epochs: 4, batch_size: 2, beta: 0.2, learning_rate_multiplier: 100 } } } });
  const job = await ended(made.id);
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  assert.equal(job.method.type, 'dpo');
  assert.equal(job.method.dpo.hyperparameters.beta, 0.2);
  const last = (await client.fineTuning.jobs.listEvents(job.id, { limit: 20 })).data.find((e) => e.type === 'metrics');
  assert.ok(last.data.train_accuracy >= 0.5);
  assert.ok(Math.abs(last.data.train_loss) < Math.log(2), 'better than a coin');
});

test('questions with completions, texts and all weights are taken too', async () => {
  const data = lines([{ prompt: 'Hello', completion: 'Good day to you.' }, { text: 'Once upon a time there was a number.' }]);
  const made = await make({ training_file: await upload(data), hyperparameters: { n_epochs: 1, lora_rank: 0 } });
  const job = await ended(made.id);
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  assert.equal(job.hyperparameters.lora_rank, 0);
  const answer = await client.chat.completions.create({ model: job.fine_tuned_model, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4 });
  assert.ok(answer.usage.completion_tokens > 0);
  await client.models.delete(job.fine_tuned_model);
});

test('a bad file is refused with its line', async () => {
  const cases = [
    [lines([chat('a', 'b')]) + '{"messages": 5}\n', /line 2: the conversation is not a list of turns/],
    ['{"messages": [\n', /line 1: /],
    ['\n\n{"nothing": 1}\n', /line 3: an example has "messages", "prompt" and "completion", or "text"/],
    [lines([{ messages: [{ role: 'robot', content: 'x' }] }]), /line 1: turn 1 has the role "robot"/],
    ['\n', /it holds no example/],
  ];
  for (const [text, words] of cases) {
    const job = await ended((await make({ training_file: await upload(text) })).id);
    assert.equal(job.status, 'failed');
    assert.equal(job.error.code, 'invalid_training_file');
    assert.equal(job.error.param, 'training_file');
    assert.match(job.error.message, words);
    assert.ok(!job.error.message.includes('/'), job.error.message);
  }
  const job = await ended((await make({ training_file: await upload(many(2)), validation_file: await upload('{}\n') })).id);
  assert.equal(job.error.param, 'validation_file');
});

test('what stands in the older place holds where the method says nothing of it', async () => {
  const made = await make({ training_file: await upload(many(2)), hyperparameters: { batch_size: 2, n_epochs: 7 }, method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 1 } } } });
  const { n_epochs, batch_size } = (await ended(made.id)).hyperparameters;
  assert.deepEqual({ n_epochs, batch_size }, { n_epochs: 1, batch_size: 2 });
});

test('what is wrong with a request is named', async () => {
  const training_file = await upload(many(2));
  const hyper = (hyperparameters) => make({ training_file, method: { type: 'supervised', supervised: { hyperparameters } } });
  await refused(make({}), 400, { param: 'training_file' });
  await refused(make({ training_file: 'file-none' }), 404, { param: 'training_file' });
  await refused(make({ training_file, validation_file: 'file-none' }), 404, { param: 'validation_file' });
  await refused(make({ training_file: await upload('x', 'batch') }), 400, { param: 'training_file', code: 'invalid_file_purpose' });
  await refused(make({ training_file, suffix: 'x'.repeat(65) }), 400, { param: 'suffix' });
  await refused(make({ training_file, suffix: 'a/../b' }), 400, { param: 'suffix' });
  await refused(make({ training_file, seed: -1 }), 400, { param: 'seed' });
  await refused(make({ training_file, seed: 2 ** 53 }), 400, { param: 'seed' });
  await refused(make({ training_file, metadata: { a: 1 } }), 400, { param: 'metadata' });
  await refused(make({ training_file, method: { type: 'reinforcement' } }), 400, { param: 'method.type' });
  await refused(make({ training_file, integrations: [{ type: 'wandb' }] }), 400, { param: 'integrations' });
  for (const bad of [0, -1, 1.5, 1e300, 'many', true]) await refused(hyper({ n_epochs: bad }), 400, { param: 'method.supervised.hyperparameters.n_epochs' });
  await refused(hyper({ batch_size: 257 }), 400, { param: 'method.supervised.hyperparameters.batch_size' });
  await refused(hyper({ learning_rate_multiplier: 0 }), 400);
  await refused(client.fineTuning.jobs.retrieve('ftjob-none'), 404);
  await refused(client.fineTuning.jobs.cancel('ftjob-none'), 404);
  await refused(client.fineTuning.jobs.listEvents('ftjob-none'), 404);
});

test('a job is paused, goes on, and is cancelled', async () => {
  const job = await make({ training_file: await upload(many(40)), hyperparameters: { n_epochs: 500, batch_size: 1 } });
  await reached(job.id, 2);
  const running = await client.fineTuning.jobs.retrieve(job.id);
  assert.equal(running.status, 'running');
  assert.ok(running.estimated_finish > 0);
  await refused(client.fineTuning.jobs.resume(job.id), 400);
  await client.fineTuning.jobs.pause(job.id);
  const paused = await ended(job.id);
  assert.equal(paused.status, 'paused');
  const steps = async () => (await client.fineTuning.jobs.listEvents(job.id, { limit: 20 })).data.find((e) => e.type === 'metrics').data.step;
  const at = await steps();
  await sleep(300);
  assert.equal(await steps(), at, 'it rests');
  await client.fineTuning.jobs.resume(job.id);
  await reached(job.id, at + 2);
  await client.fineTuning.jobs.cancel(job.id);
  assert.equal((await ended(job.id)).status, 'cancelled');
  await refused(client.fineTuning.jobs.cancel(job.id), 400);
  await refused(client.fineTuning.jobs.pause(job.id), 400);
});

test('jobs wait their turn, and chat goes on beside them', async () => {
  const training_file = await upload(many(40));
  const first = await make({ training_file, hyperparameters: { n_epochs: 500, batch_size: 1 } });
  await reached(first.id, 1);
  const second = await make({ training_file, hyperparameters: { n_epochs: 1 } });
  for (let i = 0; i < 100 && (await client.fineTuning.jobs.retrieve(second.id)).status === 'validating_files'; i++) await sleep(50);
  assert.equal((await client.fineTuning.jobs.retrieve(second.id)).status, 'queued');
  const answer = await client.chat.completions.create({ model: 'random', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4 });
  assert.equal(answer.usage.completion_tokens, 4);
  await client.fineTuning.jobs.cancel(second.id);
  assert.equal((await client.fineTuning.jobs.retrieve(second.id)).status, 'cancelled');
  await client.fineTuning.jobs.cancel(first.id);
  assert.equal((await ended(first.id)).status, 'cancelled');
  const ids = [];
  for await (const job of client.fineTuning.jobs.list({ limit: 2 })) ids.push(job.id);
  assert.deepEqual(ids.slice(0, 2), [second.id, first.id]);
  assert.equal(new Set(ids).size, ids.length);
});
