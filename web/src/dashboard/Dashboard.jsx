// What the server is doing: asked every second while somebody looks.
import { useEffect, useRef, useState } from 'preact/hooks';
import { getJson, token } from '../lib/api.js';
import { to } from '../lib/router.js';
import { bytes, duration, number, t } from '../lib/words.js';
import { Chart } from '../ui/Chart.jsx';
import { Problem } from '../ui/parts.jsx';

const KEPT = 180; // seconds of the curve

// What happened between two looks at the server.
function rates(before, now) {
  const sum = (s, key) => s.engines.reduce((n, e) => n + e[key], 0);
  const seconds = now.up_s - before.up_s;
  const per_s = (a, b) => Math.max(0, (b - a) / seconds);
  return {
    read: per_s(sum(before, 'prompt_tokens'), sum(now, 'prompt_tokens')),
    written: per_s(sum(before, 'completion_tokens'), sum(now, 'completion_tokens')),
    cores: per_s(before.cpu_s, now.cpu_s), watts: per_s(before.joules, now.joules),
  };
}

function useState1s() {
  const [state, setState] = useState(null);
  const [problem, setProblem] = useState('');
  const history = useRef({ x: [], written: [], read: [] });
  useEffect(() => {
    let timer, isHere = true, before = null;
    const look = async () => {
      try {
        const now = await getJson('/app/state');
        if (!isHere) return;
        const rate = before && now.up_s > before.up_s ? rates(before, now) : { read: 0, written: 0, cores: 0, watts: 0 };
        const h = history.current;
        if (before) {
          h.x = [...h.x, Date.now() / 1000].slice(-KEPT);
          h.written = [...h.written, rate.written].slice(-KEPT);
          h.read = [...h.read, rate.read].slice(-KEPT);
        }
        before = now;
        setState({ ...now, rate, curve: [h.x.map((x) => x - h.x.at(-1)), h.written, h.read] });
        setProblem('');
      } catch (e) {
        if (isHere) setProblem(e.status === 401 ? '' : e.status === 403 ? t('dash.scope') : e.message);
        if (e.status === 401 || e.status === 403) return;
      }
      timer = setTimeout(look, document.hidden ? 5000 : 1000);
    };
    look();
    return () => { isHere = false; clearTimeout(timer); };
  }, [token.value]);
  return [state, problem];
}

const Figure = ({ label, value, unit, note, meter }) => (
  <div class="card figure">
    <div class="label">{label}</div>
    <div class="value">{value}{unit && <small> {unit}</small>}</div>
    {meter && <meter min={0} max={meter[1]} value={meter[0]} aria-label={label} />}
    <div class="note">{note}</div>
  </div>
);

function Models({ state }) {
  const engine = (id) => state.engines.find((e) => e.id === id);
  return (
    <div class="card rows" tabIndex={0} role="region" aria-label={t('room.models')}>
      <table>
        <thead><tr><th>{t('model')}</th><th>{t('dash.where')}</th><th class="n">{t('dash.running')}</th><th class="n">{t('dash.waiting')}</th><th class="n">{t('dash.answers')}</th><th class="n">{t('dash.tokens')}</th></tr></thead>
        <tbody>
          {state.models.map((m) => {
            const e = engine(m.id);
            return (
              <tr key={m.id}>
                <td><a {...to(`/models/${m.id.includes('/') ? m.id : `local/${m.id}`}`)}>{m.id}</a></td>
                <td><span class={m.loaded ? 'tag on' : 'tag'}>{m.target ? t('dash.alias', { id: m.target }) : t(m.loaded ? 'dash.loaded' : 'dash.on_disk')}</span></td>
                <td class="n">{e ? e.running : '–'}</td><td class="n">{e ? e.waiting : '–'}</td><td class="n">{e ? number(e.answers) : '–'}</td>
                <td class="n">{e ? `${number(e.prompt_tokens)} / ${number(e.completion_tokens)}` : '–'}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

export function Dashboard() {
  const [s, problem] = useState1s();
  const sum = (key) => s.engines.reduce((n, e) => n + e[key], 0);
  return (
    <div class="page">
      <h1>{t('room.dashboard')}</h1>
      <p class="lead">{s ? t('dash.up', { version: s.version, time: duration(s.up_s) }) : t('dash.lead')}</p>
      {problem && <Problem text={problem} />}
      {s && (
        <>
          <div class="figures">
            <Figure label={t('dash.running')} value={number(sum('running'))} note={t('dash.running_note', { n: sum('waiting'), all: s.max_queue })} />
            <Figure label={t('dash.speed')} value={number(s.rate.written, s.rate.written < 100 ? 1 : 0)} unit={t('dash.per_s')} note={t('dash.speed_note', { n: number(s.rate.read, 0) })} />
            <Figure label={t('dash.memory')} value={bytes(s.rss)} meter={[s.models_bytes + s.trainings_bytes, s.models_limit]} note={t(s.trainings_bytes > 0 ? 'dash.memory_both' : 'dash.memory_note', { used: bytes(s.models_bytes), trained: bytes(s.trainings_bytes), all: bytes(s.models_limit) })} />
            <Figure label={t('dash.energy')} value={number(s.joules, 0)} unit="J" note={t(s.joules_source === 'rapl' ? 'dash.watts' : 'dash.watts_estimate', { n: number(s.rate.watts, 1) })} />
            <Figure label={t('dash.cpu')} value={number(s.rate.cores, 2)} unit={t('dash.cores')} note={t('dash.cpu_note', { time: duration(s.cpu_s) })} />
          </div>
          <h2>{t('dash.curve')}</h2>
          <div class="card chart">
            {s.curve[0].length > 1
              ? <Chart data={s.curve} formatX={(v) => (v === 0 ? t('dash.now') : `${number(v, 1)} s`)} label={t('dash.curve')} series={[{ label: t('dash.written') }, { label: t('dash.read'), colour: '--c-name' }]} format={(v) => number(v, 1)} />
              : <p class="none">{t('dash.soon')}</p>}
            <p class="legend"><span class="a">{t('dash.written')}</span><span class="b">{t('dash.read')}</span></p>
          </div>
          <h2>{t('room.models')}</h2>
          <Models state={s} />
        </>
      )}
    </div>
  );
}
