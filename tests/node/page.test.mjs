// The page's chat in a real browser, against the server, ELIZA and a model with random weights.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { launch, open, phone, screens, skip, answerWith, answered, events, kept, noEnd, say, slowModel } from './paged.mjs';
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

const body = (page) => page.locator('.assistant .said');

test('a question is answered by the model, told with its speed, and kept on the server', { skip }, async () => {
  const page = await open(browser, server);
  await page.waitForSelector('#model option:has-text("random")', { state: 'attached' });
  await noEnd(page);
  await say(page, 'Once upon a time');
  await answered(page);
  assert.match(await page.textContent('.assistant .facts'), /^\d+ tokens · [\d.,]+ tokens\/s/);
  const text = await body(page).textContent();
  assert.ok(text.length > 0);
  assert.match(new URL(page.url()).pathname, /^\/chat\/[0-9a-f]{24}$/);
  await kept(page);
  const other = await open(browser, server, new URL(page.url()).pathname);
  await answered(other);
  assert.equal(await other.textContent('.bubble'), 'Once upon a time');
  assert.equal(await body(other).textContent(), text);
  assert.deepEqual([...page.problems, ...other.problems], []);
  await page.context().close();
  await other.context().close();
});

test('the stop button ends an answer and keeps what was said, which is gone on with', { skip }, async (t) => {
  const slow = await slowModel(t, server.url);
  const page = await open(browser, slow);
  await say(page, 'Tell me everything');
  await page.waitForFunction(() => document.querySelector('.assistant .said')?.textContent.includes('word8'));
  assert.equal(await page.getAttribute('#send', 'aria-label'), 'Stop');
  await page.keyboard.press('Escape');
  await page.waitForSelector('#send[aria-label="Send"]');
  assert.match(await page.textContent('.assistant .facts'), /[\d.]+ tokens\/s · stopped/);
  const text = await body(page).textContent();
  await kept(page);
  assert.ok(await slow.wasLeft(), 'the server is told to stop');
  await page.reload();
  await answered(page);
  assert.equal(await body(page).textContent(), text);
  await answerWith(page, 'and so on.');
  await page.click('[aria-label="Go on with this answer"]');
  await page.waitForFunction(() => document.querySelector('.assistant .said').textContent.includes('and so on.'));
  assert.equal((await body(page).textContent()).trim(), `${text.trim()} and so on.`);
  assert.equal(page.asked.continue_final_message, true);
  assert.equal(page.asked.messages.at(-1).content.trim(), text.trim());
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('an answer goes on while another conversation is read, and ends with its own', { skip }, async (t) => {
  const slow = await slowModel(t, server.url);
  const page = await open(browser, slow);
  await say(page, 'Talk on');
  await page.waitForFunction(() => document.querySelector('.assistant .said')?.textContent.includes('word3'));
  await page.click('a.new');
  await page.waitForSelector('.welcome');
  await page.waitForSelector('.head .busy');
  const row = page.locator('.head', { hasText: 'Talk on' });
  await row.locator('a').click();
  await page.waitForFunction(() => document.querySelector('.assistant .said')?.textContent.includes('word30'));
  assert.equal(await page.getAttribute('#send', 'aria-label'), 'Stop');
  await row.hover();
  await row.locator('.menu > button').click();
  await page.click('role=menuitem[name="Delete"]');
  await page.click('dialog .danger');
  await page.waitForSelector('.welcome');
  await row.waitFor({ state: 'detached' });
  assert.ok(await slow.wasLeft());
  await page.reload();
  await page.waitForSelector('.welcome');
  assert.equal(await row.count(), 0, 'it does not come back');
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('what a model says is Markdown in its own bounds, never a page of its own', { skip }, async () => {
  const page = await open(browser, server);
  await answerWith(page, '# Plan\n\nA **bold** word, *care*, `code <b>`, $a^2$ for \\$5.\n\n1. one\n2. two\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```js\nlet a = "<i>";\n```\n\n' +
    '<img src=x onerror="document.title=1"> <script>document.title=2</script> <svg onload=alert(1)> <iframe src="//evil.example"></iframe> <style>*{display:none}</style>\n\n' +
    '[good](https://example.org/) [bad](javascript:alert(1)) [worse](data:text/html,x) ![see](https://evil.example/?q=1) <a href="javascript:alert(2)" class="send" id="main">x</a>\n\n$$\\frac{1}{\\href{javascript:alert(3)}{2}}$$');
  await say(page, 'Plan?');
  await answered(page);
  await page.waitForSelector('.math .katex');
  const said = body(page);
  assert.equal(await said.locator('img, script, iframe, style, svg[onload], [onerror], [onload], .send').count(), 0);
  assert.equal(await said.locator('strong').first().textContent(), 'bold');
  assert.equal(await said.locator('.block p code').first().textContent(), 'code <b>');
  assert.deepEqual(await said.locator('ol li').allTextContents(), ['one', 'two']);
  assert.equal(await said.locator('pre code').textContent(), 'let a = "<i>";');
  await page.waitForSelector('pre code .hljs-keyword');
  assert.equal(await said.locator('td').nth(1).evaluate((n) => getComputedStyle(n).textAlign), 'right');
  assert.deepEqual(await said.locator('a').evaluateAll((all) => all.map((a) => a.getAttribute('href')).filter((h) => h !== null)), ['https://example.org/']);
  assert.equal(await said.locator('a[href]').getAttribute('rel'), 'noopener noreferrer nofollow');
  assert.match(await said.textContent(), /<script>document\.title=2<\/script>/);
  assert.equal(await page.title(), 'Plan? · Higgins');
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('nothing a model says holds the page up', { skip }, async () => {
  const page = await open(browser, server);
  const nasty = ['>'.repeat(20000), '*a_'.repeat(60000), '['.repeat(50000), `$${'{'.repeat(3000)}$`, '|a'.repeat(3000) + '\n' + '|-'.repeat(3000) + '\n', '- '.repeat(5000), '<div>'.repeat(20000)];
  for (const [i, text] of nasty.entries()) {
    await answerWith(page, () => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: text }, finish_reason: 'stop' }] })}\n\ndata: [DONE]\n\n`);
    await say(page, `nasty ${i}`);
    await answered(page);
    await page.goto(server.url);
    await page.waitForSelector('.welcome');
  }
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('questions are edited and answers asked for again as branches of a tree', { skip }, async () => {
  const page = await open(browser, server);
  await answerWith(page, 'First.');
  await say(page, 'One');
  await answered(page);
  await answerWith(page, 'Second.');
  await page.click('[aria-label="Answer again"]');
  await page.waitForFunction(() => document.querySelector('.assistant .said')?.textContent.trim() === 'Second.');
  assert.equal(await page.textContent('.assistant .siblings span'), '2/2');
  await page.click('.assistant [aria-label="Previous version"]');
  assert.equal((await body(page).textContent()).trim(), 'First.');
  await page.hover('.user');
  await page.click('[aria-label="Edit and ask again"]');
  await page.fill('.editing textarea', 'Two');
  await answerWith(page, 'Third.');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('.assistant .said')?.textContent.trim() === 'Third.');
  assert.deepEqual(page.asked.messages, [{ role: 'user', content: 'Two' }]);
  assert.equal(await page.textContent('.user .siblings span'), '2/2');
  await kept(page);
  // All of it is there after a reload, and each branch has its own way on.
  await page.reload();
  await answered(page);
  assert.equal((await body(page).textContent()).trim(), 'Third.');
  await page.hover('.user');
  await page.click('.user [aria-label="Previous version"]');
  assert.equal(await page.textContent('.bubble'), 'One');
  assert.equal(await page.textContent('.assistant .siblings span'), '2/2');
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('two models answer beside each other, and one is gone on with', { skip }, async () => {
  const page = await open(browser, server);
  await page.click('[aria-label="Ask a second model beside it"]');
  const names = [await page.inputValue('#model'), await page.inputValue('#second')];
  assert.deepEqual([...names].sort(), ['eliza', 'random']);
  await answerWith(page, (asked) => events(`I am ${asked.model}.`));
  await say(page, 'Who are you?');
  await answered(page, 2);
  assert.deepEqual((await body(page).allTextContents()).map((s) => s.trim()), names.map((n) => `I am ${n}.`));
  await page.screenshot({ path: `${screens}beside.png` });
  await page.click('text=Go on with this one');
  await page.click('[aria-label="Ask one model only"]');
  await say(page, 'Really?');
  await answered(page, 3);
  assert.deepEqual(page.asked.messages.map((m) => m.content), ['Who are you?', `I am ${names[1]}.`, 'Really?']);
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('settings go into the request, and stay', { skip }, async () => {
  const page = await open(browser, server);
  await page.click('#settings-open');
  await page.fill('#set-system', 'Speak like a sailor.');
  await page.fill('#set-temperature', '0.3');
  await page.fill('#set-tokens', '33');
  await page.fill('#set-seed', '5');
  await page.click('summary');
  await page.fill('#set-top-k', '40');
  await page.fill('#set-tools', '[{"type":"function"}]');
  await page.press('#set-tools', 'Tab');
  assert.match(await page.textContent('#settings-open ~ dialog small.bad, dialog small.bad'), /must be a JSON array/);
  await page.fill('#set-tools', '');
  await page.click('dialog .strong');
  await answerWith(page, 'Ahoy.');
  await say(page, 'Hello');
  await answered(page);
  assert.deepEqual(page.asked.messages, [{ role: 'system', content: 'Speak like a sailor.' }, { role: 'user', content: 'Hello' }]);
  assert.deepEqual([page.asked.temperature, page.asked.max_tokens, page.asked.seed, page.asked.top_k], [0.3, 33, 5, 40]);
  await page.reload();
  await page.click('#settings-open');
  assert.equal(await page.inputValue('#set-system'), 'Speak like a sailor.');
  await page.context().close();
});

test('what a model calls is shown, and it is told what came of it', { skip }, async () => {
  const page = await open(browser, server);
  const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }];
  await page.evaluate((t) => localStorage.setItem('higgins.settings', JSON.stringify({ tools: t })), JSON.stringify(tools));
  await page.reload();
  const call = (delta, finish_reason = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
  await answerWith(page, () => call({ tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } }] }) +
    call({ tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] }) + call({ tool_calls: [{ index: 0, function: { arguments: '"Paris"}' } }] }) + call({}, 'tool_calls') + 'data: [DONE]\n\n');
  await say(page, 'How is it in Paris?');
  await page.waitForSelector('.calls textarea');
  assert.deepEqual(page.asked.tools, tools);
  assert.equal(await page.textContent('.call-head b'), 'weather');
  assert.match(await page.textContent('.call pre'), /"city": "Paris"/);
  await page.fill('.calls textarea', 'sunny');
  await answerWith(page, 'It is sunny.');
  await page.click('text=Tell the model');
  await page.waitForSelector('text=It is sunny.');
  assert.deepEqual(page.asked.messages.slice(1), [
    { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Paris"}' } }] },
    { role: 'tool', tool_call_id: 'call_1', content: 'sunny' }]);
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

async function attach(page, ...files) {
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('[aria-label="Attach text files"]')]);
  await chooser.setFiles(files.map(([name, text]) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(text) })));
}

test('text files go into the question; what is too large or no text does not', { skip }, async () => {
  const page = await open(browser, server);
  await attach(page, ['notes.md', 'a ``` fence\n'], ['big.txt', 'x'.repeat(300_000)], ['picture.png', Buffer.from([0x89, 0, 0xff])]);
  await page.waitForFunction(() => document.querySelectorAll('.toasts p').length === 2);
  assert.deepEqual(await page.locator('.box .file').allTextContents(), ['notes.md']);
  await answerWith(page, 'Read.');
  await say(page, 'What is in it?');
  await answered(page);
  assert.equal(page.asked.messages[0].content, 'notes.md:\n````\na ``` fence\n\n````\n\nWhat is in it?');
  assert.equal((await page.textContent('.user .file')).trim(), 'notes.md');
  assert.equal(await page.textContent('.bubble'), 'What is in it?');
  await page.context().close();
});

test('conversations are searched, renamed, exported, imported and deleted', { skip }, async () => {
  const page = await open(browser, server);
  await answerWith(page, 'The zephyrs of Ålesund are mild.');
  await say(page, 'Tell me of winds');
  await answered(page);
  const row = page.locator('.head', { hasText: 'winds' });
  await page.fill('.find input', 'alesund zeph');
  await page.waitForSelector('.excerpt');
  assert.equal(await page.locator('.head').count(), 1);
  assert.match(await page.textContent('.excerpt'), /zephyrs of Ålesund/);
  await page.click('[aria-label="End the search"]');
  await row.hover();
  await row.locator('.menu > button').click();
  await page.click('role=menuitem[name="Rename"]');
  await page.fill('#talk-title', 'Winds & waves');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.head >> text=Winds & waves');
  const renamed = page.locator('.head', { hasText: 'Winds & waves' });
  await renamed.hover();
  await renamed.locator('.menu > button').click();
  const [saved] = await Promise.all([page.waitForEvent('download'), page.click('role=menuitem[name="Export"]')]);
  assert.equal(saved.suggestedFilename(), 'Winds-waves.json');
  const file = JSON.parse(readFileSync(await saved.path(), 'utf8'));
  assert.deepEqual(file.messages.map((m) => m.role), ['user', 'assistant']);
  await renamed.hover();
  await renamed.locator('.menu > button').click();
  await page.click('role=menuitem[name="Delete"]');
  await page.screenshot({ path: `${screens}delete.png` });
  await page.click('dialog .danger');
  await page.waitForSelector('.welcome');
  await renamed.waitFor({ state: 'detached' });
  // It is gone from the server, and comes back from the file.
  assert.equal((await fetch(`${server.url}/app/conversations/${file.id}`)).status, 404);
  await page.click('[aria-label="Export and import"]');
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('role=menuitem[name="Import…"]')]);
  await chooser.setFiles({ name: 'c.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(file)) });
  await renamed.waitFor();
  await renamed.locator('a').click();
  await answered(page);
  assert.equal((await body(page).textContent()).trim(), 'The zephyrs of Ålesund are mild.');
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('errors are told in words and can be tried again', { skip }, async () => {
  const page = await open(browser, server);
  await answerWith(page, () => ({ status: 503, contentType: 'application/json', body: '{"error":{"message":"64 requests wait","type":"server_error","param":null,"code":null}}' }));
  await say(page, 'Hello');
  await page.waitForSelector('.problem');
  assert.match(await page.textContent('.problem span'), /The server is busy: 64 requests wait/);
  await answerWith(page, 'Hello to you.');
  await page.click('.problem button');
  await page.waitForSelector('text=Hello to you.');
  assert.equal(await page.locator('.problem').count(), 0);
  // A chat that has become too long is refused by the server itself.
  await answerWith(page, null);
  await page.selectOption('#model', 'random');
  await say(page, 'word '.repeat(2000));
  await page.waitForSelector('.problem');
  assert.match(await page.textContent('.problem span'), /longer than the model can read/);
  await page.goto(`${server.url}/chat/nothing`);
  await page.waitForSelector('text=This conversation is not there (any more).');
  await page.context().close();
});

test('on a phone nothing is wider than the screen and the list slides in', { skip }, async () => {
  const page = await open(browser, server, '/', { ...phone, colorScheme: 'dark' });
  await answerWith(page, `A long line:\n\n\`\`\`\n${'x'.repeat(300)}\n\`\`\`\n\n${'y'.repeat(200)}\n\n|${'a|'.repeat(30)}\n|${'-|'.repeat(30)}\n|${'b|'.repeat(30)}`);
  await say(page, 'z'.repeat(120));
  await answered(page);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
  assert.equal(await page.evaluate(() => { const s = document.querySelector('.scroll'); return s.scrollWidth <= s.clientWidth; }), true);
  assert.ok(!(await page.isVisible('a.new')));
  await page.click('#side-open');
  await page.waitForTimeout(300);
  assert.ok(await page.isVisible('a.new'));
  await page.screenshot({ path: `${screens}phone-list.png` });
  await page.click('a.new');
  await page.waitForSelector('.welcome');
  assert.deepEqual(page.problems, []);
  await page.context().close();
});
