// The room in which one talks to models.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { signal, useSignalEffect } from '@preact/signals';
import { contextOf, findModels, models, modelsProblem } from '../lib/models.js';
import { go, route } from '../lib/router.js';
import { number, t } from '../lib/words.js';
import { token } from '../lib/api.js';
import { IconButton } from '../ui/icons.jsx';
import { Problem } from '../ui/parts.jsx';
import { isRunning, say } from './answer.js';
import { Composer } from './Composer.jsx';
import { Answer, Question, Told } from './Message.jsx';
import { Settings } from './Settings.jsx';
import { at, choose, lookAt, messages, open, openNew, path, settings, talk } from './talks.js';
import { pairOf } from './tree.js';

export const showsSettings = signal(false);

// Both the model and the one beside it; a conversation whose model is gone takes the first.
function Models() {
  const all = models.value ?? [];
  const s = settings.value;
  const pick = (key) => (e) => choose({ [key]: e.target.value });
  const options = all.map((m) => <option key={m.id} value={m.id}>{m.id}</option>);
  return (
    <div class="picked">
      <select id="model" aria-label={t('model')} value={s.model} onChange={pick('model')} disabled={all.length === 0}>{all.length ? options : <option>{t('model.none')}</option>}</select>
      {s.second && <select id="second" aria-label={t('model.second')} value={s.second} onChange={pick('second')}>{options}</select>}
      {all.length > 1 && (
        <IconButton name={s.second ? 'close' : 'beside'} label={t(s.second ? 'model.alone' : 'model.beside')}
          onClick={() => choose({ second: s.second ? undefined : (all.find((m) => m.id !== s.model) ?? all[0]).id })} />
      )}
    </div>
  );
}

function Welcome() {
  const context = contextOf(settings.value.model);
  return (
    <section class="welcome">
      <span class="mark" aria-hidden="true">H</span>
      <h1>{t('chat.welcome')}</h1>
      <p>{context ? t('chat.about', { model: settings.value.model, n: number(context) }) : t('chat.about_none')}</p>
      <div class="starters">
        {[1, 2, 3, 4].map((i) => <button key={i} type="button" disabled={!settings.value.model} onClick={() => say(t(`chat.starter${i}`))}>{t(`chat.starter${i}`)}</button>)}
      </div>
    </section>
  );
}

function Item({ message, isLast }) {
  if (message.role === 'user') return <Question message={message} />;
  if (message.role === 'tool') return <Told message={message} />;
  const pair = pairOf(messages.value, message);
  if (pair.length < 2) return <li><Answer message={message} isLast={isLast} showsModel={(models.value?.length ?? 0) > 1} /></li>;
  return (
    <li class="beside">
      {pair.map((m) => (
        <div key={m.id} class={m.id === message.id ? 'side chosen' : 'side'}>
          <Answer message={m} isLast={isLast && m.id === message.id} showsModel>
            {m.id !== message.id && !isRunning() && <button type="button" class="small" onClick={() => lookAt(m.id)}>{t('chat.choose')}</button>}
          </Answer>
        </div>
      ))}
    </li>
  );
}

const isAtEnd = (node) => node.scrollHeight - node.scrollTop - node.clientHeight < 60;

function Log() {
  const ref = useRef(), follows = useRef(true);
  const [isAway, setAway] = useState(false);
  const list = path.value;
  const toEnd = () => { ref.current.scrollTop = ref.current.scrollHeight; };
  const onScroll = () => {
    follows.current = isAtEnd(ref.current);
    setAway(!follows.current);
  };
  useLayoutEffect(() => { follows.current = true; toEnd(); }, [talk.value?.id, at.value]);
  // What grows pushes the end down: stay there, unless somebody has scrolled up to read.
  useEffect(() => {
    const watch = new ResizeObserver(() => { if (follows.current && ref.current) toEnd(); });
    watch.observe(ref.current.firstElementChild);
    return () => watch.disconnect();
  }, [list.length === 0]);
  return (
    <div class="scroll" ref={ref} onScroll={onScroll} tabIndex={-1}>
      {list.length === 0 ? <Welcome /> : (
        <div role="log" aria-label={t('chat.conversation')} aria-busy={isRunning()}>
          <ol class="log">{list.map((m, i) => <Item key={m.id} message={m} isLast={i === list.length - 1} />)}</ol>
        </div>
      )}
      {isAway && list.length > 0 && <IconButton name="down" label={t('chat.to_end')} class="to-end" onClick={toEnd} />}
    </div>
  );
}

// The path says which conversation is open; one that has just begun says its path.
function useTalkOfRoute(setProblem) {
  useEffect(() => {
    const wanted = route.value.talk;
    setProblem('');
    if (!wanted) {
      if (talk.value) openNew();
      return;
    }
    if (wanted === talk.value?.id) return;
    openNew();
    open(wanted).catch((e) => setProblem(e.status === 404 ? t('chat.gone') : e.status === 401 ? '' : e.message));
  }, [route.value.talk, token.value]);
  useSignalEffect(() => {
    const id = talk.value?.id;
    if (id && route.peek().room === 'chat' && route.peek().talk === undefined) go(`/chat/${id}`, { replace: true });
  });
}

export function Chat() {
  const [problem, setProblem] = useState('');
  const inputRef = useRef();
  useTalkOfRoute(setProblem);
  // A list from another room may be older than the model that was chosen there.
  const [isFresh, setFresh] = useState(false);
  useEffect(() => { findModels().then(() => setFresh(true)); }, [token.value]);
  useEffect(() => {
    const all = models.value;
    if (!all?.length || !isFresh) return;
    const s = settings.value, has = (id) => all.some((m) => m.id === id);
    if (!has(s.model)) settings.value = { ...s, model: all[0].id, second: has(s.second) ? s.second : undefined };
    else if (s.second && !has(s.second)) settings.value = { ...s, second: undefined };
  }, [models.value, settings.value, isFresh]);
  useEffect(() => { document.title = talk.value ? `${talk.value.title} · Higgins` : 'Higgins'; }, [talk.value?.title]);
  return (
    <div class="room chat">
      <header>
        <Models />
        <span class="grow" />
        <IconButton name="gear" id="settings-open" label={t('settings')} onClick={() => { showsSettings.value = true; }} />
      </header>
      {problem ? <div class="scroll"><div class="log"><Problem text={problem} action={t('chat.new')} onAction={() => go('/')} /></div></div> : <Log />}
      <footer>
        {modelsProblem.value && <Problem text={modelsProblem.value} action={t('again')} onAction={findModels} />}
        <Composer inputRef={inputRef} />
      </footer>
      {showsSettings.value && <Settings onClose={() => { showsSettings.value = false; }} />}
    </div>
  );
}
