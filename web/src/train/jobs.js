// Fine-tuning jobs, as OpenAI's protocol tells them.
import { getJson, request } from '../lib/api.js';

export const GOING = new Set(['validating_files', 'queued', 'running', 'paused']);
export const isGoing = (job) => GOING.has(job.status);

export const listJobs = async () => (await getJson('/v1/fine_tuning/jobs?limit=50')).data;
export const getJob = (id) => getJson(`/v1/fine_tuning/jobs/${encodeURIComponent(id)}`);
export const cancelJob = (id) => request(`/v1/fine_tuning/jobs/${encodeURIComponent(id)}/cancel`, { method: 'POST' });

// All events from the beginning on; the protocol gives the newest first, a page at a time.
export async function eventsOf(id) {
  const all = [];
  for (let after = '', more = true; more && all.length < 5000;) {
    const page = await getJson(`/v1/fine_tuning/jobs/${encodeURIComponent(id)}/events?limit=100${after && `&after=${after}`}`);
    all.push(...page.data);
    after = page.data.at(-1)?.id ?? '';
    more = page.has_more && after !== '';
  }
  return all.reverse();
}

export const pauseJob = (id) => request(`/v1/fine_tuning/jobs/${encodeURIComponent(id)}/pause`, { method: 'POST' });
export const resumeJob = (id) => request(`/v1/fine_tuning/jobs/${encodeURIComponent(id)}/resume`, { method: 'POST' });

async function upload(file) {
  const form = new FormData();
  form.append('purpose', 'fine-tune');
  form.append('file', file, file.name);
  return (await (await request('/v1/files', { method: 'POST', body: form })).json()).id;
}

export async function start({ file, heldOut, model, method, epochs, batch, rate, rank, seed, suffix }) {
  const hyperparameters = {
    ...(epochs !== '' && { n_epochs: epochs }), ...(batch !== '' && { batch_size: batch }),
    ...(rate !== '' && { learning_rate_multiplier: rate }), ...(rank !== '' && { lora_rank: rank }),
  };
  const training_file = await upload(file);
  const validation_file = heldOut ? await upload(heldOut) : undefined;
  return getJson('/v1/fine_tuning/jobs', {
    method: 'POST',
    json: { model, training_file, ...(validation_file && { validation_file }), method: { type: method, [method]: { hyperparameters } }, ...(suffix && { suffix }), ...(seed !== '' && { seed }) },
  });
}

// What a file holds, before it goes anywhere: {n, kind} or {problem, line}.
export function look(text) {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  let kind = '';
  for (const [i, line] of lines.entries()) {
    let o;
    try {
      o = JSON.parse(line);
    } catch {
      return { problem: 'train.no_json', line: i + 1 };
    }
    const its = Array.isArray(o?.messages) ? 'supervised' : o?.preferred_output && o?.non_preferred_output ? 'dpo' : '';
    if (!its || (kind && its !== kind)) return { problem: 'train.no_messages', line: i + 1 };
    kind = its;
  }
  return lines.length > 0 ? { n: lines.length, kind } : { problem: 'train.empty', line: 0 };
}
