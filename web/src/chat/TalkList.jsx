// The conversations that are kept: found by words, renamed, taken out, deleted.
import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { token } from '../lib/api.js';
import { go, route, to } from '../lib/router.js';
import { dayOf, t } from '../lib/words.js';
import { Icon, IconButton } from '../ui/icons.jsx';
import { chooseFiles, Confirm, Dialog, download, Menu } from '../ui/parts.jsx';
import { toast } from '../ui/toast.jsx';
import { running, stopOf } from './answer.js';
import { exportAll, exportOne, hasMore, heads, importFile, list, openNew, remove, rename, search, talk } from './talks.js';

export const searchRef = { current: null };
const failed = (e) => toast(e.message);

async function takeIn() {
  for (const f of await chooseFiles({ accept: '.json,application/json' })) {
    try {
      toast(t('import.done', { n: await importFile(await f.text()) }));
    } catch (e) {
      toast(e instanceof SyntaxError ? t('import.not_ours') : e.message);
    }
  }
}

function Rename({ head, onClose }) {
  const [title, setTitle] = useState(head.title);
  const save = (e) => {
    e.preventDefault();
    if (title.trim()) rename(head.id, title.trim());
    onClose();
  };
  return (
    <Dialog title={t('talk.rename')} onClose={onClose} class="small">
      <form onSubmit={save}>
        <label class="field" for="talk-title">{t('talk.title')}<input id="talk-title" value={title} maxlength={100} autofocus onInput={(e) => setTitle(e.target.value)} /></label>
        <div class="dialog-foot"><button type="button" class="plain" onClick={onClose}>{t('cancel')}</button><button type="submit" class="strong">{t('save')}</button></div>
      </form>
    </Dialog>
  );
}

const asked = signal(null); // {what: 'rename' | 'delete', head}

function Asked() {
  const a = asked.value;
  if (!a) return null;
  const close = () => { asked.value = null; };
  if (a.what === 'rename') return <Rename head={a.head} onClose={close} />;
  const yes = () => {
    stopOf(a.head.id);
    remove(a.head.id).then(() => { if (route.value.talk === a.head.id) go('/'); }, failed);
  };
  return <Confirm title={t('talk.delete')} text={t('talk.delete_sure', { title: a.head.title })} action={t('delete')} onYes={yes} onClose={close} />;
}

function Head({ head, onGo }) {
  const isOpen = talk.value?.id === head.id && route.value.room === 'chat';
  const items = [
    { label: t('talk.rename'), icon: 'edit', run: () => { asked.value = { what: 'rename', head }; } },
    { label: t('talk.export'), icon: 'out', run: () => exportOne(head.id).then((c) => download(`${head.title.replace(/[^\p{L}\p{N}]+/gu, '-').slice(0, 40) || 'chat'}.json`, c), failed) },
    { label: t('delete'), icon: 'bin', danger: true, run: () => { asked.value = { what: 'delete', head }; } },
  ];
  return (
    <li class={isOpen ? 'head now' : 'head'}>
      <a {...to(`/chat/${head.id}`, onGo)} aria-current={isOpen ? 'page' : undefined} title={head.title}>
        <span class="title">{head.title}</span>
        {head.excerpt && <span class="excerpt">{head.excerpt}</span>}
      </a>
      {running.value.some((r) => r.talk === head.id) && <span class="busy" role="img" aria-label={t('chat.writing')} />}
      <Menu label={t('talk.more', { title: head.title })} items={items} />
    </li>
  );
}

function groups() {
  const found = [];
  for (const h of heads.value) {
    const day = search.value ? 'talk.found' : dayOf(h.changed);
    if (found.at(-1)?.day !== day) found.push({ day, heads: [] });
    found.at(-1).heads.push(h);
  }
  return found;
}

export function TalkList({ onGo }) {
  const timer = useRef();
  useEffect(() => { list(); }, [token.value]);
  const onInput = (e) => {
    search.value = e.target.value;
    clearTimeout(timer.current);
    timer.current = setTimeout(list, 200);
  };
  return (
    <section class="talks" aria-label={t('talk.all')}>
      <div class="talks-head">
        <a class="new" {...to('/', () => { openNew(); onGo?.(); })}><Icon name="plus" />{t('chat.new')}</a>
        <Menu label={t('talk.out_and_in')} items={[
          { label: t('talk.export_all'), icon: 'out', run: () => exportAll().then((all) => download('higgins-conversations.json', all), failed) },
          { label: t('talk.import'), icon: 'into', run: takeIn },
        ]} />
      </div>
      <div class="find">
        <Icon name="search" />
        <input ref={searchRef} type="search" placeholder={t('talk.search')} aria-label={t('talk.search')} value={search.value} onInput={onInput}
          onKeyDown={(e) => { if (e.key === 'Escape' && search.value) { e.stopPropagation(); e.currentTarget.value = ''; onInput(e); } }} />
        {search.value && <IconButton name="close" label={t('talk.search_end')} onClick={() => { search.value = ''; list(); }} />}
      </div>
      <div class="heads">
        {groups().map((g) => (
          <div key={g.day}><h2>{t(g.day)}</h2><ul>{g.heads.map((h) => <Head key={h.id} head={h} onGo={onGo} />)}</ul></div>
        ))}
        {heads.value.length === 0 && <p class="none">{t(search.value ? 'talk.none_found' : 'talk.none')}</p>}
        {hasMore.value && <button type="button" class="plain" onClick={() => list(true)}>{t('talk.older')}</button>}
      </div>
      <Asked />
    </section>
  );
}
