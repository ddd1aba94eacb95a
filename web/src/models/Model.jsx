// A model's page: run it, call it from a program, read about it, see its versions and what it was asked.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { habits, openNew } from '../chat/talks.js';
import { Said } from '../chat/Said.jsx';
import { getJson, modelPath, request, token } from '../lib/api.js';
import { contextOf, findModels } from '../lib/models.js';
import { go } from '../lib/router.js';
import { number, t, when } from '../lib/words.js';
import { Icon } from '../ui/icons.jsx';
import { Copy, Problem } from '../ui/parts.jsx';
import { Form } from './Form.jsx';
import { begin, cancel, hasEnded, runsOf } from './runs.js';
import { History, Outcome } from './Run.jsx';
import { fieldsOf, inputOf } from './schema.js';
import { languages, snippet } from './snippets.js';

// What a run's "Change and run again" hands over.
export const handed = { input: null };
const DEFAULT_OWNER = 'local/';
const plainId = (id) => (id.startsWith(DEFAULT_OWNER) ? id.slice(DEFAULT_OWNER.length) : id);

export function talkTo(id) {
  habits.value = { ...habits.value, model: plainId(id), second: undefined };
  openNew();
  go('/');
}

function Api({ id, input }) {
  const [language, setLanguage] = useState(languages[0]);
  const text = snippet(language, id, input, location.origin);
  return (
    <div class="card">
      <div class="choice" role="group" aria-label={t('model.language')}>
        {languages.map((l) => <button key={l} type="button" aria-pressed={l === language} onClick={() => setLanguage(l)}>{l}</button>)}
        <span class="grow" /><Copy text={text} label={t('chat.copy_code')} />
      </div>
      <pre class="snippet" tabIndex={0}><code>{text}</code></pre>
      <p class="note">{t('model.api_hint')}</p>
    </div>
  );
}

function Versions({ versions }) {
  if (!versions?.length) return <p class="none">{t('model.no_versions')}</p>;
  return <div class="card"><ul class="versions">{versions.map((v) => <li key={v.id}><code>{v.id.slice(0, 12)}…</code><Copy text={v.id} label={t('model.copy_version')} /><span class="note">{when(v.created_at)}</span></li>)}</ul></div>;
}

const tabs = ['play', 'api', 'readme', 'versions', 'history'];

function Tabs({ tab, onChange }) {
  const ref = useRef();
  const onKeyDown = (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    onChange(next);
    ref.current.querySelector(`#tab-${next}`).focus();
  };
  return (
    <div class="tabs" role="tablist" ref={ref} onKeyDown={onKeyDown}>
      {tabs.map((name) => <button key={name} type="button" role="tab" id={`tab-${name}`} aria-selected={name === tab} aria-controls="tab-panel" tabIndex={name === tab ? 0 : -1} onClick={() => onChange(name)}>{t(`model.${name}`)}</button>)}
    </div>
  );
}

export function Model({ id }) {
  const [model, setModel] = useState(null);
  const [more, setMore] = useState({ readme: '', versions: [], runs: [] });
  const [values, setValues] = useState(() => handed.input ?? {});
  const [tab, setTab] = useState('play');
  const [run, setRun] = useState(null);
  const [problem, setProblem] = useState('');
  const [runProblem, setRunProblem] = useState('');
  const path = modelPath(id);

  useEffect(() => {
    handed.input = null;
    setProblem('');
    findModels();
    getJson(`/v1/models/${path}`).then(setModel, (e) => setProblem(e.status === 404 ? t('model.gone', { id }) : e.status === 401 ? '' : e.message));
  }, [id, token.value]);
  useEffect(() => {
    const set = (key) => (v) => setMore((m) => ({ ...m, [key]: v }));
    const quiet = () => {};
    if (tab === 'readme') request(`/v1/models/${path}/readme`).then((r) => r.text()).then(set('readme'), quiet);
    if (tab === 'versions') getJson(`/v1/models/${path}/versions`).then((v) => set('versions')(v.results), quiet);
    if (tab === 'history') runsOf(id).then(set('runs'), quiet);
  }, [tab, id]);

  const fields = useMemo(() => fieldsOf(model?.latest_version?.openapi_schema), [model]);
  if (problem) return <Problem text={problem} />;
  if (!model) return <div aria-busy="true" />;

  const isRunning = !!run && !hasEnded(run);
  let input = {};
  try {
    input = inputOf(fields, values);
  } catch { /* JSON that is being written */ }
  const start = async () => {
    setRunProblem('');
    try {
      await begin(path, input, setRun);
    } catch (e) {
      setRunProblem(e.message);
      setRun(null);
    }
  };
  const context = contextOf(plainId(id));
  return (
    <>
      <div class="model-head">
        <div>
          <h1><span class="owner">{model.owner}/</span>{model.name}</h1>
          <p class="lead">{model.description || t('model.no_description')}</p>
          <p class="tags">
            {context > 0 && <span class="tag">{t('model.context', { n: number(context) })}</span>}
            <span class="tag">{t('model.runs', { n: number(model.run_count ?? 0) })}</span>
            {model.latest_version && <span class="tag mono" title={model.latest_version.id}>{model.latest_version.id.slice(0, 8)}</span>}
          </p>
        </div>
        <button type="button" class="plain" onClick={() => talkTo(id)}><Icon name="chat" />{t('model.talk')}</button>
      </div>
      <Tabs tab={tab} onChange={setTab} />
      <div id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab}`} class="tab-panel">
        {tab === 'play' && (
          <div class="play">
            <section class="card" aria-label={t('model.input')}>
              <Form fields={fields} values={values} onChange={setValues} onRun={start} isRunning={isRunning} onCancel={() => cancel(run.id).catch(() => {})} />
            </section>
            <section class="card" aria-label={t('model.output')} aria-live="polite"><Outcome run={run} problem={runProblem} /></section>
          </div>
        )}
        {tab === 'api' && <Api id={`${model.owner}/${model.name}`} input={input} />}
        {tab === 'readme' && <div class="card">{more.readme ? <Said text={more.readme} isDone /> : <p class="none">{t('model.no_readme')}</p>}</div>}
        {tab === 'versions' && <Versions versions={more.versions} />}
        {tab === 'history' && <History runs={more.runs} />}
      </div>
    </>
  );
}
