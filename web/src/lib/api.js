// How the page asks its server: with the token, in JSON, and as events that come one by one. Failures become sentences that say what to do.
import { signal } from '@preact/signals';
import { load, save } from './keep.js';
import { t } from './words.js';

export const token = signal(load(sessionStorage, 'higgins.token', '') || load(localStorage, 'higgins.token', ''));
// Why a token is asked for: '' (it is not), 'missing' or 'wrong'.
export const asksToken = signal('');

export function setToken(value, isKept) {
  save(sessionStorage, 'higgins.token', isKept ? '' : value);
  save(localStorage, 'higgins.token', isKept ? value : '');
  asksToken.value = '';
  token.value = value;
}

export class Failure extends Error {
  constructor(message, status = 0, code = '') {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// An array, or what Replicate's and Anthropic's bodies call an error, tells itself differently.
async function explain(response) {
  let body = {};
  try {
    body = await response.json();
  } catch { /* not ours: the status must do */ }
  const message = body.error?.message ?? body.detail ?? body.title ?? '';
  const code = body.error?.code ?? '';
  const { status } = response;
  if (status === 401) return new Failure(t('error.token'), status, code);
  if (status === 429) return new Failure(t('error.rate', { seconds: response.headers.get('retry-after') ?? '60' }), status, code);
  if (code === 'context_length_exceeded') return new Failure(t('error.context', { message }), status, code);
  if (status === 503) return new Failure(t('error.busy', { message }), status, code);
  return new Failure(message || t('error.status', { status }), status, code);
}

// fetch with the token; throws a Failure for everything but success, and lets an abort through.
export async function request(path, options = {}) {
  const headers = { ...options.headers };
  const used = token.value;
  if (used) headers.Authorization = `Bearer ${used}`;
  let body = options.body;
  if (options.json !== undefined) {
    headers['Content-Type'] = 'application/json';
    body = JSON.stringify(options.json);
  }
  let response;
  try {
    response = await fetch(path, { ...options, headers, body });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new Failure(t('error.unreachable'));
  }
  if (response.ok) return response;
  if (response.status === 401 && used === token.value) asksToken.value = used ? 'wrong' : 'missing';
  throw await explain(response);
}

export const getJson = async (path, options) => (await request(path, options)).json();

// Yields {event, data} of a stream of server-sent events.
export async function* readEvents(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { event: 'message', data: [] };
      for (const line of block.split('\n')) {
        if (line.startsWith('data:')) event.data.push(line.slice(5).replace(/^ /, ''));
        else if (line.startsWith('event:')) event.event = line.slice(6).trim();
      }
      if (event.data.length > 0) yield { event: event.event, data: event.data.join('\n') };
    }
  }
}

// A path's segment of a model's name keeps its slash: owner/name.
export const modelPath = (id) => (id.includes('/') ? id : `local/${id}`).split('/').map(encodeURIComponent).join('/');
