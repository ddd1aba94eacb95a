// What this browser keeps between visits. Private windows and full disks refuse to store: then the page works without memory.
import { signal, effect } from '@preact/signals';

export function load(store, key, fallback) {
  try {
    return JSON.parse(store.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}

export function save(store, key, value) {
  try {
    if (value === undefined || value === null || value === '') store.removeItem(key);
    else store.setItem(key, JSON.stringify(value));
  } catch { /* nothing can be kept here */ }
}

// A signal that is there again at the next visit.
export function kept(key, fallback) {
  const s = signal(load(localStorage, `higgins.${key}`, fallback));
  effect(() => save(localStorage, `higgins.${key}`, s.value));
  return s;
}
