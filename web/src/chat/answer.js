// Asks models for answers and writes them down as they come.
import { batch, signal } from '@preact/signals';
import { Failure, readEvents, request } from '../lib/api.js';
import { t } from '../lib/words.js';
import { append, at, begin, keepOf, messages, newId, path, settings, talk, touch } from './talks.js';
import { asked, pathTo } from './tree.js';

export const running = signal([]); // messages that are being written: {message, talk, controller}
const SAVE_EVERY = 3000;

const now = () => Math.floor(Date.now() / 1000);

function readTools(text) {
  if (!text?.trim()) return undefined;
  const tools = JSON.parse(text);
  return tools.length > 0 ? tools : undefined;
}

function bodyOf(before, model, prefix) {
  const s = settings.value;
  const list = asked(before, s.system);
  if (prefix) list.push({ role: 'assistant', content: prefix });
  const tools = readTools(s.tools);
  return {
    model, messages: list, stream: true, stream_options: { include_usage: true }, max_tokens: s.tokens, temperature: s.temperature,
    ...(s.top_p < 1 && { top_p: s.top_p }), ...(s.top_k > 0 && { top_k: s.top_k }), ...(s.min_p > 0 && { min_p: s.min_p }),
    ...(s.penalty !== 1 && { repeat_penalty: s.penalty }), ...(s.seed !== '' && { seed: Number(s.seed) }),
    ...(prefix && { continue_final_message: true }), ...(tools && { tools }),
  };
}

function takeCalls(notes, deltas) {
  notes.calls ??= [];
  for (const d of deltas) {
    const call = (notes.calls[d.index] ??= { id: '', name: '', arguments: '' });
    if (d.id) call.id = d.id;
    if (d.function?.name) call.name = d.function.name;
    call.arguments += d.function?.arguments ?? '';
  }
}

// One answer's events into `message`; `changed` is called after each.
async function read(message, response, asked_at, changed) {
  const { notes } = message;
  let first = 0, pieces = 0;
  for await (const { data } of readEvents(response.body)) {
    if (data === '[DONE]') break;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Failure(chunk.error.message);
    const choice = chunk.choices?.[0];
    if (choice?.delta?.content) {
      first ||= performance.now();
      pieces++;
      message.content += choice.delta.content.replaceAll('\0', '\ufffd');
      const seconds = (performance.now() - first) / 1000;
      if (seconds > 0.2) notes.rate = (pieces - 1) / seconds;
    }
    if (choice?.delta?.tool_calls) takeCalls(notes, choice.delta.tool_calls);
    if (choice?.finish_reason) notes.finish = choice.finish_reason;
    if (chunk.usage) {
      notes.tokens = (notes.tokens_before ?? 0) + chunk.usage.completion_tokens;
      notes.context = chunk.usage.total_tokens;
      // An answer that came all at once is timed from the question on.
      const end = performance.now(), n = chunk.usage.completion_tokens;
      notes.rate = first && end - first > 20 && n > 1 ? ((n - 1) / (end - first)) * 1000 : (n / (end - asked_at)) * 1000;
    }
    changed();
  }
  if (!notes.finish) throw new Failure(t('error.broke'));
}

async function write(drawn, before, prefix) {
  const message = { ...drawn, notes: { ...drawn.notes } };
  const controller = new AbortController();
  const id = talk.value.id;
  const one = { message, talk: id, controller };
  let saved = performance.now(), queued = 0;
  const shown = () => {
    queued = 0;
    if (talk.value?.id === id) touch(message);
    if (performance.now() - saved > SAVE_EVERY) {
      saved = performance.now();
      keepOf(id, message);
    }
  };
  const changed = () => { queued ||= requestAnimationFrame(shown); };
  running.value = [...running.value, one];
  try {
    const asked_at = performance.now();
    const json = bodyOf(before, message.notes.model, prefix);
    const response = await request('/v1/chat/completions', { method: 'POST', json, signal: controller.signal });
    await read(message, response, asked_at, changed);
  } catch (e) {
    if (e.name === 'AbortError') message.notes.finish = 'stopped';
    else message.notes.error = e instanceof SyntaxError ? t('settings.tools_bad') : e.message;
  }
  cancelAnimationFrame(queued);
  message.running = false;
  delete message.notes.tokens_before;
  batch(() => {
    running.value = running.value.filter((r) => r !== one);
    if (talk.value?.id === id) touch(message);
  });
  return keepOf(id, message);
}

// Asks the chosen model, or both that stand beside each other, to answer the last of `before`.
function askAll(before, models) {
  const parent = before.at(-1)?.id ?? null;
  const pair = models.length > 1 ? newId() : undefined;
  const answers = models.map((model) => ({
    id: newId(), parent, role: 'assistant', content: '', created: now(), running: true, notes: { model, ...(pair && { pair }) },
  }));
  batch(() => {
    messages.value = [...messages.value, ...answers];
    at.value = answers[0].id;
  });
  return Promise.all(answers.map((m) => write(m, before)));
}

export const modelsOf = () => [settings.value.model, settings.value.second].filter(Boolean);

// What was said and attached, behind `parent` (the leaf, unless a message is edited).
export function say(content, files = [], parent = at.value) {
  if (!talk.value) begin(content || files[0]?.name || '');
  const before = pathTo(messages.value, parent);
  const message = { id: newId(), parent: parent ?? null, role: 'user', content, created: now(), notes: files.length > 0 ? { files } : {} };
  append(message);
  return askAll([...before, message], modelsOf());
}

// Results of the calls of `message`, in their order.
export function tell(message, results) {
  const before = pathTo(messages.value, message.id);
  let parent = message.id;
  const told = message.notes.calls.map((c, i) => {
    const m = { id: newId(), parent, role: 'tool', content: results[i], created: now(), notes: { call: c.id, name: c.name } };
    parent = m.id;
    return m;
  });
  append(...told);
  return askAll([...before, ...told], [message.notes.model]);
}

export function again(message) {
  const before = pathTo(messages.value, message.parent);
  return askAll(before, [settings.value.model ?? message.notes.model]);
}

// Goes on with an answer that was cut or stopped.
export function goOn(message) {
  const before = pathTo(messages.value, message.parent);
  const { finish: _, error: __, ...notes } = message.notes;
  const begun = { ...message, running: true, notes: { ...notes, tokens_before: notes.tokens } };
  touch(begun);
  return write(begun, before, message.content);
}

export function stopOf(id) {
  for (const r of running.value) if (r.talk === id) r.controller.abort();
}
export const stop = () => stopOf(talk.value?.id);
export const isRunning = () => running.value.some((r) => r.talk === talk.value?.id);

// A page that goes leaves what was said so far.
addEventListener('pagehide', () => {
  for (const r of running.value) {
    const { id, parent, role, content, created, notes } = r.message;
    const json = { messages: [{ id, parent, role, content, created, notes: { ...notes, finish: 'stopped' } }] };
    request(`/app/conversations/${r.talk}`, { method: 'PUT', json, keepalive: true }).catch(() => {});
  }
});
