// The chat page in a real browser, against the server and a model with random weights. Where the words matter the answer is put in the network's
// place, in the server's own form. Screenshots lie in build/screens to be looked at.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { serve } from './served.mjs';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const skip = existsSync(executablePath) ? false : 'no chromium here';
const screens = new URL('../../build/screens/', import.meta.url).pathname;
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

let server, browser;
before(async () => {
  if (skip) return;
  mkdirSync(screens, { recursive: true });
  server = await serve();
  browser = await chromium.launch({ executablePath, args });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

// A fresh page; `problems` gathers everything that a console or the content policy complains of, and requests to other places.
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.problems = [];
  page.on('pageerror', (e) => page.problems.push(e.message));
  page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') page.problems.push(m.text()); });
  page.on('request', (r) => { if (!r.url().startsWith(server.url) && !r.url().startsWith('data:')) page.problems.push(`outside: ${r.url()}`); });
  // A model of random weights may end at once: its special tokens are kept from coming.
  await page.route('**/v1/chat/completions', (r) =>
    r.continue({ postData: JSON.stringify({ ...JSON.parse(r.request().postData()), logit_bias: { 0: -100, 1: -100, 2: -100, 3: -100 } }) }));
  await page.goto(server.url);
  await page.waitForSelector('.lamp.on');
  return page;
}

const events = (text, finish = 'stop') => [...text.split(/(?<=\s)/).map((content) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })),
  { choices: [{ index: 0, delta: {}, finish_reason: finish }] }, { choices: [], usage: { prompt_tokens: 9, completion_tokens: 12, total_tokens: 21 } }]
  .map((e) => `data: ${JSON.stringify(e)}\n\n`).join('') + 'data: [DONE]\n\n';
const answerWith = (page, text) => page.route('**/v1/chat/completions', (r) => r.fulfill({ contentType: 'text/event-stream', body: events(text) }));

async function say(page, text) {
  await page.fill('#input', text);
  await page.keyboard.press('Enter');
}

