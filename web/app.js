// The chat page of `higgins serve`: a client of its own /v1/chat/completions. Conversations live in this browser. What the model says is
// untrusted text: it becomes DOM nodes one by one and never HTML.
'use strict';

const $ = (id) => document.getElementById(id);

// el('p', {class: 'x', onclick: f}, child, 'text') makes a node.
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children);
  return node;
}

function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

const iconButton = (name, label, onclick) =>
  el('button', { class: 'icon', type: 'button', 'aria-label': label, title: label, onclick }, icon(name));

// ---- what is kept ----

const DEFAULTS = { system: '', temperature: 0.7, penalty: 1.1, tokens: 512, seed: '' };

// Private windows and full disks refuse to store: then the page works without memory.
function load(store, key, fallback) {
  try {
    return JSON.parse(store.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}
function save(store, key, value) {
  try {
    store.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

const settings = { ...DEFAULTS, ...load(localStorage, 'higgins.settings', {}) };
let chats = load(localStorage, 'higgins.chats', []);
if (!Array.isArray(chats)) chats = [];
let chat = null;      // the open conversation, or null: a new one that has no message yet
let running = null;   // the answer being written: {controller, chat, message}
let apiKey = load(sessionStorage, 'higgins.key', '');
let theme = load(localStorage, 'higgins.theme', 'auto');

function saveChats() {
  // When the browser's store is full, the oldest conversations make room.
  while (!save(localStorage, 'higgins.chats', chats) && chats.length > 1) chats.pop();
}

// ---- the tiny Markdown: paragraphs, headings, lists, quotes, code, bold, italic, links ----

const INLINE = /(`+)([^]*?[^`])\1(?!`)|\*\*(?=\S)([^]*?\S)\*\*|\*(?=\S)([^*\n]*?[^\s*])\*(?!\w)|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/g;

function inline(parent, text) {
  let at = 0;
  for (const m of text.matchAll(INLINE)) {
    parent.append(text.slice(at, m.index));
    if (m[1]) parent.append(el('code', {}, m[2].trim()));
    else if (m[3]) inline(parent.appendChild(el('strong')), m[3]);
    else if (m[4]) inline(parent.appendChild(el('em')), m[4]);
    else parent.append(el('a', { href: m[6], target: '_blank', rel: 'noopener noreferrer nofollow' }, m[5]));
    at = m.index + m[0].length;
  }
  parent.append(text.slice(at));
}

function codeBlock(lines, language) {
  const code = lines.join('\n');
  const copy = iconButton('copy', 'Copy the code', () => copyText(code, copy));
  return el('pre', {}, el('div', { class: 'code-head' }, language || 'text', copy), el('code', {}, code));
}

const LIST = /^(\s{0,3})([-*+]|\d{1,9}[.)])\s+(.*)$/;

// Takes the lines of one block from lines[i] on; returns the node and where the next block begins.
function takeBlock(lines, i) {
  const fence = lines[i].match(/^\s{0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/);
  if (fence) {
    let end = i + 1;
    while (end < lines.length && !lines[end].trim().startsWith(fence[1])) end++;
    return [codeBlock(lines.slice(i + 1, end), fence[2]), end + 1];
  }
  const heading = lines[i].match(/^(#{1,6})\s+(.*)$/);
  if (heading) {
    const node = el(heading[1].length < 3 ? 'h3' : 'h4');
    inline(node, heading[2]);
    return [node, i + 1];
  }
  const item = lines[i].match(LIST);
  if (item) return takeList(lines, i, /\d/.test(item[2]));
  const quote = lines[i].startsWith('>');
  const text = [];
  for (; i < lines.length && lines[i].trim() !== '' && lines[i].startsWith('>') === quote; i++) {
    if (text.length > 0 && /^(\s{0,3}(`{3,}|~{3,})|#{1,6}\s)/.test(lines[i])) break;
    if (text.length > 0 && !quote && LIST.test(lines[i])) break;
    text.push(quote ? lines[i].replace(/^>\s?/, '') : lines[i]);
  }
  const node = el(quote ? 'blockquote' : 'p');
  text.forEach((line, k) => {
    if (k > 0) node.append(el('br'));
    inline(node, line);
  });
  return [node, i];
}

function takeList(lines, i, ordered) {
  const list = el(ordered ? 'ol' : 'ul');
  const first = parseInt(lines[i], 10);
  if (ordered && first !== 1) list.setAttribute('start', String(first));
  for (; i < lines.length; i++) {
    const item = lines[i].match(LIST);
    if (item && /\d/.test(item[2]) === ordered) {
      inline(list.appendChild(el('li')), item[3]);
    } else if (/^\s{2,}\S/.test(lines[i]) && list.lastChild) {
      list.lastChild.append(el('br'));
      inline(list.lastChild, lines[i].trim());
    } else break;
  }
  return [list, i];
}

function renderMarkdown(body, text) {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  const nodes = [];
  for (let i = 0; i < lines.length;) {
    if (lines[i].trim() === '') {
      i++;
      continue;
    }
    const [node, next] = takeBlock(lines, i);
    nodes.push(node);
    i = next;
  }
  body.replaceChildren(...nodes);
}

async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return;
  }
  button.replaceChildren(icon('done'));
  setTimeout(() => button.replaceChildren(icon('copy')), 1200);
}

