// The room of training: jobs, one job with its loss as it falls, a new one.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { token } from '../lib/api.js';
import { go, route, to } from '../lib/router.js';
import { duration, language, number, t, when } from '../lib/words.js';
import { talkTo } from '../models/Model.jsx';
import { Chart } from '../ui/Chart.jsx';
import { Icon } from '../ui/icons.jsx';
import { Problem } from '../ui/parts.jsx';
import { toast } from '../ui/toast.jsx';
import { cancelJob, eventsOf, getJob, isGoing, listJobs, pauseJob, resumeJob } from './jobs.js';
import { NewJob } from './NewJob.jsx';

const TONE = { succeeded: 'tag on', failed: 'tag bad' };
const Status = ({ status }) => <span class={TONE[status] ?? 'tag'}>{t(`train.${status}`)}</span>;

// Asks again and again while what was found is not the end.
function usePolled(ask, isOver, keys) {
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    let timer, isHere = true;
    const look = async () => {
      try {
        const f = await ask();
        if (!isHere) return;
        setFound(f);
        setProblem(null);
        if (isOver(f)) return;
      } catch (e) {
        if (isHere) setProblem(e);
        if (e.status === 401 || e.status === 404) return;
      }
      if (isHere) timer = setTimeout(look, document.hidden ? 6000 : 1500);
    };
    look();
    return () => { isHere = false; clearTimeout(timer); };
  }, [...keys, token.value]);
  return [found, problem];
}

function Jobs() {
  const [jobs, problem] = usePolled(listJobs, (all) => !all.some(isGoing), []);
  if (problem && problem.status !== 401) return <Problem text={problem.message} />;
  if (!jobs?.length) return <p class="none">{t('train.none')}</p>;
  return (
    <div class="card rows" tabIndex={0} role="region" aria-label={t('train.jobs')}>
      <table>
        <thead><tr><th>{t('train.job')}</th><th>{t('train.base')}</th><th>{t('run.status')}</th><th>{t('run.when')}</th><th class="n">{t('dash.tokens_only')}</th></tr></thead>
        <tbody>
          {jobs.map((j) => (
            <tr key={j.id}><td class="cut"><a {...to(`/train/${j.id}`)}>{j.fine_tuned_model ?? j.id}</a></td><td>{j.model}</td><td><Status status={j.status} /></td><td>{when(j.created_at)}</td><td class="n">{j.trained_tokens ? number(j.trained_tokens) : '–'}</td></tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function lossesOf(events) {
  const byStep = new Map();
  let total = 0;
  for (const e of events) {
    if (e.type !== 'metrics' || !Number.isFinite(e.data?.step)) continue;
    total = e.data.total_steps ?? total;
    const at = byStep.get(e.data.step) ?? [null, null];
    byStep.set(e.data.step, [e.data.train_loss ?? at[0], e.data.valid_loss ?? at[1]]);
  }
  const steps = [...byStep.keys()].sort((a, b) => a - b);
  return { data: [steps, steps.map((s) => byStep.get(s)[0]), steps.map((s) => byStep.get(s)[1])], step: steps.at(-1) ?? 0, total };
}

const lastOf = (list) => list.findLast((v) => v !== null);

function Loss({ losses, isOver }) {
  const { data, step, total } = losses;
  const has_valid = data[2].some((v) => v !== null);
  const series = [{ label: t('train.loss') }, ...(has_valid ? [{ label: t('train.valid'), colour: '--c-name', points: true }] : [])];
  const words = t('train.loss_words', { step, loss: number(lastOf(data[1]) ?? 0, 3) });
  return (
    <div class="card chart">
      {data[0].length > 0
        ? <Chart data={has_valid ? data : data.slice(0, 2)} series={series} label={words} height={260} format={(v) => number(v, 4)} formatX={(v) => number(v)} />
        : <p class="none">{t(isOver ? 'train.no_loss' : 'train.soon')}</p>}
      <p class="legend"><span class="a">{t('train.loss')}</span>{has_valid && <span class="b">{t('train.valid')}</span>}<span class="plain-note grow" />{total > 0 && <span class="plain-note">{t('train.step_of', { step: number(step), total: number(total) })}</span>}</p>
      {total > 0 && !isOver && <progress max={total} value={step} aria-label={t('train.progress')} />}
    </div>
  );
}

function Job({ id }) {
  const [found, problem] = usePolled(async () => {
    const [job, events] = await Promise.all([getJob(id), eventsOf(id)]);
    return { job, events };
  }, (f) => !isGoing(f.job), [id]);
  const losses = useMemo(() => lossesOf(found?.events ?? []), [found]);
  if (problem && !found) return problem.status === 401 ? null : <Problem text={problem.status === 404 ? t('train.gone') : problem.message} action={t('room.train')} onAction={() => go('/train')} />;
  if (!found) return <div aria-busy="true" />;
  const { job, events } = found;
  const took = job.finished_at ? duration(job.finished_at - job.created_at) : '';
  return (
    <>
      <div class="model-head">
        <div>
          <p class="crumb"><a class="link" {...to('/train')}>{t('room.train')}</a></p>
          <h1>{job.fine_tuned_model ?? t('train.of', { model: job.model })}</h1>
          <p class="tags"><Status status={job.status} /><span class="tag">{job.model}</span>{took && <span class="tag">{took}</span>}{job.trained_tokens > 0 && <span class="tag">{t('chat.tokens', { n: number(job.trained_tokens) })}</span>}</p>
        </div>
        <div class="actions">
          {job.status === 'running' && <button type="button" class="plain" onClick={() => pauseJob(id).catch((e) => toast(e.message))}>{t('train.pause')}</button>}
          {job.status === 'paused' && <button type="button" class="plain" onClick={() => resumeJob(id).catch((e) => toast(e.message))}>{t('train.resume')}</button>}
          {isGoing(job) && <button type="button" class="plain" onClick={() => cancelJob(id).catch((e) => toast(e.message))}>{t('cancel')}</button>}
          {job.fine_tuned_model && <button type="button" class="strong" onClick={() => talkTo(job.fine_tuned_model)}><Icon name="chat" />{t('model.talk')}</button>}
        </div>
      </div>
      {job.error?.message && <Problem text={job.error.message} />}
      <h2>{t('train.loss')}</h2>
      <Loss losses={losses} isOver={!isGoing(job)} />
      <h2>{t('train.events')}</h2>
      <ol class="card events">
        {events.filter((e) => e.type !== 'metrics').map((e) => <li key={e.id}><time>{new Date(e.created_at * 1000).toLocaleTimeString(language.value)}</time><span class={e.level === 'error' ? 'bad' : undefined}>{e.message}</span></li>)}
      </ol>
    </>
  );
}

export function Train() {
  const { job } = route.value;
  if (job) return <div class="page"><Job key={job} id={job} /></div>;
  return (
    <div class="page">
      <h1>{t('room.train')}</h1>
      <p class="lead">{t('train.lead')}</p>
      <NewJob />
      <h2>{t('train.jobs')}</h2>
      <Jobs />
    </div>
  );
}
