// What a conversation's questions are asked with.
import { t } from '../lib/words.js';
import { Dialog, Slider } from '../ui/parts.jsx';
import { choose, DEFAULTS, settings } from './talks.js';

function toolsProblem(text) {
  if (!text?.trim()) return '';
  try {
    const list = JSON.parse(text);
    return Array.isArray(list) && list.every((x) => x?.type === 'function' && x.function?.name) ? '' : t('settings.tools_bad');
  } catch {
    return t('settings.tools_bad');
  }
}

function Whole({ id, label, hint, value, onChange, min = 0, placeholder }) {
  const set = (text) => onChange(/^-?\d{1,15}$/.test(text) ? Number(text) : '');
  return (
    <label class="field" for={id}>{label}
      <input id={id} type="number" inputmode="numeric" min={min} step="1" value={value} placeholder={placeholder} onChange={(e) => set(e.target.value)} />
      <small>{hint}</small>
    </label>
  );
}

export function Settings({ onClose }) {
  const s = settings.value;
  const problem = toolsProblem(s.tools);
  return (
    <Dialog title={t('settings')} onClose={onClose}>
      <label class="field" for="set-system">{t('settings.system')}
        <textarea id="set-system" rows={3} value={s.system} placeholder={t('settings.system_example')} onChange={(e) => choose({ system: e.target.value })} />
        <small>{t('settings.system_hint')}</small>
      </label>
      <Slider id="set-temperature" label={t('settings.temperature')} hint={t('settings.temperature_hint')} min={0} max={2} step={0.05} value={s.temperature} onChange={(v) => choose({ temperature: v })} />
      <Slider id="set-penalty" label={t('settings.penalty')} hint={t('settings.penalty_hint')} min={1} max={1.5} step={0.01} value={s.penalty} onChange={(v) => choose({ penalty: v })} />
      <div class="pair">
        <Whole id="set-tokens" label={t('settings.tokens')} hint={t('settings.tokens_hint')} min={1} value={s.tokens} onChange={(v) => choose({ tokens: Math.max(1, v || DEFAULTS.tokens) })} />
        <Whole id="set-seed" label={t('settings.seed')} hint={t('settings.seed_hint')} placeholder={t('settings.seed_any')} value={s.seed} onChange={(v) => choose({ seed: v })} />
      </div>
      <details>
        <summary>{t('settings.more')}</summary>
        <Slider id="set-top-p" label="Top-p" hint={t('settings.top_p_hint')} min={0} max={1} step={0.01} value={s.top_p} onChange={(v) => choose({ top_p: v })} />
        <Slider id="set-min-p" label="Min-p" hint={t('settings.min_p_hint')} min={0} max={1} step={0.01} value={s.min_p} onChange={(v) => choose({ min_p: v })} />
        <Whole id="set-top-k" label="Top-k" hint={t('settings.top_k_hint')} value={s.top_k} onChange={(v) => choose({ top_k: v || 0 })} />
        <label class="field" for="set-tools">{t('settings.tools')}
          <textarea id="set-tools" class="mono" rows={4} value={s.tools} spellcheck={false} aria-invalid={problem !== ''}
            placeholder={'[{"type":"function","function":{"name":"weather","parameters":{…}}}]'} onChange={(e) => choose({ tools: e.target.value })} />
          <small class={problem ? 'bad' : undefined}>{problem || t('settings.tools_hint')}</small>
        </label>
      </details>
      <div class="dialog-foot">
        <button type="button" class="plain" onClick={() => choose({ ...DEFAULTS })}>{t('settings.reset')}</button>
        <button type="button" class="strong" onClick={onClose}>{t('done')}</button>
      </div>
    </Dialog>
  );
}