// ---- the API ----

// A failure in words that say what to do.
async function explain(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch { /* not ours: the status must do */ }
  if (response.status === 401) return 'This server asks for its API key. Enter it under Settings.';
  if (error.code === 'context_length_exceeded') return `This chat has become longer than the model can read: ${error.message}. Begin a new chat.`;
  if (response.status === 503) return `The server is busy: ${error.message ?? 'try again'}.`;
  return error.message ?? `The server answered ${response.status}.`;
}

function request(path, options = {}) {
  const headers = { ...options.headers };
  if (apiKey) headers.Authorization = `Bearer ${apiKey}`;
  return fetch(path, { ...options, headers });
}

// Yields the parsed chunks of a stream of server-sent events.
async function* readEvents(stream) {
  const decoder = new TextDecoder();
  let rest = '';
  for (const reader = stream.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + decoder.decode(value, { stream: true })).split('\n\n');
    rest = events.pop();
    for (const event of events) {
      if (!event.startsWith('data: ') || event === 'data: [DONE]') continue;
      yield JSON.parse(event.slice(6));
    }
  }
}

async function findModels() {
  const select = $('model');
  try {
    const response = await request('/v1/models');
    if (!response.ok) throw new Error(await explain(response));
    const models = (await response.json()).data;
    select.replaceChildren(...models.map((m) => el('option', { value: m.id }, m.id)));
    select.disabled = models.length < 2;
    $('lamp').className = 'lamp on';
    const context = models[0].context_length;
    $('about').textContent = `${models[0].id} runs on your own machine` + (context ? ` and reads up to ${context.toLocaleString('en')} tokens.` : '.');
    say('');
  } catch (e) {
    select.replaceChildren(el('option', {}, 'no model'));
    select.disabled = true;
    $('lamp').className = 'lamp off';
    say(e instanceof TypeError ? 'The server cannot be reached.' : e.message);
  }
}

// ---- answers ----

function bodyOf(current) {
  const messages = current.messages.filter((m) => m.content !== '' && !m.pending).map(({ role, content }) => ({ role, content }));
  if (settings.system.trim()) messages.unshift({ role: 'system', content: settings.system.trim() });
  return {
    model: $('model').value, messages, stream: true, stream_options: { include_usage: true }, temperature: settings.temperature,
    repeat_penalty: settings.penalty, max_tokens: settings.tokens, ...(settings.seed === '' ? {} : { seed: Number(settings.seed) }),
  };
}

// Reads one answer into `message`; `asked` is when it was asked for.
async function readAnswer(message, response, asked) {
  let first = 0, pieces = 0;
  for await (const chunk of readEvents(response.body)) {
    if (chunk.error) throw new Error(chunk.error.message);
    const choice = chunk.choices[0];
    if (choice?.delta?.content) {
      first ||= performance.now();
      pieces++;
      message.content += choice.delta.content;
      const seconds = (performance.now() - first) / 1000;
      if (pieces > 1 && seconds > 0.2) say(`${((pieces - 1) / seconds).toFixed(1)} tokens/s`);
      drawSoon(message);
    }
    if (choice?.finish_reason) message.finish = choice.finish_reason;
    if (chunk.usage) {
      message.tokens = chunk.usage.completion_tokens;
      message.context = chunk.usage.total_tokens;
    }
  }
  // An answer that came all at once is timed from the question on.
  const now = performance.now(), isStream = now - first > 20 && message.tokens > 1;
  if (first) message.rate = isStream ? (message.tokens - 1) / (now - first) * 1000 : message.tokens / (now - asked) * 1000;
  if (!message.finish) throw new Error('The answer broke off: the server closed the connection.');
}

async function answer() {
  const current = chat;
  const message = { role: 'assistant', content: '', pending: true, model: $('model').value };
  const body = bodyOf(current);
  const controller = new AbortController();
  current.messages.push(message);
  running = { controller, chat: current, message };
  drawAll();
  scrollToEnd();
  try {
    const asked = performance.now();
    const response = await request('/v1/chat/completions', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), signal: controller.signal,
    });
    if (!response.ok) throw new Error(await explain(response));
    await readAnswer(message, response, asked);
  } catch (e) {
    if (e.name === 'AbortError') message.finish = 'stopped';
    else message.error = e instanceof TypeError ? 'The server cannot be reached. Is it still running?' : e.message;
  }
  delete message.pending;
  running = null;
  say('');
  saveChats();
  drawAll();
  $('input').focus({ preventScroll: true });
}

