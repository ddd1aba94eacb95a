// Where in the page one is: each room has a path, so that what is seen can be linked to.
import { signal } from '@preact/signals';

function parse() {
  const parts = location.pathname.split('/').filter(Boolean).map(decodeURIComponent);
  const [first, ...rest] = parts;
  if (first === 'models') return { room: 'models', model: rest.slice(0, 2).join('/') };
  if (first === 'p') return { room: 'models', prediction: rest[0] };
  if (first === 'train') return { room: 'train', job: rest[0] };
  if (first === 'dashboard') return { room: 'dashboard' };
  return { room: 'chat', talk: first === 'chat' ? rest[0] : undefined };
}

// Links that the protocols give out: /#/p/ID, /#/m/OWNER/NAME.
function takeHash() {
  const m = /^#\/(p|m)\/(.+)$/.exec(location.hash);
  if (m) history.replaceState(null, '', m[1] === 'p' ? `/p/${m[2]}` : `/models/${m[2]}`);
}
takeHash();

export const route = signal(parse());
addEventListener('hashchange', () => {
  takeHash();
  route.value = parse();
});
addEventListener('popstate', () => { route.value = parse(); });

export function go(path, { replace = false } = {}) {
  if (path === location.pathname) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', path);
  route.value = parse();
}

// Properties of an <a> that goes there without loading the page anew; with a modifier it stays a link.
export const to = (path, after) => ({
  href: path,
  onClick: (e) => {
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    go(path);
    after?.();
  },
});
