// The models that the server has, as all rooms know them.
import { signal } from '@preact/signals';
import { getJson } from './api.js';

export const models = signal(null); // null: not asked yet; [{id, context_length, created, owned_by}]
export const modelsProblem = signal('');

export async function findModels() {
  try {
    const found = await getJson('/v1/models');
    models.value = found.data;
    modelsProblem.value = '';
  } catch (e) {
    models.value ??= [];
    modelsProblem.value = e.status === 401 ? '' : e.message;
  }
}

export const contextOf = (id) => models.value?.find((m) => m.id === id)?.context_length ?? 0;