function send(text) {
  if (running || text.trim() === '') return;
  if (!chat) {
    chat = { id: crypto.randomUUID?.() ?? String(Date.now()), title: text.trim().slice(0, 60), created: Date.now(), messages: [] };
    chats.unshift(chat);
  }
  const last = chat.messages.at(-1);
  if (last?.role === 'assistant' && last.content === '') chat.messages.pop(); // a failure that nobody repeated
  if (chat.messages.at(-1)?.role === 'user') chat.messages.pop();
  chat.messages.push({ role: 'user', content: text.trim() });
  chat.changed = Date.now();
  chats = [chat, ...chats.filter((c) => c !== chat)];
  saveChats();
  $('input').value = '';
  resize();
  answer();
}

function again() {
  if (running || !chat) return;
  if (chat.messages.at(-1)?.role === 'assistant') chat.messages.pop();
  answer();
}

// The message goes back to where it was written; what followed it goes.
function edit(message) {
  if (running) return;
  $('input').value = message.content;
  chat.messages.length = chat.messages.indexOf(message);
  saveChats();
  drawAll();
  resize();
  $('input').focus();
}

// ---- drawing ----

const rows = new WeakMap(); // message -> its <li>
let drawQueued = null;

const FINISH = { length: 'cut at the longest answer', stopped: 'stopped' };

function facts(message) {
  const list = [];
  if (message.tokens) list.push(`${message.tokens} tokens`);
  if (message.rate) list.push(`${message.rate.toFixed(1)} tokens/s`);
  if (FINISH[message.finish]) list.push(FINISH[message.finish]);
  return list.join(' · ');
}

function drawTools(message, isLast) {
  const copy = iconButton('copy', 'Copy', () => copyText(message.content, copy));
  if (message.role === 'user') return el('div', { class: 'tools' }, copy, iconButton('edit', 'Edit and ask again', () => edit(message)));
  return el('div', { class: 'tools' }, copy, ...(isLast ? [iconButton('again', 'Answer again', again)] : []),
    el('span', { class: 'facts' }, facts(message)));
}

function drawRow(message, isLast) {
  const body = el('div', { class: 'body' });
  const row = el('li', { class: message.role }, body);
  if (message.role === 'user') body.textContent = message.content;
  else if (message.content !== '') renderMarkdown(body, message.content);
  else if (message.pending) body.append(el('span', { class: 'waiting', 'aria-label': 'The model is reading' }, el('i'), el('i'), el('i')));
  else if (!message.error) body.append(el('p', {}, el('em', {}, '(nothing was said)')));
  if (message.error)
    row.append(el('div', { class: 'bad', role: 'alert' }, el('span', {}, message.error), ...(isLast ? [el('button', { type: 'button', onclick: again }, 'Try again')] : [])));
  if (!message.pending && (message.content !== '' || !message.error)) row.append(drawTools(message, isLast));
  rows.set(message, row);
  return row;
}

function drawSoon(message) {
  if (drawQueued) return;
  drawQueued = requestAnimationFrame(() => {
    drawQueued = null;
    const row = rows.get(message);
    if (!row?.isConnected) return;
    const follow = isAtEnd();
    renderMarkdown(row.querySelector('.body'), message.content);
    if (follow) scrollToEnd();
  });
}

function drawLog() {
  const messages = chat?.messages ?? [];
  $('empty').hidden = messages.length > 0;
  $('log').replaceChildren(...messages.map((m, i) => drawRow(m, i === messages.length - 1)));
  $('log').setAttribute('aria-busy', String(running?.chat === chat && running !== null));
}

function dayOf(time) {
  const days = Math.floor((new Date().setHours(0, 0, 0, 0) - time) / 864e5) + 1;
  return days <= 0 ? 'Today' : days === 1 ? 'Yesterday' : days < 7 ? 'This week' : 'Earlier';
}

function drawChats() {
  const nodes = [];
  let day = '';
  for (const c of chats) {
    const itsDay = dayOf(c.changed ?? c.created);
    if (itsDay !== day) nodes.push(el('h2', {}, (day = itsDay)));
    nodes.push(el('div', { class: c === chat ? 'chat now' : 'chat' },
      el('button', { class: 'open', 'aria-current': c === chat ? 'true' : undefined, title: c.title, onclick: () => openChat(c) }, c.title),
      iconButton('bin', `Delete "${c.title}"`, () => removeChat(c))));
  }
  $('chats').replaceChildren(...nodes);
}

