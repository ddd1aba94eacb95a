// A sentence at the page's foot that goes by itself.
import { signal } from '@preact/signals';

const shown = signal([]);
let last = 0;

export function toast(text) {
  const id = ++last;
  if (shown.value.some((s) => s.text === text)) return;
  shown.value = [...shown.value, { id, text }];
  setTimeout(() => { shown.value = shown.value.filter((s) => s.id !== id); }, 6000);
}

export const Toasts = () => <div class="toasts" role="status" aria-live="polite">{shown.value.map((s) => <p key={s.id}>{s.text}</p>)}</div>;
