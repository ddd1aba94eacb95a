// Upload a file, choose what learns from it and how, start.
import { useEffect, useState } from 'preact/hooks';
import { token } from '../lib/api.js';
import { findModels, models } from '../lib/models.js';
import { go } from '../lib/router.js';
import { bytes, number, t } from '../lib/words.js';
import { Icon } from '../ui/icons.jsx';
import { chooseFiles, Problem } from '../ui/parts.jsx';
import { look, start } from './jobs.js';

const LOOKED_AT = 8 * 1024 * 1024; // of a larger file the server alone says what is wrong
const EXAMPLE = '{"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day!"}]}';

function Drop({ file, found, onFile }) {
  const [isOver, setOver] = useState(false);
  return (
    <div class={isOver ? 'drop over' : 'drop'} onDragOver={(e) => { e.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)}
      onDrop={(e) => { e.preventDefault(); setOver(false); onFile(e.dataTransfer.files[0]); }}>
      <Icon name={file ? 'file' : 'into'} />
      {file ? <p><b>{file.name}</b> · {bytes(file.size)}{found?.n && ` · ${t(`train.examples_${found.kind}`, { n: number(found.n) })}`}</p> : <p>{t('train.drop')}</p>}
      <button type="button" class="plain" onClick={async () => onFile((await chooseFiles({ accept: '.jsonl,.json,application/jsonl' }))[0])}>{t(file ? 'train.other_file' : 'train.choose')}</button>
    </div>
  );
}

const Whole = ({ id, label, hint, value, onChange, step = 1, min = 1 }) => (
  <label class="field" for={id}>{label}
    <input id={id} type="number" min={min} step={step} value={value} placeholder={t('train.auto')} onInput={(e) => onChange(e.target.value === '' ? '' : Number(e.target.value))} />
    <small>{hint}</small>
  </label>
);

export function NewJob() {
  const [file, setFile] = useState(null);
  const [found, setFound] = useState(null);
  const [heldOut, setHeldOut] = useState(null);
  const [o, setOptions] = useState({ model: '', epochs: '', batch: '', rate: '', rank: '', seed: '', suffix: '' });
  const [problem, setProblem] = useState('');
  const [isBusy, setBusy] = useState(false);
  const set = (key) => (v) => setOptions({ ...o, [key]: v });
  useEffect(() => { findModels(); }, [token.value]);
  const bases = (models.value ?? []).filter((m) => !/(^|\/)eliza$/.test(m.id));
  const model = o.model || bases[0]?.id || '';

  const take = async (f) => {
    if (!f) return;
    setProblem('');
    setFile(f);
    setFound(f.size <= LOOKED_AT ? look(await f.text()) : null);
  };
  const submit = async (e) => {
    e.preventDefault();
    setBusy(true);
    setProblem('');
    try {
      const job = await start({ ...o, model, file, heldOut, method: found?.kind ?? 'supervised' });
      go(`/train/${job.id}`);
    } catch (why) {
      setProblem(why.message);
    }
    setBusy(false);
  };
  const isBad = !!found?.problem;
  return (
    <form class="card inputs" onSubmit={submit} aria-label={t('train.new')}>
      <Drop file={file} found={found} onFile={take} />
      {isBad && <Problem text={t(found.problem, { line: found.line })} />}
      {!file && <div class="note"><p>{t('train.form')}</p><pre class="snippet" tabIndex={0}>{EXAMPLE}</pre></div>}
      <div class="pair">
        <label class="field" for="train-model">{t('train.base')}
          <select id="train-model" value={model} onChange={(e) => set('model')(e.target.value)}>{bases.map((m) => <option key={m.id} value={m.id}>{m.id}</option>)}{bases.length === 0 && <option value="">{t('model.none')}</option>}</select>
          <small>{t('train.base_hint')}</small>
        </label>
        <label class="field" for="train-suffix">{t('train.name')}
          <input id="train-suffix" maxlength={64} value={o.suffix} onInput={(e) => set('suffix')(e.target.value)} />
          <small>{t('train.name_hint')}</small>
        </label>
      </div>
      <details>
        <summary>{t('train.options')}</summary>
        <div class="pair">
          <Whole id="train-epochs" label={t('train.epochs')} hint={t('train.epochs_hint')} value={o.epochs} onChange={set('epochs')} />
          <Whole id="train-batch" label={t('train.batch')} hint={t('train.batch_hint')} value={o.batch} onChange={set('batch')} />
          <Whole id="train-rate" label={t('train.rate')} hint={t('train.rate_hint')} step="any" min={0} value={o.rate} onChange={set('rate')} />
          <Whole id="train-rank" label={t('train.rank')} hint={t('train.rank_hint')} value={o.rank} onChange={set('rank')} />
          <Whole id="train-seed" label={t('settings.seed')} hint={t('train.seed_hint')} min={0} value={o.seed} onChange={set('seed')} />
          <div class="field">{t('train.held_out')}
            <button type="button" class="plain" onClick={async () => setHeldOut((await chooseFiles({ accept: '.jsonl,.json,application/jsonl' }))[0] ?? null)}>{heldOut ? heldOut.name : t('train.choose')}</button>
            <small>{t('train.held_out_hint')}</small>
          </div>
        </div>
      </details>
      {problem && <Problem text={problem} />}
      <div class="form-foot"><button type="submit" class="strong" disabled={!file || isBad || !model || isBusy}>{t(isBusy ? 'train.sending' : 'train.start')}</button></div>
    </form>
  );
}
