// What was said, drawn as Markdown block by block.
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { memo } from 'preact/compat';
import { blocks, draw } from '../lib/markdown.js';
import { t } from '../lib/words.js';
import { Copy } from '../ui/parts.jsx';

const lazily = (load) => {
  let promise;
  return () => (promise ??= load());
};
const formulas = lazily(() => import('../lib/formulas.js'));
const colours = lazily(() => import('../lib/colours.js'));

const Block = memo(({ token }) => {
  const ref = useRef();
  useLayoutEffect(() => {
    ref.current.replaceChildren(draw(token));
    if (ref.current.querySelector('.math')) formulas().then((f) => ref.current && f.drawFormulas(ref.current));
    for (const table of ref.current.querySelectorAll('table')) {
      const box = document.createElement('div');
      box.className = 'table';
      box.tabIndex = 0;
      table.replaceWith(box);
      box.append(table);
    }
  }, [token.raw]);
  return <div ref={ref} class="block" />;
}, (a, b) => a.token.raw === b.token.raw);

const Code = memo(({ text, language, isDone }) => {
  const ref = useRef();
  useLayoutEffect(() => {
    ref.current.textContent = text;
    // While code grows it stays plain: colours of a half line would flicker.
    if (isDone) colours().then((c) => ref.current && c.colour(ref.current, language));
  }, [text, language, isDone]);
  return (
    <div class="code">
      <div class="code-head"><span>{language || t('code')}</span><Copy text={text} label={t('chat.copy_code')} /></div>
      <pre tabIndex={0}><code ref={ref} /></pre>
    </div>
  );
});

export function Said({ text, isDone }) {
  const list = useMemo(() => blocks(text), [text]);
  return (
    <div class="said">
      {list.map((token, i) => (token.type === 'code'
        ? <Code key={i} text={token.text} language={(token.lang ?? '').match(/^[\w+#.-]+/)?.[0] ?? ''} isDone={isDone || i < list.length - 1} />
        : <Block key={i} token={token} />))}
    </div>
  );
}
