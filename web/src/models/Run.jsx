// One run: what came out, how far it is, what it took.
import { Said } from '../chat/Said.jsx';
import { to } from '../lib/router.js';
import { duration, number, t, when } from '../lib/words.js';
import { Copy, Problem } from '../ui/parts.jsx';
import { hasEnded } from './runs.js';

const TONE = { succeeded: 'tag on', failed: 'tag bad' };
export const Status = ({ status }) => <span class={TONE[status] ?? 'tag'}>{t(`run.${status}`)}</span>;

function figures(p) {
  const m = p.metrics ?? {};
  return [
    m.predict_time !== undefined && duration(m.predict_time), m.output_token_count !== undefined && t('chat.tokens', { n: number(m.output_token_count) }),
    m.tokens_per_second !== undefined && t('chat.rate', { n: number(m.tokens_per_second, 1) }), m.time_to_first_token !== undefined && t('run.first', { time: duration(m.time_to_first_token) }),
  ].filter(Boolean).join(' · ');
}

export const linkOf = (p) => `${location.origin}/p/${p.id}`;

export function Outcome({ run: p, problem }) {
  if (problem) return <Problem text={problem} />;
  if (!p) return <p class="none">{t('run.none')}</p>;
  return (
    <div class="outcome" aria-busy={!hasEnded(p)}>
      <div class="outcome-head"><Status status={p.status} /><span class="note">{figures(p)}</span><span class="grow" />{p.text && <Copy text={p.text} />}</div>
      <div class="outcome-text">{p.text ? <Said text={p.text} isDone={hasEnded(p)} /> : !hasEnded(p) ? <span class="waiting" role="status" aria-label={t('chat.reading')}><i /><i /><i /></span> : <p class="nothing">{t('chat.nothing')}</p>}</div>
      {p.error && <Problem text={String(p.error)} />}
      {p.logs && <details><summary>{t('run.logs')}</summary><pre class="logs" tabIndex={0}>{p.logs}</pre></details>}
      <div class="outcome-foot"><a class="link" {...to(`/p/${p.id}`)}>{t('run.link')}</a><Copy text={linkOf(p)} label={t('run.copy_link')} /></div>
    </div>
  );
}

export const Input = ({ input }) => (
  <dl class="input">
    {Object.entries(input ?? {}).map(([key, v]) => <div key={key}><dt><code>{key}</code></dt><dd>{typeof v === 'string' ? v : JSON.stringify(v)}</dd></div>)}
  </dl>
);

export function History({ runs }) {
  if (!runs.length) return <p class="none">{t('run.no_history')}</p>;
  return (
    <div class="card rows" tabIndex={0} role="region" aria-label={t('model.history')}>
      <table>
        <thead><tr><th>{t('run.prompt')}</th><th>{t('run.status')}</th><th>{t('run.when')}</th><th class="n">{t('run.took')}</th></tr></thead>
        <tbody>
          {runs.map((p) => (
            <tr key={p.id}>
              <td class="cut"><a {...to(`/p/${p.id}`)}>{String(p.input?.prompt ?? p.id).slice(0, 120) || p.id}</a></td>
              <td><Status status={p.status} /></td><td>{when(p.created_at)}</td><td class="n">{p.metrics?.predict_time !== undefined ? duration(p.metrics.predict_time) : '–'}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
