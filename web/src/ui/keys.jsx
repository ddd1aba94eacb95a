// What keys do everywhere, and the list that tells them.
import { t } from '../lib/words.js';
import { Dialog } from './parts.jsx';

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const isWriting = (node) => node instanceof HTMLElement && (node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName));

function nameOf(e) {
  const mod = isMac ? e.metaKey : e.ctrlKey;
  const key = e.altKey && e.code.startsWith('Digit') ? e.code.slice(5) : e.key.toLowerCase();
  if (key === '?') return '?';
  return [mod && 'mod', e.altKey && 'alt', e.shiftKey && 'shift', key].filter(Boolean).join('+');
}

// {'mod+k': f}; keys without a modifier count only where nothing is written, Escape always.
export function whenPressed(table) {
  document.addEventListener('keydown', (e) => {
    const name = nameOf(e);
    const run = table[name];
    if (!run || e.defaultPrevented || document.querySelector('dialog[open]')) return;
    if ((name === '?' || name === '/') && isWriting(e.target)) return;
    if (name !== 'escape') e.preventDefault();
    run();
  });
}

const list = [
  ['Enter', 'keys.send'], ['Shift Enter', 'keys.line'], ['Esc', 'keys.stop'], ['/', 'keys.write'], ['mod Shift O', 'keys.new'], ['mod K', 'keys.search'],
  ['mod ,', 'keys.settings'], ['Alt 1', 'room.chat'], ['Alt 2', 'room.models'], ['Alt 3', 'room.train'], ['Alt 4', 'room.dashboard'], ['?', 'keys.list'],
];

export const Shortcuts = ({ onClose }) => (
  <Dialog title={t('keys')} onClose={onClose} class="small">
    <dl class="keys-list">
      {list.map(([keys, what]) => (
        <div key={keys}><dt>{t(what)}</dt><dd>{keys.split(' ').map((k) => <kbd key={k}>{k === 'mod' ? (isMac ? '⌘' : 'Ctrl') : k}</kbd>)}</dd></div>
      ))}
    </dl>
  </Dialog>
);
