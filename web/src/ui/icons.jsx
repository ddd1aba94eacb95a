// The page's icons: strokes on a grid of 24.
const paths = {
  menu: 'M4 7h16M4 12h16M4 17h16', plus: 'M12 5v14M5 12h14', send: 'M12 19V6M6 11.5 12 5.5l6 6', close: 'm6 6 12 12M18 6 6 18', down: 'M12 5v13M6 12.5l6 6 6-6',
  again: 'M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.2M20 4.5v4.7h-4.7', done: 'm5 12.5 4.5 4.5L19 7.5', bin: 'M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7',
  copy: 'M11.5 9h6a2.5 2.5 0 0 1 2.5 2.5v6a2.5 2.5 0 0 1-2.5 2.5h-6A2.5 2.5 0 0 1 9 17.5v-6A2.5 2.5 0 0 1 11.5 9ZM5.5 15H5a1.5 1.5 0 0 1-1.5-1.5V5A1.5 1.5 0 0 1 5 3.5h8.5A1.5 1.5 0 0 1 15 5v.5',
  edit: 'm5 19 .8-3.6L16.5 4.7a1.6 1.6 0 0 1 2.3 0l.5.5a1.6 1.6 0 0 1 0 2.3L8.6 18.2 5 19Z', clip: 'm19 11.5-7.4 7.4a4.6 4.6 0 0 1-6.5-6.5l7.8-7.8a3 3 0 0 1 4.3 4.3l-7.8 7.7a1.5 1.5 0 0 1-2.1-2.1l7.1-7',
  gear: 'M4 7h8.5M18.5 7H20M4 17h1.5M11.5 17H20M18.5 7a3 3 0 1 1-6 0 3 3 0 0 1 6 0ZM11.5 17a3 3 0 1 1-6 0 3 3 0 0 1 6 0Z', chat: 'M5 5.5h14a1.5 1.5 0 0 1 1.5 1.5v8.5A1.5 1.5 0 0 1 19 17h-7l-4.5 3.5V17H5a1.5 1.5 0 0 1-1.5-1.5V7A1.5 1.5 0 0 1 5 5.5Z',
  models: 'm12 3.5 8 4.3v8.4l-8 4.3-8-4.3V7.8l8-4.3ZM4 7.8l8 4.4 8-4.4M12 12.2v8.3', train: 'M4 19.5V4.5M4 19.5h16.5M7.5 6.5c1.5 7 4 9.5 12 10', dash: 'M4 19.5h16M6.5 16v-4M12 16V5M17.5 16V9',
  left: 'm14.5 6-6 6 6 6', right: 'm9.5 6 6 6-6 6', more: 'M6 12h.01M12 12h.01M18 12h.01', search: 'M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM15.5 15.5 20 20', beside: 'M4.5 5.5h15v13h-15zM12 5.5v13',
  out: 'M12 15V4M7.5 8 12 3.5 16.5 8M5 14.5v5h14v-5', into: 'M12 4v11M7.5 10.5 12 15l4.5-4.5M5 14.5v5h14v-5', keys: 'M3.5 7h17v10h-17zM7 10.5h.01M10.5 10.5h.01M14 10.5h.01M17 10.5h.01M8 13.7h8',
  moon: 'M19.5 14.3A8 8 0 0 1 9.7 4.5a8 8 0 1 0 9.8 9.8Z', sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1',
  play: 'M8 5.5v13l10.5-6.5L8 5.5Z', on: 'M5 12h13M12.5 6.5 18 12l-5.5 5.5', tool: 'M14.5 6.5a4 4 0 0 1 5-1l-2.7 2.7 1 2 2 .9 2.2-2.6a4 4 0 0 1-5.5 4.7L9 20.5a2 2 0 0 1-3-3l7.4-7.2a4 4 0 0 1 1.1-3.8Z', file: 'M7 3.5h7l4.5 4.5v12.5H7zM14 3.5V8h4.5',
  stop: 'M8.5 7h7A1.5 1.5 0 0 1 17 8.5v7a1.5 1.5 0 0 1-1.5 1.5h-7A1.5 1.5 0 0 1 7 15.5v-7A1.5 1.5 0 0 1 8.5 7Z',
};
const solid = new Set(['stop', 'play']);

export const Icon = ({ name }) => <svg viewBox="0 0 24 24" aria-hidden="true" class={solid.has(name) ? 'solid' : undefined}><path d={paths[name]} /></svg>;

export const IconButton = ({ name, label, class: extra, ...rest }) => (
  <button type="button" class={`icon ${extra ?? ''}`} aria-label={label} title={label} {...rest}><Icon name={name} /></button>
);
