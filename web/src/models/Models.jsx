// The room of models: all of them, one of them, one run.
import { useEffect, useState } from 'preact/hooks';
import { getJson, modelPath, token } from '../lib/api.js';
import { contextOf, findModels, models, modelsProblem } from '../lib/models.js';
import { go, route, to } from '../lib/router.js';
import { number, t, when } from '../lib/words.js';
import { Icon } from '../ui/icons.jsx';
import { Confirm, Copy, Problem } from '../ui/parts.jsx';
import { toast } from '../ui/toast.jsx';
import { handed, Model } from './Model.jsx';
import { Input, linkOf, Outcome } from './Run.jsx';
import { cancel, follow, getRun, hasEnded, removeRun, textOf } from './runs.js';

const AT_ONCE = 60;

function List() {
  const [words, setWords] = useState('');
  const [about, setAbout] = useState({});
  useEffect(() => { findModels(); }, [token.value]);
  useEffect(() => {
    for (const m of (models.value ?? []).slice(0, AT_ONCE))
      getJson(`/v1/models/${modelPath(m.id)}`).then((found) => setAbout((all) => ({ ...all, [m.id]: found })), () => {});
  }, [models.value]);
  const fits = (m) => words.trim().toLowerCase().split(/\s+/).every((w) => `${m.id} ${about[m.id]?.description ?? ''}`.toLowerCase().includes(w));
  const found = (models.value ?? []).filter(fits);
  return (
    <>
      <h1>{t('room.models')}</h1>
      <p class="lead">{t('models.lead')}</p>
      {modelsProblem.value && <Problem text={modelsProblem.value} action={t('again')} onAction={findModels} />}
      <div class="find models-find"><Icon name="search" /><input type="search" aria-label={t('models.search')} placeholder={t('models.search')} value={words} onInput={(e) => setWords(e.target.value)} /></div>
      <ul class="models">
        {found.map((m) => (
          <li key={m.id}>
            <a class="card" {...to(`/models/${m.id.includes('/') ? m.id : `local/${m.id}`}`)}>
              <b>{m.id}</b>
              <span class="about">{about[m.id]?.description || t('model.no_description')}</span>
              <span class="note">{[contextOf(m.id) > 0 && t('model.context', { n: number(contextOf(m.id)) }), about[m.id] && t('model.runs', { n: number(about[m.id].run_count ?? 0) })].filter(Boolean).join(' · ')}</span>
            </a>
          </li>
        ))}
      </ul>
      {models.value && found.length === 0 && <p class="none">{t('talk.none_found')}</p>}
    </>
  );
}

// A run at its permanent link.
function Run({ id }) {
  const [run, setRun] = useState(null);
  const [problem, setProblem] = useState('');
  const [asks, setAsks] = useState(false);
  useEffect(() => {
    let isHere = true;
    const set = (p) => isHere && setRun(p);
    setProblem('');
    getRun(id).then((p) => (hasEnded(p) ? set({ ...p, text: textOf(p) }) : follow(p, set)))
      .catch((e) => isHere && setProblem(e.status === 404 ? t('run.gone') : e.status === 401 ? '' : e.message));
    return () => { isHere = false; };
  }, [id, token.value]);
  if (problem) return <Problem text={problem} action={t('room.models')} onAction={() => go('/models')} />;
  if (!run) return <div aria-busy="true" />;
  const model = run.model.includes('/') ? run.model : `local/${run.model}`;
  const change = () => {
    handed.input = run.input;
    go(`/models/${model}`);
  };
  return (
    <>
      <div class="model-head">
        <div><p class="crumb"><a class="link" {...to(`/models/${model}`)}>{run.model}</a></p><h1>{t('run.title')}</h1><p class="lead">{when(run.created_at)}</p></div>
        <div class="actions">
          {!hasEnded(run) && <button type="button" class="plain" onClick={() => cancel(id).catch((e) => toast(e.message))}>{t('cancel')}</button>}
          {hasEnded(run) && <button type="button" class="plain" onClick={() => setAsks(true)}>{t('delete')}</button>}
          <Copy text={linkOf(run)} label={t('run.copy_link')} />
          <button type="button" class="strong" onClick={change}>{t('run.change')}</button>
        </div>
      </div>
      <div class="play">
        <section class="card" aria-label={t('model.input')}>{run.data_removed ? <p class="none">{t('run.removed')}</p> : <Input input={run.input} />}</section>
        <section class="card" aria-label={t('model.output')}><Outcome run={run} /></section>
      </div>
      {asks && <Confirm title={t('run.delete')} text={t('run.delete_sure')} action={t('delete')} onClose={() => setAsks(false)} onYes={() => removeRun(id).then(() => go(`/models/${model}`), (e) => toast(e.message))} />}
    </>
  );
}

export function Models() {
  const { model, prediction } = route.value;
  return <div class="page">{prediction ? <Run key={prediction} id={prediction} /> : model ? <Model key={model} id={model} /> : <List />}</div>;
}