test('a question is answered by the model, told with its speed, and kept', { skip }, async () => {
  const page = await open();
  assert.equal(await page.textContent('#model option'), 'random');
  await page.screenshot({ path: `${screens}empty.png` });
  await say(page, 'Once upon a time');
  await page.waitForSelector('.assistant .facts');
  assert.match(await page.textContent('.assistant .facts'), /^\d+ tokens · [\d.]+ tokens\/s/);
  const text = await page.textContent('.assistant .body');
  assert.ok(text.length > 0);
  await page.reload();
  await page.click('.chat .open');
  assert.equal(await page.textContent('.user .body'), 'Once upon a time');
  assert.equal(await page.textContent('.assistant .body'), text);
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('the stop button ends an answer and keeps what was said', { skip }, async () => {
  const page = await open();
  await page.evaluate(() => localStorage.setItem('higgins.settings', JSON.stringify({ tokens: 100000 })));
  await page.reload();
  // Slowed down to what a larger model does: the stream is held back after its first chunks.
  await page.route('**/v1/chat/completions', async () => { /* never answered */ });
  await say(page, 'Tell me everything');
  await page.waitForSelector('#send[aria-label="Stop"]');
  assert.ok(await page.isVisible('.waiting'));
  await page.click('#send');
  await page.waitForSelector('#send[aria-label="Send"]');
  assert.match(await page.textContent('.assistant .facts'), /stopped/);
  await page.context().close();
});

test('what a model says is text and tiny Markdown, never a page of its own', { skip }, async () => {
  const page = await open();
  await answerWith(page, '# Plan\n\nA **bold** word, *care*, `code <b>`.\n\n1. one\n2. two\n\n- three\n\n```js\nlet a = "<i>";\n```\n\n' +
    '<img src=x onerror="document.title=1"> <script>document.title=2</script> [good](https://example.org/) [bad](javascript:alert(1))');
  await say(page, 'Plan?');
  await page.waitForSelector('.assistant .facts');
  const body = page.locator('.assistant .body');
  assert.equal(await body.locator('img, script').count(), 0);
  assert.equal(await body.locator('strong').textContent(), 'bold');
  assert.equal(await body.locator('em').textContent(), 'care');
  assert.equal(await body.locator('p code').textContent(), 'code <b>');
  assert.deepEqual(await body.locator('ol li').allTextContents(), ['one', 'two']);
  assert.equal(await body.locator('pre code').textContent(), 'let a = "<i>";');
  assert.equal(await body.locator('a').count(), 1);
  assert.match(await body.textContent(), /<script>document\.title=2<\/script>/);
  assert.equal(await page.title(), 'Plan? · Higgins');
  await page.screenshot({ path: `${screens}answer.png` });
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('errors are told in words and can be tried again', { skip }, async () => {
  const page = await open();
  await page.route('**/v1/chat/completions', (r) => r.fulfill({ status: 503, contentType: 'application/json', body: '{"error":{"message":"64 requests wait","type":"server_error","param":null,"code":null}}' }));
  await say(page, 'Hello');
  await page.waitForSelector('.bad');
  assert.match(await page.textContent('.bad span'), /The server is busy: 64 requests wait/);
  await page.screenshot({ path: `${screens}error.png` });
  await page.unroute('**/v1/chat/completions');
  await answerWith(page, 'Hello to you.');
  await page.click('.bad button');
  await page.waitForSelector('.assistant .facts');
  assert.equal(await page.textContent('.assistant .body'), 'Hello to you.');
  assert.equal(await page.locator('.bad').count(), 0);
  // A chat that has become too long is refused by the server itself.
  await page.unroute('**/v1/chat/completions');
  await say(page, 'word '.repeat(2000));
  await page.waitForSelector('.bad');
  assert.match(await page.textContent('.bad span'), /longer than the model can read.*Begin a new chat/);
  await page.context().close();
});

test('the settings go into the request, and stay', { skip }, async () => {
  const page = await open();
  await page.click('#settings-open');
  await page.fill('#set-system', 'Speak like a sailor.');
  await page.fill('#set-temperature', '0.3');
  await page.fill('#set-tokens', '33');
  await page.fill('#set-seed', '5');
  await page.screenshot({ path: `${screens}settings.png` });
  await page.click('#settings .strong');
  let body;
  await page.route('**/v1/chat/completions', (r) => { body = r.request().postDataJSON(); return r.fulfill({ contentType: 'text/event-stream', body: events('Ahoy.') }); });
  await say(page, 'Hello');
  await page.waitForSelector('.assistant .facts');
  assert.deepEqual(body.messages, [{ role: 'system', content: 'Speak like a sailor.' }, { role: 'user', content: 'Hello' }]);
  assert.deepEqual([body.temperature, body.max_tokens, body.seed, body.model], [0.3, 33, 5, 'random']);
  await say(page, 'Again');
  await page.waitForFunction(() => document.querySelectorAll('.assistant .facts').length === 2);
  assert.deepEqual(body.messages.map((m) => m.role), ['system', 'user', 'assistant', 'user']);
  await page.reload();
  await page.click('#settings-open');
  assert.equal(await page.inputValue('#set-system'), 'Speak like a sailor.');
  await page.context().close();
});

test('an answer can be asked for again, a question edited, a chat begun and deleted', { skip }, async () => {
  const page = await open();
  await answerWith(page, 'First.');
  await say(page, 'One');
  await page.waitForSelector('.assistant .facts');
  await answerWith(page, 'Second.');
  await page.click('[aria-label="Answer again"]');
  await page.waitForFunction(() => document.querySelector('.assistant .body')?.textContent === 'Second.');
  assert.equal(await page.locator('#log > li').count(), 2);
  await page.hover('.user');
  await page.click('[aria-label="Edit and ask again"]');
  assert.equal(await page.inputValue('#input'), 'One');
  assert.equal(await page.locator('#log > li').count(), 0);
  await say(page, 'Two');
  await page.waitForSelector('.assistant .facts');
  await page.click('#new');
  assert.ok(await page.isVisible('#empty'));
  await say(page, 'Another');
  await page.waitForFunction(() => document.querySelectorAll('.chat').length === 2);
  await page.waitForSelector('.assistant .facts');
  await page.hover('.chat.now');
  await page.click('.chat.now .icon');
  assert.equal(await page.locator('.chat').count(), 1);
  await page.context().close();
});

test('Shift+Enter begins a line, Enter sends, the keyboard reaches everything', { skip }, async () => {
  const page = await open();
  await answerWith(page, 'Yes.');
  await page.keyboard.type('one');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('two');
  assert.equal(await page.inputValue('#input'), 'one\ntwo');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.assistant .facts');
  assert.equal(await page.textContent('.user .body'), 'one\ntwo');
  const names = new Set();
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press('Tab');
    names.add(await page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.id));
  }
  for (const name of ['Settings', 'Dark or light', 'Copy', 'Answer again', 'Message']) assert.ok(names.has(name), `${name} of ${[...names]}`);
  await page.context().close();
});

test('on a phone nothing is wider than the screen and the list slides in', { skip }, async () => {
  const page = await open({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, colorScheme: 'dark' });
  await answerWith(page, 'A long line:\n\n```\n' + 'x'.repeat(300) + '\n```\n\n' + 'y'.repeat(200));
  await say(page, 'z'.repeat(120));
  await page.waitForSelector('.assistant .facts');
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
  assert.equal(await page.evaluate(() => document.querySelector('#scroll').scrollWidth <= document.querySelector('#scroll').clientWidth), true);
  await page.screenshot({ path: `${screens}phone.png` });
  assert.ok(!(await page.isVisible('#new')));
  await page.click('#side-open');
  await page.waitForTimeout(300);
  assert.ok(await page.isVisible('#new'));
  await page.screenshot({ path: `${screens}phone-list.png` });
  await page.click('#new');
  assert.ok(await page.isVisible('#empty'));
  await page.context().close();
});

test('dark and light follow the system and can be turned', { skip }, async () => {
  const page = await open({ colorScheme: 'dark' });
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue('--ground').trim());
  assert.equal(await ground(), '#191816');
  await page.click('#theme');
  assert.equal(await ground(), '#fbfaf8');
  await page.reload();
  assert.equal(await ground(), '#fbfaf8');
  await page.context().close();
});
