// The form of a model's input.
import { t } from '../lib/words.js';
import { chooseFiles } from '../ui/parts.jsx';
import { toast } from '../ui/toast.jsx';

const MAX_FILE = 256 * 1024;

async function dataUri(onChange) {
  const [f] = await chooseFiles();
  if (!f) return;
  if (f.size > MAX_FILE) {
    toast(t('file.large', { name: f.name, limit: '256 KB' }));
    return;
  }
  const reader = new FileReader();
  reader.addEventListener('load', () => onChange(reader.result));
  reader.readAsDataURL(f);
}

function Control({ field: f, id, value, onChange }) {
  const asNumber = (text) => onChange(text === '' ? undefined : Number(text));
  const shown = value ?? f.usual ?? '';
  const described = f.description ? `${id}-about` : undefined;
  const common = { id, 'aria-describedby': described, required: f.isRequired };
  if (f.kind === 'choice') return <select {...common} value={shown} onChange={(e) => onChange(f.choices.find((c) => String(c) === e.target.value))}>{f.choices.map((c) => <option key={c} value={c}>{String(c)}</option>)}</select>;
  if (f.kind === 'long') return <textarea {...common} rows={f.name === 'prompt' ? 5 : 2} value={shown} onInput={(e) => onChange(e.target.value)} />;
  if (f.kind === 'json') return <textarea {...common} class="mono" rows={3} value={shown} onInput={(e) => onChange(e.target.value)} />;
  if (f.kind === 'slider') {
    return (
      <span class="slid">
        <input type="range" aria-label={f.title} min={f.min} max={f.max} step={f.step} value={shown === '' ? f.min : shown} onInput={(e) => onChange(Number(e.target.value))} />
        <input {...common} type="number" min={f.min} max={f.max} step={f.step} value={shown} onInput={(e) => asNumber(e.target.value)} />
      </span>
    );
  }
  if (f.kind === 'number') return <input {...common} type="number" min={f.min} max={f.max} step={f.isWhole ? 1 : 'any'} value={shown} placeholder={f.usual === undefined ? t('settings.seed_any') : ''} onInput={(e) => asNumber(e.target.value)} />;
  if (f.kind === 'file') {
    return <span class="slid"><input {...common} value={String(shown).slice(0, 200)} onInput={(e) => onChange(e.target.value)} /><button type="button" class="plain" onClick={() => dataUri(onChange)}>{t('model.file')}</button></span>;
  }
  return <input {...common} value={shown} onInput={(e) => onChange(e.target.value)} />;
}

function Field({ field: f, value, onChange }) {
  const id = `in-${f.name}`;
  if (f.kind === 'flag') {
    return <label class="check" for={id}><input id={id} type="checkbox" checked={value ?? f.usual ?? false} onChange={(e) => onChange(e.target.checked)} />{f.title}<small class="note">{f.description}</small></label>;
  }
  return (
    <div class="field">
      <label for={id} class="field-head"><span>{f.title}{f.isRequired && <span class="required" aria-hidden="true"> *</span>}</span><code>{f.name}</code></label>
      <Control field={f} id={id} value={value} onChange={onChange} />
      {f.description && <small id={`${id}-about`}>{f.description}</small>}
    </div>
  );
}

const SEEN = 4; // fields that are not folded away

export function Form({ fields, values, onChange, onRun, isRunning, onCancel }) {
  const draw = (f) => <Field key={f.name} field={f} value={values[f.name]} onChange={(v) => onChange({ ...values, [f.name]: v })} />;
  const first = fields.filter((f, i) => f.isRequired || i < SEEN), rest = fields.filter((f) => !first.includes(f));
  return (
    <form class="inputs" onSubmit={(e) => { e.preventDefault(); if (!isRunning) onRun(); }}
      onKeyDown={(e) => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey) && !isRunning) { e.preventDefault(); e.currentTarget.requestSubmit(); } }}>
      {first.map(draw)}
      {rest.length > 0 && <details><summary>{t('settings.more')}</summary><div class="inputs">{rest.map(draw)}</div></details>}
      <div class="form-foot">
        {isRunning ? <button type="button" class="plain" onClick={onCancel}>{t('cancel')}</button> : <button type="button" class="plain" onClick={() => onChange({})}>{t('settings.reset')}</button>}
        <button type="submit" class="strong" disabled={isRunning}>{t('model.run')}</button>
      </div>
    </form>
  );
}
