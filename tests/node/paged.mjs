// The page in a real browser, for its tests. Screenshots lie in build/screens to be looked at.
import { existsSync, mkdirSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { chromium } from 'playwright-core';
import { sleep } from './served.mjs';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const skip = existsSync(executablePath) ? false : 'no chromium here';
export const screens = new URL('../../build/screens/', import.meta.url).pathname;
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
export const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

export async function launch() {
  mkdirSync(screens, { recursive: true });
  return chromium.launch({ executablePath, args });
}

// A fresh page; `problems` gathers everything that a console or the content policy complains of, and requests to other places.
export async function open(browser, server, path = '/', { token, language = 'en', ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(8000);
  const page = await context.newPage();
  page.problems = [];
  page.on('pageerror', (e) => page.problems.push(e.message));
  page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') page.problems.push(m.text()); });
  page.on('request', (r) => { if (!/^(data|blob):/.test(r.url()) && !r.url().startsWith(server.url)) page.problems.push(`outside: ${r.url()}`); });
  await page.addInitScript(([l, k]) => {
    if (localStorage.getItem('higgins.language') === null) localStorage.setItem('higgins.language', JSON.stringify(l));
    if (k) sessionStorage.setItem('higgins.token', JSON.stringify(k));
  }, [language, token]);
  await page.goto(server.url + path);
  return page;
}

// A model of random weights may end at once: its special tokens are kept from coming.
export const noEnd = (page) => page.route('**/v1/chat/completions', (r) =>
  r.continue({ postData: JSON.stringify({ ...JSON.parse(r.request().postData()), logit_bias: { 0: -100, 1: -100, 2: -100, 3: -100 } }) }));

// Where the words matter the answer is put in the network's place, in the server's own form.
export const events = (text, finish = 'stop') => [...text.split(/(?<=\s)/).map((content) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })),
  { choices: [{ index: 0, delta: {}, finish_reason: finish }] }, { choices: [], usage: { prompt_tokens: 9, completion_tokens: 12, total_tokens: 21 } }]
  .map((e) => `data: ${JSON.stringify(e)}\n\n`).join('') + 'data: [DONE]\n\n';
// One handler stays for all: to take one off and put the next on lets requests through between.
export async function answerWith(page, text, finish) {
  const isNew = page.answer === undefined;
  page.answer = text === null ? (r) => r.continue() : (r) => {
    page.asked = r.request().postDataJSON();
    const body = typeof text === 'function' ? text(page.asked) : events(text, finish);
    return r.fulfill(typeof body === 'string' ? { contentType: 'text/event-stream', body } : body);
  };
  if (isNew) await page.route('**/v1/chat/completions', (r) => page.answer(r));
}

// A server before it that says a word each 30 ms until nobody listens, as a larger model does, and hands everything else on. It ends with
// the test. wasLeft() waits until somebody has stopped listening.
export async function slowModel(t, url) {
  const front = createServer((asked, answer) => {
    if (asked.url !== '/v1/chat/completions') {
      const on = request(url + asked.url, { method: asked.method, headers: asked.headers }, (got) => {
        answer.writeHead(got.statusCode, got.headers);
        got.pipe(answer);
      });
      on.on('error', () => answer.destroy());
      asked.pipe(on);
      return;
    }
    answer.writeHead(200, { 'content-type': 'text/event-stream' });
    let n = 0;
    const timer = setInterval(() => answer.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: `word${n++} ` }, finish_reason: null }] })}\n\n`), 30);
    answer.on('close', () => { front.left = true; clearInterval(timer); });
  });
  await new Promise((resolve) => front.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    front.close();
    front.closeAllConnections();
  });
  const wasLeft = async () => {
    for (let i = 0; i < 200 && !front.left; i++) await sleep(25);
    return front.left === true;
  };
  return { url: `http://127.0.0.1:${front.address().port}`, wasLeft };
}

// Waits until the server has kept the last answer of the open conversation; gives it.
export async function kept(page) {
  const url = new URL(page.url().replace('/chat/', '/app/conversations/'));
  for (let i = 0; i < 100; i++) {
    const c = await (await fetch(url)).json();
    const last = c.messages?.at(-1);
    if (last?.role === 'assistant' && last.notes.finish && c.at === last.id) return c;
    await sleep(50);
  }
  throw new Error('the answer was not kept');
}

export async function say(page, text) {
  await page.waitForSelector('#model:not([disabled])');
  await page.fill('#input', text);
  await page.keyboard.press('Enter');
}

// Waits until n answers are whole, of those that are seen.
export const answered = (page, n = 1) => page.waitForFunction((k) => document.querySelectorAll('.assistant .facts').length === k &&
  !document.querySelector('[aria-busy=true]'), n);

// Findings of axe-core that keep people out, in words.
export async function findings(page, axe) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.filter((v) => ['serious', 'critical'].includes(v.impact))
    .map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary?.split('\n')[1]?.trim() ?? ''}`).slice(0, 3).join(' | ')}`);
}
