// One message, with what can be done to it.
import { useState } from 'preact/hooks';
import { number, t } from '../lib/words.js';
import { Icon, IconButton } from '../ui/icons.jsx';
import { Copy, Problem } from '../ui/parts.jsx';
import { again, goOn, isRunning, say, tell } from './answer.js';
import { Said } from './Said.jsx';
import { lookAt, messages } from './talks.js';
import { siblings } from './tree.js';

function Siblings({ message }) {
  const all = siblings(messages.value, message);
  const i = all.findIndex((m) => m.id === message.id);
  if (all.length < 2) return null;
  return (
    <span class="siblings" role="group" aria-label={t('chat.versions')}>
      <IconButton name="left" label={t('chat.previous')} disabled={i === 0} onClick={() => lookAt(all[i - 1].id)} />
      <span>{i + 1}/{all.length}</span>
      <IconButton name="right" label={t('chat.next')} disabled={i === all.length - 1} onClick={() => lookAt(all[i + 1].id)} />
    </span>
  );
}

const Files = ({ files }) => (
  <div class="files">{files.map((f, i) => <span key={i} class="file"><Icon name="file" />{f.name}</span>)}</div>
);

function Editing({ message, onEnd }) {
  const [text, setText] = useState(message.content);
  const send = () => {
    onEnd();
    if (text.trim()) say(text.trim(), message.notes?.files ?? [], message.parent ?? null);
  };
  const onKeyDown = (e) => {
    if (e.key === 'Escape') onEnd();
    else if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) {
      e.preventDefault();
      send();
    } else return;
    e.stopPropagation();
  };
  return (
    <div class="editing">
      <textarea aria-label={t('chat.edit')} value={text} rows={Math.min(12, text.split('\n').length + 1)} autofocus
        ref={(node) => node && !node.dataset.seen && (node.dataset.seen = '1') && node.focus()}
        onInput={(e) => setText(e.target.value)} onKeyDown={onKeyDown} />
      <div class="editing-foot">
        <small>{t('chat.edit_hint')}</small>
        <button type="button" class="plain" onClick={onEnd}>{t('cancel')}</button>
        <button type="button" class="strong" onClick={send}>{t('send')}</button>
      </div>
    </div>
  );
}

export function Question({ message }) {
  const [isEditing, setEditing] = useState(false);
  if (isEditing) return <li class="message user"><Editing message={message} onEnd={() => setEditing(false)} /></li>;
  return (
    <li class="message user">
      {message.notes?.files?.length > 0 && <Files files={message.notes.files} />}
      {message.content && <div class="bubble">{message.content}</div>}
      <div class="tools">
        <Siblings message={message} />
        <Copy text={message.content} />
        <IconButton name="edit" label={t('chat.edit')} disabled={isRunning()} onClick={() => setEditing(true)} />
      </div>
    </li>
  );
}

function pretty(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

// What the model wants to be called, and, while nobody has answered, where to say what came of it.
function Calls({ message, isLast }) {
  const [results, setResults] = useState(() => message.notes.calls.map(() => ''));
  const canTell = isLast && !message.running && message.notes.finish === 'tool_calls';
  return (
    <form class="calls" onSubmit={(e) => { e.preventDefault(); tell(message, results); }}>
      {message.notes.calls.map((c, i) => (
        <div class="call" key={i}>
          <div class="call-head"><Icon name="tool" /><b>{c.name}</b></div>
          <pre tabIndex={0}>{pretty(c.arguments)}</pre>
          {canTell && (
            <label class="field">{t('chat.result')}
              <textarea rows={2} value={results[i]} onInput={(e) => setResults(results.map((r, k) => (k === i ? e.target.value : r)))} />
            </label>
          )}
        </div>
      ))}
      {canTell && <button type="submit" class="strong">{t('chat.tell')}</button>}
    </form>
  );
}

function facts(notes) {
  const list = [];
  if (notes.tokens) list.push(t('chat.tokens', { n: number(notes.tokens) }));
  if (notes.rate) list.push(t('chat.rate', { n: number(notes.rate, 1) }));
  if (notes.finish === 'length') list.push(t('chat.cut'));
  if (notes.finish === 'stopped') list.push(t('chat.stopped'));
  return list.join(' · ');
}

const Waiting = () => <span class="waiting" role="status" aria-label={t('chat.reading')}><i /><i /><i /></span>;

export function Answer({ message, isLast, showsModel, children }) {
  const { notes } = message;
  const busy = isRunning();
  const isEmpty = message.content === '' && !notes.calls?.length;
  const canGoOn = isLast && !busy && message.content !== '' && !notes.calls?.length;
  return (
    <div class="message assistant" aria-busy={!!message.running}>
      {showsModel && <div class="who">{notes.model}</div>}
      {message.content !== '' && <Said text={message.content} isDone={!message.running} />}
      {notes.calls?.length > 0 && <Calls message={message} isLast={isLast} />}
      {message.running && isEmpty && <Waiting />}
      {!message.running && isEmpty && !notes.error && <p class="nothing">{t('chat.nothing')}</p>}
      {notes.error && <Problem text={notes.error} action={isLast && !busy ? t('again') : undefined} onAction={() => again(message)} />}
      {!message.running && (
        <div class="tools">
          <Siblings message={message} />
          {!isEmpty && <Copy text={message.content} />}
          {isLast && <IconButton name="again" label={t('chat.again')} disabled={busy} onClick={() => again(message)} />}
          {canGoOn && <IconButton name="on" label={t('chat.go_on')} onClick={() => goOn(message)} />}
          {children}
          <span class="facts">{facts(notes)}</span>
        </div>
      )}
      {message.running && notes.rate > 0 && <div class="tools live"><span class="facts">{t('chat.rate', { n: number(notes.rate, 1) })}</span></div>}
    </div>
  );
}

export const Told = ({ message }) => (
  <li class="message told"><div class="call"><div class="call-head"><Icon name="tool" /><b>{t('chat.result_of', { name: message.notes.name })}</b></div><pre tabIndex={0}>{message.content}</pre></div></li>
);
