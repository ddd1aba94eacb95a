// The conversations: a list of heads and the one that is open. The server keeps them; what is written here goes there one change after the other.
import { batch, computed, signal } from '@preact/signals';
import { getJson, request } from '../lib/api.js';
import { kept } from '../lib/keep.js';
import { t } from '../lib/words.js';
import { toast } from '../ui/toast.jsx';
import { leafOf, pathTo } from './tree.js';

export const DEFAULTS = { system: '', temperature: 0.7, top_p: 1, top_k: 0, min_p: 0, penalty: 1.1, tokens: 512, seed: '', tools: '' };
const PAGE = 50;

export const heads = signal([]);
export const hasMore = signal(false);
export const search = signal('');
export const talk = signal(null);      // {id, title, created}, or null: a new one that nothing was said in
export const messages = signal([]);    // of the open one: {id, parent, role, content, notes, created}
export const at = signal(null);        // the leaf that is looked at
export const habits = kept('settings', DEFAULTS); // of new conversations
export const settings = signal({ ...DEFAULTS, ...habits.value });
export const path = computed(() => pathTo(messages.value, at.value));

export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, '0')).join('');

// ---- keeping ----
let queue = Promise.resolve();
const removed = new Set();
// Changes are sent in the order in which they were made.
export function keep(id, change) {
  queue = queue.then(() => !removed.has(id) && request(`/app/conversations/${id}`, { method: 'PUT', json: change })).catch((e) => {
    toast(t('keep.failed', { why: e.message }));
  });
  return queue;
}

const toKeep = ({ id, parent, role, content, notes, created }) => ({
  id, parent: parent ?? null, role, notes, created,
  content: content.replaceAll('\0', '\ufffd'), // the store keeps texts without
});

export function keepMessages(list, others = {}) {
  if (talk.value) keep(talk.value.id, { ...others, at: at.value, messages: list.map(toKeep) });
}
// A message of a conversation that may not be open any more.
export const keepOf = (id, message) => keep(id, { messages: [toKeep(message)], ...(talk.value?.id === id && { at: at.value }) });

// What is drawn never changes in place: another object stands for the message from now on.
// One that is being written in a conversation which was left and opened again takes its place there.
export function touch(message) {
  const drawn = { ...message, notes: { ...message.notes } };
  if (messages.value.some((m) => m.id === message.id)) {
    messages.value = messages.value.map((m) => (m.id === message.id ? drawn : m));
    return;
  }
  batch(() => {
    messages.value = [...messages.value, drawn];
    if (at.value === message.parent) at.value = message.id;
  });
}

// ---- the list ----
// A page is asked for behind the last one's end, a place that stays when conversations change.
let asking = 0, next = null;
export async function list(more = false) {
  const mine = ++asking;
  const query = new URLSearchParams({ limit: PAGE });
  if (more && next) query.set('after', next);
  if (search.value.trim()) query.set('search', search.value.trim());
  try {
    const found = await getJson(`/app/conversations?${query.toString().replaceAll('+', '%20')}`);
    if (mine !== asking) return;
    next = found.next;
    batch(() => {
      const known = new Set(more ? heads.value.map((h) => h.id) : []);
      heads.value = [...(more ? heads.value : []), ...found.conversations.filter((h) => !known.has(h.id))];
      hasMore.value = found.more;
    });
  } catch (e) {
    if (e.status !== 401) toast(e.message);
  }
}

function raise(head) {
  heads.value = [{ ...head, changed: Date.now() / 1000 }, ...heads.value.filter((h) => h.id !== head.id)];
}

// ---- the open one ----
export function openNew() {
  batch(() => {
    talk.value = null;
    messages.value = [];
    at.value = null;
    settings.value = { ...DEFAULTS, ...habits.value };
  });
}

export async function open(id) {
  if (talk.value?.id === id) return;
  const found = await getJson(`/app/conversations/${encodeURIComponent(id)}`);
  batch(() => {
    talk.value = { id: found.id, title: found.title, created: found.created };
    messages.value = found.messages;
    const last = found.messages.some((m) => m.id === found.at) ? found.at : null;
    at.value = last ?? leafOf(found.messages, null);
    settings.value = { ...DEFAULTS, ...found.settings };
  });
}

export function begin(text) {
  const title = text.trim().split('\n')[0].slice(0, 80) || t('chat.untitled');
  talk.value = { id: newId(), title, created: Math.floor(Date.now() / 1000) };
}

// Adds messages behind each other and looks at the last.
export function append(...added) {
  const is_first = messages.value.length === 0;
  batch(() => {
    messages.value = [...messages.value, ...added];
    at.value = added.at(-1).id;
  });
  raise(talk.value);
  keepMessages(added.filter((m) => !m.running), is_first ? { title: talk.value.title, settings: settings.value } : {});
}

export function lookAt(id) {
  at.value = leafOf(messages.value, id);
  if (talk.value) keep(talk.value.id, { at: at.value });
}

export function choose(change) {
  settings.value = { ...settings.value, ...change };
  habits.value = settings.value;
  if (talk.value && messages.value.length > 0) keep(talk.value.id, { settings: settings.value });
}

export function rename(id, title) {
  heads.value = heads.value.map((h) => (h.id === id ? { ...h, title } : h));
  if (talk.value?.id === id) talk.value = { ...talk.value, title };
  return keep(id, { title });
}

export async function remove(id) {
  removed.add(id); // what is still being written of it is not kept
  await queue;
  await request(`/app/conversations/${id}`, { method: 'DELETE' });
  heads.value = heads.value.filter((h) => h.id !== id);
}

// ---- out and in ----
export const exportOne = (id) => getJson(`/app/conversations/${id}`);

export async function exportAll() {
  const all = [];
  for (let after = ''; after !== null;) {
    const found = await getJson(`/app/conversations?limit=200${after && `&after=${after}`}`);
    for (const h of found.conversations) all.push(await exportOne(h.id));
    after = found.next;
  }
  return { format: 'higgins-conversations', version: 1, conversations: all };
}

// A file of one conversation or of several; those with an id that is there already are joined with it.
export async function importFile(text) {
  const read = JSON.parse(text);
  const all = Array.isArray(read) ? read : Array.isArray(read.conversations) ? read.conversations : [read];
  if (!all.every((c) => c && typeof c === 'object' && Array.isArray(c.messages))) throw new Error(t('import.not_ours'));
  for (const c of all) {
    removed.delete(c.id);
    const { id, title, settings: own, at: leaf, created, messages: list_ } = c;
    await request(`/app/conversations/${encodeURIComponent(id ?? newId())}`,
      { method: 'PUT', json: { title, settings: own, at: leaf ?? undefined, created, messages: list_.map(toKeep) } });
  }
  await list();
  return all.length;
}
