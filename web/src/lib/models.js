// The models that the server has, as all rooms know them.
import { signal } from '@preact/signals';
import { getJson } from './api.js';

export const models = signal(null); // null: not asked yet; [{id, context_length, created, owned_by}]
export const modelsProblem = signal('');

// ELIZA is always there, listed or not: who has no weights yet has her.
async function eliza(listed) {
  if (listed.some((m) => /eliza/i.test(m.id))) return [];
  try {
    return [await getJson('/v1/models/weizenbaum%2Feliza')];
  } catch {
    return [];
  }
}

export async function findModels() {
  try {
    const found = await getJson('/v1/models');
    models.value = [...found.data, ...(await eliza(found.data))];
    modelsProblem.value = '';
  } catch (e) {
    models.value ??= [];
    modelsProblem.value = e.status === 401 ? '' : e.message;
  }
}

// How many tokens it reads; 0: as many as one likes, or nobody knows.
const MAX_CONTEXT = 4_000_000;
export const contextOf = (id) => {
  const n = models.value?.find((m) => m.id === id)?.context_length ?? 0;
  return n > MAX_CONTEXT ? 0 : n;
};