function drawSend() {
  const button = $('send');
  const busy = running !== null;
  button.replaceChildren(icon(busy ? 'stop' : 'send'));
  button.setAttribute('aria-label', busy ? 'Stop' : 'Send');
  button.title = busy ? 'Stop (Esc)' : 'Send (Enter)';
  button.disabled = !busy && $('input').value.trim() === '';
}

function drawAll() {
  const follow = isAtEnd();
  drawLog();
  drawChats();
  drawSend();
  document.title = chat ? `${chat.title} · Higgins` : 'Higgins';
  if (follow) scrollToEnd();
}

const say = (text) => { $('status').textContent = text; };
const isAtEnd = () => $('scroll').scrollHeight - $('scroll').scrollTop - $('scroll').clientHeight < 48;
const scrollToEnd = () => { $('scroll').scrollTop = $('scroll').scrollHeight; };

// ---- what people do ----

function openChat(c) {
  chat = c;
  showList(false);
  drawAll();
  scrollToEnd();
  $('input').focus({ preventScroll: true });
}

function removeChat(c) {
  if (running?.chat === c) running.controller.abort();
  chats = chats.filter((other) => other !== c);
  saveChats();
  if (chat === c) chat = null;
  drawAll();
}

function showList(on) {
  document.body.classList.toggle('list', on);
  $('shade').hidden = !on;
}

function resize() {
  const input = $('input');
  input.style.height = 'auto';
  input.style.height = `${input.scrollHeight}px`;
  drawSend();
}

function applyTheme() {
  document.documentElement.dataset.theme = theme;
}

function nextTheme() {
  const dark = theme === 'dark' || (theme === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches);
  theme = dark ? 'light' : 'dark';
  save(localStorage, 'higgins.theme', theme);
  applyTheme();
}

function showSettings() {
  $('set-system').value = settings.system;
  $('set-temperature').value = settings.temperature;
  $('set-penalty').value = settings.penalty;
  $('set-tokens').value = settings.tokens;
  $('set-seed').value = settings.seed;
  $('set-key').value = apiKey;
  drawSliders();
}

function drawSliders() {
  $('out-temperature').value = Number($('set-temperature').value).toFixed(2);
  $('out-penalty').value = Number($('set-penalty').value).toFixed(2);
}

function readSettings() {
  const whole = (text) => (/^-?\d{1,15}$/.test(text) ? Number(text) : '');
  settings.system = $('set-system').value;
  settings.temperature = Number($('set-temperature').value);
  settings.penalty = Number($('set-penalty').value);
  settings.tokens = Math.max(1, whole($('set-tokens').value) || DEFAULTS.tokens);
  settings.seed = whole($('set-seed').value);
  save(localStorage, 'higgins.settings', settings);
  if ($('set-key').value !== apiKey) {
    apiKey = $('set-key').value;
    save(sessionStorage, 'higgins.key', apiKey);
    findModels();
  }
}

const STARTERS = ['Tell me a story about a brave little mouse.', 'What can you help me with?', 'Write a short poem about the sea.', 'Give me three ideas for a rainy day.'];

function start() {
  applyTheme();
  $('starters').replaceChildren(...STARTERS.map((text) => el('button', { type: 'button', onclick: () => send(text) }, text)));
  // An answer that was being written when the page was closed has ended there.
  for (const c of chats) for (const m of c.messages) if (delete m.pending && m.role === 'assistant') m.finish ??= 'stopped';

  $('form').addEventListener('submit', (e) => {
    e.preventDefault();
    if (running) running.controller.abort();
    else send($('input').value);
  });
  $('input').addEventListener('input', resize);
  $('input').addEventListener('keydown', (e) => {
    if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) {
      e.preventDefault();
      send($('input').value);
    }
  });
  document.addEventListener('keydown', (e) => {
    if (e.key !== 'Escape' || $('settings').open) return;
    if (document.body.classList.contains('list')) showList(false);
    else running?.controller.abort();
  });
  for (const id of ['new', 'new-phone']) $(id).addEventListener('click', () => openChat(null));
  $('side-open').addEventListener('click', () => showList(true));
  $('side-close').addEventListener('click', () => showList(false));
  $('shade').addEventListener('click', () => showList(false));
  $('theme').addEventListener('click', nextTheme);
  $('to-end').addEventListener('click', scrollToEnd);
  $('scroll').addEventListener('scroll', () => { $('to-end').hidden = isAtEnd(); });
  $('settings-open').addEventListener('click', () => {
    showSettings();
    $('settings').showModal();
  });
  $('settings').addEventListener('input', drawSliders);
  $('settings').addEventListener('close', readSettings);
  $('set-reset').addEventListener('click', () => {
    Object.assign(settings, DEFAULTS);
    showSettings();
  });
  findModels();
  drawAll();
}

start();
