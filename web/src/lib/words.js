// The page's words, in two languages; which one is spoken is kept.
import { effect } from '@preact/signals';
import { kept } from './keep.js';
import { en } from './words_en.js';
import { fr } from './words_fr.js';

const languages = { en, fr };
export const language = kept('language', navigator.language.startsWith('fr') ? 'fr' : 'en');
effect(() => { document.documentElement.lang = language.value; });

// t('error.rate', {seconds: 3}): {seconds} in the sentence becomes 3. Where n is one, the sentence key_one is taken if there is one.
export function t(key, values = {}) {
  const words = languages[language.value] ?? en;
  const sentence = (String(values.n) === '1' && words[`${key}_one`]) || words[key] || en[key] || key;
  return sentence.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

export const number = (v, digits = 0) => v.toLocaleString(language.value, { maximumFractionDigits: digits, minimumFractionDigits: 0 });

const DAY = 86400;
// When a conversation was last spoken in: a key of words.
export function dayOf(seconds) {
  const days = Math.floor((new Date().setHours(0, 0, 0, 0) / 1000 - seconds) / DAY) + 1;
  return days <= 0 ? 'day.today' : days === 1 ? 'day.yesterday' : days < 7 ? 'day.week' : 'day.earlier';
}

export const when = (time) => new Date(typeof time === 'number' ? time * 1000 : time)
  .toLocaleString(language.value, { dateStyle: 'medium', timeStyle: 'short' });

export function bytes(n) {
  const units = language.value === 'fr' ? ['o', 'Ko', 'Mo', 'Go', 'To'] : ['B', 'KB', 'MB', 'GB', 'TB'];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1000;
  return `${number(n, n < 10 && i > 0 ? 1 : 0)} ${units[i]}`;
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${number(seconds, seconds < 10 ? 1 : 0)} s`;
  const m = Math.floor(seconds / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
  if (h < 1) return `${m} min ${Math.round(seconds % 60)} s`;
  return d < 1 ? `${h} h ${m % 60} min` : `${d} d ${h % 24} h`;
}
