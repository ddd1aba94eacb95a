// Predictions: begun, read as they come, cancelled, found again.
import { Failure, getJson, readEvents, request } from '../lib/api.js';
import { t } from '../lib/words.js';

const ENDED = new Set(['succeeded', 'failed', 'canceled', 'aborted']);
export const hasEnded = (p) => ENDED.has(p.status);
export const textOf = (p) => (Array.isArray(p.output) ? p.output.join('') : p.output === null || p.output === undefined ? '' : typeof p.output === 'string' ? p.output : JSON.stringify(p.output, null, 2));

export const getRun = (id) => getJson(`/v1/predictions/${encodeURIComponent(id)}`);
export const cancel = (id) => request(`/v1/predictions/${encodeURIComponent(id)}/cancel`, { method: 'POST' });
export const removeRun = (id) => request(`/v1/predictions/${encodeURIComponent(id)}`, { method: 'DELETE' });
export const runsOf = async (id) => (await getJson('/v1/predictions')).results.filter((p) => p.model === id);

// Begins one and tells of it until its end: changed({...prediction, text}).
export async function begin(id, input, changed) {
  const p = await getJson(`/v1/models/${id}/predictions?source=web`, { method: 'POST', json: { input } });
  return follow(p, changed);
}

export async function follow(p, changed) {
  let now = { ...p, text: '' };
  changed(now);
  if (!hasEnded(p) && p.urls?.stream) {
    const response = await fetch(new URL(p.urls.stream).pathname, { headers: { Accept: 'text/event-stream' } });
    if (!response.ok) throw new Failure(t('error.status', { status: response.status }));
    for await (const e of readEvents(response.body)) {
      if (e.event === 'done') break;
      if (e.event === 'output') now = { ...now, status: 'processing', text: now.text + e.data };
      else if (e.event === 'logs') now = { ...now, logs: (now.logs ?? '') + e.data };
      changed(now);
    }
  }
  // The last words and the figures; the stream may end a moment before it is written down.
  for (let i = 0; i < 20; i++) {
    const end = await getRun(p.id);
    if (hasEnded(end) || i === 19) {
      now = { ...end, text: textOf(end) };
      changed(now);
      return now;
    }
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  return now;
}
