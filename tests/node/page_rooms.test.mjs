// The page's other rooms: models as Replicate shows them, training, the dashboard. Routes are answered as their sheets say, so that each state can be
// seen; the dashboard's are the server's own.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { launch, open, phone, screens, skip, answered, answerWith, say } from './paged.mjs';
import { serve } from './served.mjs';

let server, browser;
before(async () => {
  if (skip) return;
  server = await serve('eliza');
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const version = 'ab'.repeat(32);
const properties = {
  temperature: { type: 'number', title: 'Temperature', description: 'How freely tokens are drawn', default: 0.6, minimum: 0, maximum: 5, 'x-order': 2 },
  prompt: { type: 'string', title: 'Prompt', description: 'What the model is told', 'x-order': 0 },
  style: { allOf: [{ $ref: '#/components/schemas/style' }], title: 'Style', default: 'plain', 'x-order': 1 },
  seed: { type: 'integer', title: 'Seed', 'x-order': 4 },
  debug: { type: 'boolean', title: 'Debug', default: false, 'x-order': 5 },
  data: { type: 'string', format: 'uri', title: 'Data', 'x-order': 3 },
};
const schemas = { Input: { type: 'object', required: ['prompt'], properties }, style: { enum: ['plain', 'rhymed'], type: 'string' }, Output: { type: 'array', items: { type: 'string' }, 'x-cog-array-type': 'iterator' } };
const model = {
  url: '', owner: 'local', name: 'random', description: 'Random weights', visibility: 'public', run_count: 3, latest_version: { id: version, created_at: '2026-11-20T10:00:00.000Z', cog_version: '0.1.0', openapi_schema: { components: { schemas } } },
};
const json = (r, body, status = 200) => r.fulfill({ status, contentType: 'application/json', body: JSON.stringify(body) });

// Replicate's routes with one run in them, which streams when it is begun.
async function replicate(page) {
  const run = { id: 'r'.repeat(26), model: 'local/random', version, input: {}, logs: '', output: null, error: null, status: 'starting', created_at: '2026-11-26T12:00:00.000Z', source: 'web', metrics: {}, urls: { stream: `${server.url}/v1/streams/secret` } };
  page.runs = { asked: null, cancelled: 0, deleted: 0, run };
  await page.route('**/v1/models/local/**', (r) => {
    const path = new URL(r.request().url()).pathname;
    if (path.endsWith('/predictions')) {
      page.runs.asked = r.request().postDataJSON();
      Object.assign(run, { input: page.runs.asked.input });
      return json(r, run, 201);
    }
    if (path.endsWith('/versions')) return json(r, { results: [model.latest_version], next: null, previous: null });
    if (path.endsWith('/readme')) return r.fulfill({ contentType: 'text/plain', body: '# Random\n\n<script>alert(1)</script>\n\n**bold**' });
    return path.endsWith('/random') ? json(r, model) : json(r, { ...model, owner: 'local', name: 'eliza', description: '' });
  });
  await page.route('**/v1/streams/secret', (r) => {
    Object.assign(run, { status: 'succeeded', output: ['Once', ' upon', '\na time'], logs: 'seed 7\n', metrics: { predict_time: 1.25, output_token_count: 3, tokens_per_second: 2.4, time_to_first_token: 0.1 } });
    return r.fulfill({ contentType: 'text/event-stream', body: 'event: output\nid: 1:0\ndata: Once\n\nevent: output\nid: 1:1\ndata:  upon\n\nevent: output\nid: 1:2\ndata: \ndata: a time\n\nevent: done\nid: 1:3\ndata: {}\n\n' });
  });
  await page.route('**/v1/predictions**', (r) => {
    const path = new URL(r.request().url()).pathname;
    if (r.request().method() === 'DELETE') {
      page.runs.deleted++;
      return r.fulfill({ status: 204 });
    }
    if (path.endsWith('/cancel')) page.runs.cancelled++;
    if (path === '/v1/predictions') return json(r, { results: [run, { ...run, id: 'x', model: 'local/other' }], next: null, previous: null });
    return path.includes(run.id) ? json(r, run) : json(r, { detail: 'no such prediction', status: 404 }, 404);
  });
}

test('models are listed, found, and have a page with a form made of their schema', { skip }, async () => {
  const page = await open(browser, server, '/models');
  await replicate(page);
  await page.reload();
  await page.waitForSelector('text=Random weights');
  assert.deepEqual(await page.locator('.models b').allTextContents(), ['random', 'eliza']);
  await page.screenshot({ path: `${screens}models.png` });
  await page.fill('[aria-label="Search models"]', 'weights rand');
  assert.deepEqual(await page.locator('.models b').allTextContents(), ['random']);
  await page.click('.models a');
  await page.waitForSelector('#in-prompt');
  assert.equal(new URL(page.url()).pathname, '/models/local/random');
  assert.deepEqual(await page.locator('.field-head code').allTextContents(), ['prompt', 'style', 'temperature', 'data', 'seed'], 'in x-order');
  assert.equal(await page.locator('#in-prompt').evaluate((n) => n.tagName), 'TEXTAREA');
  assert.deepEqual(await page.locator('#in-style option').allTextContents(), ['plain', 'rhymed']);
  const slider = page.locator('input[type=range][aria-label=Temperature]');
  assert.deepEqual([await slider.getAttribute('min'), await slider.getAttribute('max'), await page.inputValue('#in-temperature')], ['0', '5', '0.6']);
  await page.fill('#in-prompt', 'Tell me "all"');
  await page.selectOption('#in-style', 'rhymed');
  await slider.fill('1.5');
  assert.equal(await page.inputValue('#in-temperature'), '1.5');
  await page.press('#in-prompt', 'Control+Enter');
  await page.waitForSelector('.outcome .tag.on');
  assert.deepEqual(page.runs.asked, { input: { prompt: 'Tell me "all"', style: 'rhymed', temperature: 1.5 } }, 'what is as usual is not sent');
  assert.equal((await page.locator('.outcome .said').innerText()).trim(), 'Once upon\na time');
  assert.equal(await page.textContent('.outcome-head .note'), '1.3 s · 3 tokens · 2.4 tokens/s · first after 100 ms');
  await page.screenshot({ path: `${screens}model.png` });
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('a model tells how programs call it, what is written of it, its versions and runs', { skip }, async () => {
  const page = await open(browser, server);
  await replicate(page);
  await page.goto(`${server.url}/models/local/random`);
  await page.fill('#in-prompt', "It's");
  await page.click('role=tab[name="API"]');
  assert.match(await page.textContent('.snippet'), new RegExp(`replicate\\.Client\\(base_url="${server.url}"`));
  assert.match(await page.textContent('.snippet'), /"prompt": "It's"/);
  await page.click('text=Node');
  assert.match(await page.textContent('.snippet'), /baseUrl: 'http:\/\/127\.0\.0\.1:\d+\/v1'/);
  await page.click('button:text-is("curl")');
  assert.match(await page.textContent('.snippet'), /-d '\{"input":\{"prompt":"It'\\''s"\}\}'/);
  await page.keyboard.press('Escape');
  await page.focus('role=tab[name="API"]');
  await page.keyboard.press('ArrowRight');
  await page.waitForSelector('.said strong');
  assert.equal(await page.locator('.said script').count(), 0);
  await page.keyboard.press('ArrowRight');
  await page.waitForSelector(`text=${version.slice(0, 12)}`);
  await page.keyboard.press('ArrowRight');
  await page.waitForSelector('.rows tbody tr');
  assert.equal(await page.locator('.rows tbody tr').count(), 1, 'its own runs only');
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('a run has a link that lasts, from which it is changed, cancelled and deleted', { skip }, async () => {
  const page = await open(browser, server);
  await replicate(page);
  Object.assign(page.runs.run, { status: 'succeeded', input: { prompt: 'Sing' }, output: ['La'], logs: 'seed 3' });
  await page.goto(`${server.url}/#/p/${page.runs.run.id}`);
  await page.waitForSelector('.outcome .said');
  assert.equal(new URL(page.url()).pathname, `/p/${page.runs.run.id}`);
  assert.equal(await page.textContent('.input dd'), 'Sing');
  await page.screenshot({ path: `${screens}run.png` });
  await page.click('text=Change and run again');
  await page.waitForSelector('#in-prompt');
  assert.equal(await page.inputValue('#in-prompt'), 'Sing');
  await page.goBack();
  await page.click('text=Delete');
  await page.click('dialog .danger');
  await page.waitForURL('**/models/local/random');
  assert.equal(page.runs.deleted, 1);
  await page.goto(`${server.url}/p/none`);
  await page.waitForSelector('text=This run is not there (any more).');
  await page.context().close();
});

test('a model is really run, found again in its history, and its run deleted', { skip }, async () => {
  const page = await open(browser, server, '/models/local/random');
  await page.fill('#in-prompt', 'Once upon a time');
  await page.fill('#in-max_tokens', '40');
  await page.press('#in-prompt', 'Control+Enter');
  await page.waitForSelector('.outcome .tag.on');
  const text = await page.textContent('.outcome .said');
  assert.match(await page.textContent('.outcome-head .note'), /\d+ tokens? · [\d.,]+ tokens\/s/);
  await page.click('role=tab[name="Versions"]');
  await page.waitForSelector('.versions li');
  await page.click('role=tab[name="History"]');
  await page.click('.rows a');
  await page.waitForSelector('.outcome .said');
  assert.equal(await page.textContent('.outcome .said'), text);
  assert.match(await page.textContent('.input'), /max_tokens40/);
  const id = new URL(page.url()).pathname.split('/')[2];
  await page.click('text=Delete');
  await page.click('dialog .danger');
  await page.waitForURL('**/models/local/random');
  assert.equal((await fetch(`${server.url}/v1/predictions/${id}`)).status, 404);
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

const job = (more) => ({ id: 'ftjob-1', object: 'fine_tuning.job', created_at: 1795700000, finished_at: null, status: 'running', error: null, fine_tuned_model: null, model: 'random', trained_tokens: null, training_file: 'file-1', ...more });
const example = (words) => JSON.stringify({ messages: [{ role: 'user', content: words }, { role: 'assistant', content: 'Yes.' }] });

// OpenAI's routes of files and jobs; each look at the events shows two more steps.
async function trainer(page) {
  page.train = { asked: null, file: '', looks: 0, cancelled: 0, now: job() };
  await page.route('**/v1/files', (r) => {
    page.train.file = r.request().postData();
    return json(r, { id: 'file-1', object: 'file', bytes: 1, filename: 'x.jsonl', purpose: 'fine-tune', status: 'processed' });
  });
  await page.route('**/v1/fine_tuning/jobs**', (r) => {
    const path = new URL(r.request().url()).pathname, T = page.train;
    if (path.endsWith('/cancel')) {
      T.cancelled++;
      T.now = job({ status: 'cancelled', finished_at: 1795700042 });
      return json(r, T.now);
    }
    if (path.endsWith('/events')) {
      const n = Math.min(40, 10 * ++T.looks);
      const metrics = Array.from({ length: n }, (_, i) => ({ id: `ev-${i + 1}`, object: 'fine_tuning.job.event', created_at: 1795700001 + i, level: 'info', message: '', type: 'metrics', data: { step: i + 1, total_steps: 40, train_loss: 1 + 3 * Math.exp(-i / 9) + 0.08 * Math.sin(i * 2), ...(i % 8 === 7 && { valid_loss: 1.15 + 3 * Math.exp(-i / 9) }) } }));
      const data = [{ id: 'ev-0', created_at: 1795700000, level: 'info', message: 'Reads 12 conversations', type: 'message' }, ...metrics].reverse();
      if (n === 40 && T.now.status === 'running') T.now = job({ status: 'succeeded', finished_at: 1795700042, fine_tuned_model: 'ft:random:local:mine:1', trained_tokens: 1234 });
      return json(r, { object: 'list', data, has_more: false });
    }
    if (r.request().method() === 'POST') {
      T.asked = r.request().postDataJSON();
      return json(r, T.now);
    }
    return json(r, path.endsWith('/jobs') ? { object: 'list', data: [T.now], has_more: false } : T.now);
  });
}

async function choose(page, name, text) {
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('.drop button')]);
  await chooser.setFiles({ name, mimeType: 'application/jsonl', buffer: Buffer.from(text) });
}

test('a file is uploaded, a training started and watched, and its result talked to', { skip }, async () => {
  const page = await open(browser, server);
  await trainer(page);
  await page.goto(`${server.url}/train`);
  await choose(page, 'bad.jsonl', `${example('a')}\n{"text": 1}\n`);
  assert.match(await page.textContent('.problem'), /Line 2 is no conversation/);
  assert.ok(await page.isDisabled('text=Start training'));
  await choose(page, 'mine.jsonl', `${example('a')}\n${example('b')}\n`);
  await page.waitForSelector('text=2 conversations');
  assert.deepEqual(await page.locator('#train-model option').allTextContents(), ['random'], 'ELIZA cannot learn');
  await page.fill('#train-suffix', 'mine');
  await page.click('summary');
  await page.fill('#train-epochs', '3');
  await page.screenshot({ path: `${screens}train.png` });
  await page.click('text=Start training');
  await page.waitForURL('**/train/ftjob-1');
  assert.match(page.train.file, /name="purpose"\r\n\r\nfine-tune/);
  assert.match(page.train.file, /filename="mine\.jsonl"/);
  assert.deepEqual(page.train.asked, { model: 'random', training_file: 'file-1', method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 3 } } }, suffix: 'mine' });
  await page.waitForSelector('.plot canvas');
  await page.waitForSelector('text=step 20 of 40');
  assert.match(await page.getAttribute('.plot', 'aria-label'), /^Loss [\d.]+ at step \d+$/);
  await page.waitForSelector('.tag.on', { timeout: 10000 });
  await page.screenshot({ path: `${screens}job.png` });
  // The result is there to talk to.
  await page.route('**/v1/models', (r) => json(r, { object: 'list', data: [{ id: 'random', context_length: 1024 }, { id: 'ft:random:local:mine:1', context_length: 1024 }] }));
  await page.click('text=Talk to it');
  await answerWith(page, 'I have learnt.');
  await page.waitForFunction(() => document.querySelector('#model')?.value === 'ft:random:local:mine:1');
  await say(page, 'And?');
  await answered(page);
  assert.equal(page.asked.model, 'ft:random:local:mine:1');
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('a training is cancelled', { skip }, async () => {
  const page = await open(browser, server);
  await trainer(page);
  await page.goto(`${server.url}/train`);
  await page.click('.rows a');
  await page.click('text=Cancel');
  await page.waitForSelector('.tag:text-is("cancelled")');
  assert.equal(page.train.cancelled, 1);
  await page.context().close();
});

test('a model is really taught in the page, and answers', { skip }, async () => {
  const page = await open(browser, server, '/train');
  const many = (n) => Array.from({ length: n }, (_, i) => example(`What is ${i}?`)).join('\n');
  await choose(page, 'mine.jsonl', many(24));
  await page.waitForSelector('text=24 conversations');
  await page.fill('#train-suffix', 'page');
  await page.click('summary');
  await page.fill('#train-epochs', '2');
  await page.fill('#train-rank', '4');
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('details button')]);
  await chooser.setFiles({ name: 'held.jsonl', mimeType: 'application/jsonl', buffer: Buffer.from(many(4)) });
  await page.click('text=Start training');
  await page.waitForURL('**/train/ftjob-*');
  await page.waitForSelector('.tag.on', { timeout: 60000 });
  await page.waitForSelector('.plot canvas');
  assert.match(await page.textContent('.legend'), /on held-out examples.*step \d+ of \d+/);
  assert.match(await page.textContent('h1'), /^ft:random:.*:page:/);
  await page.screenshot({ path: `${screens}taught.png` });
  await page.click('text=Talk to it');
  await page.waitForFunction(() => document.querySelector('#model')?.value.startsWith('ft:random:'));
  await page.evaluate(() => localStorage.clear());
  await say(page, 'What is 3?');
  await answered(page);
  assert.equal(await page.locator('.problem').count(), 0);
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('the dashboard tells what the server does and what it costs', { skip }, async () => {
  const page = await open(browser, server, '/dashboard');
  await page.waitForSelector('.figures');
  assert.equal(await page.locator('.figure').count(), 5);
  assert.match(await page.textContent('.rows'), /random/);
  const key = { 'Content-Type': 'application/json' };
  await fetch(`${server.url}/v1/chat/completions`, { method: 'POST', headers: key, body: JSON.stringify({ model: 'random', max_tokens: 200, messages: [{ role: 'user', content: 'Once' }] }) });
  await page.waitForFunction(() => [...document.querySelectorAll('.rows tr')].some((r) => {
    const [name, where, , , answers] = [...r.querySelectorAll('td')].map((c) => c.textContent);
    return name === 'random' && where === 'in memory' && Number(answers) >= 1;
  }));
  await page.waitForFunction(() => { const [x] = document.querySelectorAll('.figure .value'); return x && document.querySelectorAll('.plot canvas').length === 1; });
  assert.match(await page.textContent('.figures'), /\d+ J.*W now/s);
  await page.screenshot({ path: `${screens}dashboard.png` });
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

// A training that runs takes of the memory that models may have; the server's own figures, with such a training among them.
for (const [language, together, alone] of [
  ['en', 'models: 3 GB, training: 1.5 GB, of 8 GB', 'models: 3 GB of 8 GB'],
  ['fr', 'modèles : 3 Go, entraînement : 1,5 Go, sur 8 Go', 'modèles : 3 Go sur 8 Go'],
]) {
  test(`the dashboard shows a training's memory beside the models' (${language})`, { skip }, async () => {
    const page = await open(browser, server, '/', { language });
    let trainings_bytes = 1.5e9;
    await page.route('**/app/state', async (r) => {
      const body = await (await r.fetch()).json();
      assert.equal(body.trainings_bytes, 0);
      return json(r, { ...body, models_bytes: 3e9, trainings_bytes, models_limit: 8e9 });
    });
    await page.goto(`${server.url}/dashboard`);
    const figure = page.locator('.figure:has(meter)');
    assert.equal(await figure.locator('.note').textContent(), together);
    assert.equal(await figure.locator('meter').evaluate((m) => m.value), 4.5e9);
    trainings_bytes = 0;
    await figure.locator(`text=${alone}`).waitFor();
    assert.equal(await figure.locator('meter').evaluate((m) => m.value), 3e9);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
}

test('on a phone no room is wider than the screen', { skip }, async () => {
  const page = await open(browser, server, '/', phone);
  await replicate(page);
  await trainer(page);
  Object.assign(page.runs.run, { status: 'succeeded', input: { prompt: 'w'.repeat(200) }, output: ['x'.repeat(200)] });
  for (const [path, sign] of [['/models', '.models a'], ['/models/local/random', '#in-prompt'], [`/p/${page.runs.run.id}`, '.outcome'], ['/train', '.rows td'], ['/train/ftjob-1', '.plot canvas'], ['/dashboard', '.figures']]) {
    await page.goto(server.url + path);
    await page.waitForSelector(sign);
    await page.waitForTimeout(150);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390, path);
    assert.equal(await page.evaluate(() => { const p = document.querySelector('.page'); return p.scrollWidth <= p.clientWidth; }), true, path);
    await page.screenshot({ path: `${screens}phone${path.replaceAll('/', '-').slice(0, 16)}.png` });
  }
  assert.deepEqual(page.problems, []);
  await page.context().close();
});
