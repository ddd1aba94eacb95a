// Whom the page is for: those who have a token, those who use keys alone, those who hear or enlarge it, those who read French.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { answerWith, answered, findings, launch, open, phone, say, screens, skip } from './paged.mjs';
import { serve } from './served.mjs';
import { en } from '../../web/src/lib/words_en.js';
import { fr } from '../../web/src/lib/words_fr.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const markdown = '# Plan\n\nSome **words**, `code`, a [link](https://example.org).\n\n1. one\n2. two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\n# comment\ndef f(x): return "text", 3.5\n```\n\n$$\\frac{1}{2}$$\n\n> quoted';

let server, browser;
before(async () => {
  if (skip) return;
  server = await serve('eliza', '--with-token');
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test('a server that asks for a token is told it once', { skip }, async () => {
  const page = await open(browser, server);
  await page.waitForSelector('#token');
  await page.screenshot({ path: `${screens}token.png` });
  await page.fill('#token', 'hg_wrong');
  await page.keyboard.press('Enter');
  await page.waitForSelector('text=That token is not one of this server’s.');
  await page.fill('#token', server.token);
  await page.keyboard.press('Enter');
  await page.waitForSelector('dialog', { state: 'detached' });
  await page.waitForSelector('#model option:has-text("random")', { state: 'attached' });
  await page.goto(`${server.url}/dashboard`);
  await page.waitForSelector('.figures');
  assert.equal(await page.locator('dialog').count(), 0);
  assert.equal(await page.evaluate(() => localStorage.getItem('higgins.token')), null, 'kept for this tab alone');
  const other = await open(browser, server);
  await other.waitForSelector('#token');
  await other.fill('#token', server.token);
  await other.check('input[type=checkbox]');
  await other.keyboard.press('Enter');
  await other.waitForSelector('dialog', { state: 'detached' });
  assert.equal(JSON.parse(await other.evaluate(() => localStorage.getItem('higgins.token'))), server.token);
  await page.context().close();
  await other.context().close();
});

test('both languages have every word, with the same places in it', () => {
  const places = (s) => (s.match(/\{\w+\}/g) ?? []).sort().join();
  assert.deepEqual(Object.keys(fr).sort(), Object.keys(en).sort());
  for (const key of Object.keys(en)) {
    assert.ok(fr[key].trim() && en[key].trim(), key);
    assert.equal(places(fr[key]), places(en[key]), key);
  }
});

test('the page speaks French, and keeps to it', { skip }, async () => {
  const page = await open(browser, server, '/', { token: server.token });
  await page.waitForSelector('.welcome h1');
  assert.equal(await page.textContent('.welcome h1'), 'What shall we talk about?');
  await page.selectOption('[aria-label=Language]', 'fr');
  assert.equal(await page.textContent('.welcome h1'), 'De quoi allons-nous parler ?');
  assert.equal(await page.getAttribute('html', 'lang'), 'fr');
  await page.click('text=Tableau de bord');
  await page.waitForSelector('text=Tokens par seconde');
  await page.reload();
  await page.waitForSelector('text=Tokens par seconde');
  await page.screenshot({ path: `${screens}french.png` });
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('dark and light follow the system and can be turned', { skip }, async () => {
  const page = await open(browser, server, '/', { token: server.token, colorScheme: 'dark' });
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue('--ground').trim());
  await page.waitForSelector('#theme');
  assert.equal(await ground(), '#191816');
  await page.click('#theme');
  assert.equal(await ground(), '#fbfaf8');
  await page.reload();
  await page.waitForSelector('#theme');
  assert.equal(await ground(), '#fbfaf8');
  await page.context().close();
});

// Presses Tab until the focus is on what has this name.
async function tabTo(page, name, most = 60) {
  const seen = [];
  for (let i = 0; i < most; i++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => { const n = document.activeElement; return n.getAttribute('aria-label') ?? n.textContent.trim().slice(0, 40); });
    seen.push(at);
    if (at === name) return;
  }
  assert.fail(`${name} is not among ${[...new Set(seen)].join(', ')}`);
}

test('keys alone do everything: write, answer again, branch, menus, settings, rooms', { skip }, async () => {
  const page = await open(browser, server, '/', { token: server.token });
  await answerWith(page, 'Yes.');
  await page.waitForFunction(() => document.activeElement.id === 'input' && !document.querySelector('#model').disabled);
  await page.keyboard.type('one');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('two');
  await page.keyboard.press('Enter');
  await answered(page);
  assert.equal(await page.textContent('.bubble'), 'one\ntwo');
  // The menu of the conversation, by arrows.
  await page.keyboard.press('Control+k');
  await page.waitForFunction(() => document.activeElement.type === 'search');
  await tabTo(page, 'What to do with “one”');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.textContent === 'Rename');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#talk-title');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('Numbers');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.head >> text=Numbers');
  await tabTo(page, 'Edit and ask again');
  await page.keyboard.press('Enter');
  await page.keyboard.type(' three');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('.user .siblings')?.textContent.includes('2/2'));
  await answered(page);
  await tabTo(page, 'Answer again');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('.assistant .siblings')?.textContent.includes('2/2'));
  // Settings and the list of keys; Escape closes them and gives the focus back.
  await page.keyboard.press('Control+,');
  await page.waitForSelector('#set-system');
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog', { state: 'detached' });
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('?');
  await page.waitForSelector('.keys-list');
  await page.screenshot({ path: `${screens}keys.png` });
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog', { state: 'detached' });
  for (const [key, path] of [['Alt+2', '/models'], ['Alt+3', '/train'], ['Alt+4', '/dashboard'], ['Control+Shift+O', '/']]) {
    await page.keyboard.press(key);
    await page.waitForFunction((p) => location.pathname === p, path);
  }
  await page.waitForSelector('.welcome');
  await page.goto(`${server.url}/models`);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main', 'the link to the content comes first');
  await page.context().close();
});

for (const [name, options] of [['wide and light', {}], ['wide and dark', { colorScheme: 'dark' }], ['a phone, in French', { ...phone, language: 'fr' }]]) {
  test(`nothing serious keeps anybody out: ${name}`, { skip }, async () => {
    const page = await open(browser, server, '/', { token: server.token, ...options });
    const found = {};
    const look = async (room) => { for (const f of await findings(page, axe)) (found[f] ??= []).push(room); };
    await page.waitForSelector('.welcome');
    await look('welcome');
    await answerWith(page, markdown);
    await say(page, 'Draw.');
    await answered(page);
    await page.waitForSelector('.hljs-keyword');
    await page.waitForSelector('.katex');
    await look('chat');
    await page.click('#settings-open');
    await page.click('summary');
    await look('settings');
    await page.keyboard.press('Escape');
    for (const room of ['models', 'models/local/random', 'train', 'dashboard']) {
      await page.goto(`${server.url}/${room}`);
      await page.waitForSelector('h1');
      if (room === 'models/local/random') await page.click('.page summary');
      await page.waitForTimeout(room === 'dashboard' ? 1400 : 150);
      await look(room);
    }
    assert.deepEqual(found, {});
    await page.context().close();
  });
}
