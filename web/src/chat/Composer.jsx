// Where one writes: text, files, send and stop.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { bytes, number, t } from '../lib/words.js';
import { Icon, IconButton } from '../ui/icons.jsx';
import { chooseFiles } from '../ui/parts.jsx';
import { toast } from '../ui/toast.jsx';
import { contextOf } from '../lib/models.js';
import { isRunning, say, stop } from './answer.js';
import { path, settings, talk } from './talks.js';

const MAX_FILE = 256 * 1024, MAX_ALL = 1024 * 1024;
export const draft = signal('');
const files = signal([]);

async function attach(list) {
  for (const f of list) {
    const all = files.value.reduce((n, one) => n + one.text.length, 0);
    if (f.size > MAX_FILE || all + f.size > MAX_ALL) {
      toast(t('file.large', { name: f.name, limit: bytes(f.size > MAX_FILE ? MAX_FILE : MAX_ALL) }));
      continue;
    }
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(await f.arrayBuffer());
      if (text.includes('\0')) throw new TypeError('not text');
      files.value = [...files.value, { name: f.name, text }];
    } catch {
      toast(t('file.not_text', { name: f.name }));
    }
  }
}

// How much of what the model can read at once is used.
function Context() {
  const used = path.value.findLast((m) => m.notes?.context)?.notes.context;
  const all = contextOf(settings.value.model);
  if (!used || !all) return null;
  const share = Math.min(1, used / all);
  return (
    <span class={share > 0.85 ? 'context full' : 'context'}>
      <meter min={0} max={all} value={used} aria-label={t('chat.context')} />
      <span>{t('chat.context_of', { used: number(used), all: number(all) })}</span>
    </span>
  );
}

export function Composer({ inputRef }) {
  const own = useRef();
  const ref = inputRef ?? own;
  const busy = isRunning();
  const isEmpty = !settings.value.model || (draft.value.trim() === '' && files.value.length === 0);

  useEffect(() => {
    ref.current.style.height = 'auto';
    ref.current.style.height = `${ref.current.scrollHeight}px`;
  }, [draft.value]);
  useEffect(() => { if (matchMedia('(hover: hover)').matches) ref.current.focus({ preventScroll: true }); }, [talk.value?.id]);

  const send = () => {
    if (busy || isEmpty) return;
    say(draft.value.trim(), files.value);
    draft.value = '';
    files.value = [];
  };
  const onKeyDown = (e) => {
    if (e.key !== 'Enter' || e.shiftKey || e.isComposing) return;
    e.preventDefault();
    send();
  };
  return (
    <form class="composer" onSubmit={(e) => { e.preventDefault(); if (busy) stop(); else send(); }}
      onDragOver={(e) => e.preventDefault()} onDrop={(e) => { e.preventDefault(); attach([...e.dataTransfer.files]); }}>
      <div class="box">
        {files.value.length > 0 && (
          <div class="files">
            {files.value.map((f, i) => (
              <span class="file" key={i}><Icon name="file" />{f.name}
                <IconButton name="close" label={t('file.remove', { name: f.name })} onClick={() => { files.value = files.value.filter((_, k) => k !== i); }} />
              </span>
            ))}
          </div>
        )}
        <div class="row">
          <IconButton name="clip" label={t('file.attach')} onClick={async () => attach(await chooseFiles({ multiple: true }))} />
          <textarea id="input" ref={ref} rows={1} placeholder={t('chat.placeholder')} aria-label={t('chat.message')} enterkeyhint="send"
            value={draft.value} onInput={(e) => { draft.value = e.target.value; }} onKeyDown={onKeyDown}
            onPaste={(e) => { if (e.clipboardData.files.length > 0) { e.preventDefault(); attach([...e.clipboardData.files]); } }} />
          <button id="send" type="submit" class="send" disabled={!busy && isEmpty} aria-label={busy ? t('stop') : t('send')} title={busy ? t('stop') : t('send')}>
            <Icon name={busy ? 'stop' : 'send'} />
          </button>
        </div>
      </div>
      <p class="hint"><Context /><span class="keys">{t('chat.enter')}</span></p>
    </form>
  );
}
