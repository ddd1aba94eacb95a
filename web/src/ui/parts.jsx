// Small parts that every room uses.
import { useEffect, useRef, useState } from 'preact/hooks';
import { t } from '../lib/words.js';
import { Icon, IconButton } from './icons.jsx';

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure origin there is no clipboard but the old one.
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'away';
    document.body.append(area);
    area.select();
    const ok = document.execCommand('copy');
    area.remove();
    return ok;
  }
}

export function Copy({ text, label = t('copy') }) {
  const [isDone, setDone] = useState(false);
  const copy = async () => {
    if (!(await copyText(typeof text === 'function' ? text() : text))) return;
    setDone(true);
    setTimeout(() => setDone(false), 1200);
  };
  return <IconButton name={isDone ? 'done' : 'copy'} label={isDone ? t('copied') : label} onClick={copy} class="copy" />;
}

// A modal dialog; the browser keeps the focus in it and Escape closes it.
export function Dialog({ title, onClose, children, class: extra }) {
  const ref = useRef();
  useEffect(() => {
    const before = document.activeElement;
    ref.current.showModal();
    return () => before?.focus?.({ preventScroll: true });
  }, []);
  return (
    <dialog ref={ref} class={extra} aria-label={title} onClose={onClose} onClick={(e) => { if (e.target === ref.current) ref.current.close(); }}>
      <div class="dialog-body">
        <div class="dialog-head"><h2>{title}</h2><IconButton name="close" label={t('close')} onClick={() => ref.current.close()} /></div>
        {children}
      </div>
    </dialog>
  );
}

// A button that opens a short list of things to do: [{label, icon, run, danger}].
export function Menu({ label, items, icon = 'more' }) {
  const [isOpen, setOpen] = useState(false);
  const ref = useRef();
  useEffect(() => {
    if (!isOpen) return undefined;
    const close = (e) => { if (!ref.current.contains(e.target)) setOpen(false); };
    document.addEventListener('pointerdown', close);
    ref.current.querySelector('[role=menuitem]')?.focus();
    return () => document.removeEventListener('pointerdown', close);
  }, [isOpen]);
  const onKeyDown = (e) => {
    if (!isOpen) return;
    const all = [...ref.current.querySelectorAll('[role=menuitem]')], i = all.indexOf(document.activeElement);
    if (e.key === 'ArrowDown') all[(i + 1) % all.length].focus();
    else if (e.key === 'ArrowUp') all[(i + all.length - 1) % all.length].focus();
    else if (e.key === 'Escape') {
      setOpen(false);
      ref.current.querySelector('button').focus();
    } else if (e.key === 'Tab') {
      setOpen(false);
      return;
    } else return;
    e.preventDefault();
    e.stopPropagation();
  };
  return (
    <span class={isOpen ? 'menu open' : 'menu'} ref={ref} onKeyDown={onKeyDown}>
      <IconButton name={icon} label={label} aria-haspopup="menu" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)} />
      {isOpen && (
        <span class="menu-list" role="menu" aria-label={label}>
          {items.map((item) => (
            <button key={item.label} type="button" role="menuitem" class={item.danger ? 'danger' : undefined} onClick={() => { setOpen(false); item.run(); }}>
              <Icon name={item.icon} />{item.label}
            </button>
          ))}
        </span>
      )}
    </span>
  );
}

export function Confirm({ title, text, action, onYes, onClose }) {
  return (
    <Dialog title={title} onClose={onClose} class="small">
      <p>{text}</p>
      <div class="dialog-foot">
        <button type="button" class="plain" onClick={onClose}>{t('cancel')}</button>
        <button type="button" class="strong danger" autofocus onClick={() => { onYes(); onClose(); }}>{action}</button>
      </div>
    </Dialog>
  );
}

export const Problem = ({ text, action, onAction }) => (
  <div class="problem" role="alert"><span>{text}</span>{action && <button type="button" onClick={onAction}>{action}</button>}</div>
);

export function Slider({ id, label, hint, value, onChange, min, max, step, digits = 2, disabled }) {
  return (
    <label class="field slider" for={id}>
      <span class="field-head">{label}<output>{value === '' || value === undefined ? '' : Number(value).toFixed(digits)}</output></span>
      <input id={id} type="range" min={min} max={max} step={step} value={value} disabled={disabled} onInput={(e) => onChange(Number(e.target.value))} />
      {hint && <small>{hint}</small>}
    </label>
  );
}

export function download(name, value) {
  const url = URL.createObjectURL(new Blob([typeof value === 'string' ? value : JSON.stringify(value, null, 2)], { type: 'application/json' }));
  const a = document.createElement('a');
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// Lets a person choose a file.
export function chooseFiles({ accept = '', multiple = false } = {}) {
  return new Promise((resolve) => {
    const input = document.createElement('input');
    Object.assign(input, { type: 'file', accept, multiple });
    input.addEventListener('change', () => resolve([...input.files]));
    input.addEventListener('cancel', () => resolve([]));
    input.click();
  });
}
