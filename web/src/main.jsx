// The page of `higgins serve`: a frame with four rooms (talk to models, run them, train them, watch them), all of one server.
import { effect, signal } from '@preact/signals';
import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Chat, showsSettings } from './chat/Chat.jsx';
import { stop } from './chat/answer.js';
import { TalkList, searchRef } from './chat/TalkList.jsx';
import { openNew } from './chat/talks.js';
import { kept } from './lib/keep.js';
import { go, route, to } from './lib/router.js';
import { language, t } from './lib/words.js';
import { Icon, IconButton } from './ui/icons.jsx';
import { Shortcuts, whenPressed } from './ui/keys.jsx';
import { Toasts } from './ui/toast.jsx';
import { TokenGate } from './ui/TokenGate.jsx';

const theme = kept('theme', 'auto'); // 'auto', 'dark' or 'light'
effect(() => { document.documentElement.dataset.theme = theme.value; });
const isDark = () => theme.value === 'dark' || (theme.value === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches);

const isListOpen = signal(false); // on a phone
const showsKeys = signal(false);

// Rooms that are not visited are not fetched.
const lazy = {
  models: () => import('./models/Models.jsx').then((m) => m.Models),
  train: () => import('./train/Train.jsx').then((m) => m.Train),
  dashboard: () => import('./dashboard/Dashboard.jsx').then((m) => m.Dashboard),
};
function Later({ room }) {
  const [Room, setRoom] = useState(null);
  useEffect(() => {
    let isHere = true;
    setRoom(null);
    lazy[room]().then((r) => isHere && setRoom(() => r));
    return () => { isHere = false; };
  }, [room]);
  return Room ? <Room /> : <div class="room" aria-busy="true" />;
}

const rooms = [['chat', '/', 'chat'], ['models', '/models', 'models'], ['train', '/train', 'train'], ['dashboard', '/dashboard', 'dash']];

function Side() {
  const close = () => { isListOpen.value = false; };
  return (
    <aside id="side" aria-label={t('side')}>
      <div class="side-head">
        <a class="brand" {...to('/', close)}><span class="mark" aria-hidden="true">H</span>Higgins</a>
        <IconButton name="close" label={t('side.close')} class="phone-only" onClick={close} />
      </div>
      <nav aria-label={t('rooms')}>
        {rooms.map(([room, path, icon]) => (
          <a key={room} {...to(path, close)} class={route.value.room === room ? 'now' : undefined} aria-current={route.value.room === room ? 'page' : undefined}><Icon name={icon} />{t(`room.${room}`)}</a>
        ))}
      </nav>
      {route.value.room === 'chat' ? <TalkList onGo={close} /> : <span class="grow" />}
      <div class="side-foot">
        <label class="language"><span class="away">{t('language')}</span>
          <select value={language.value} aria-label={t('language')} onChange={(e) => { language.value = e.target.value; }}>
            <option value="en" lang="en">English</option><option value="fr" lang="fr">Français</option>
          </select>
        </label>
        <span class="grow" />
        <IconButton name="keys" label={t('keys')} onClick={() => { showsKeys.value = true; }} />
        <IconButton name={isDark() ? 'sun' : 'moon'} id="theme" label={t('theme')} onClick={() => { theme.value = isDark() ? 'light' : 'dark'; }} />
      </div>
    </aside>
  );
}

const focusInput = () => document.getElementById('input')?.focus();
whenPressed({
  'mod+shift+o': () => { openNew(); go('/'); focusInput(); },
  'mod+k': () => {
    if (route.value.room !== 'chat') go('/');
    isListOpen.value = true;
    requestAnimationFrame(() => searchRef.current?.focus());
  },
  'mod+,': () => { if (route.value.room === 'chat') showsSettings.value = true; },
  'alt+1': () => go('/'), 'alt+2': () => go('/models'), 'alt+3': () => go('/train'), 'alt+4': () => go('/dashboard'),
  '?': () => { showsKeys.value = true; },
  '/': focusInput,
  escape: () => { if (isListOpen.value) isListOpen.value = false; else stop(); },
});

function Page() {
  const { room } = route.value;
  useEffect(() => { if (room !== 'chat') document.title = `${t(`room.${room}`)} · Higgins`; }, [room, language.value]);
  return (
    <div class={isListOpen.value ? 'frame list' : 'frame'}>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById('main').focus(); }}>{t('skip')}</a>
      <Side />
      {isListOpen.value && <div class="shade" onClick={() => { isListOpen.value = false; }} />}
      <main id="main" tabIndex={-1}>
        <div class="phone-bar">
          <IconButton name="menu" id="side-open" label={t('side.open')} onClick={() => { isListOpen.value = true; }} />
          <b>{t(`room.${room}`)}</b>
          {room === 'chat' ? <IconButton name="plus" label={t('chat.new')} onClick={() => { openNew(); go('/'); }} /> : <span />}
        </div>
        {room === 'chat' ? <Chat /> : <Later room={room} />}
      </main>
      <TokenGate />
      {showsKeys.value && <Shortcuts onClose={() => { showsKeys.value = false; }} />}
      <Toasts />
    </div>
  );
}

render(<Page />, document.getElementById('app'));
