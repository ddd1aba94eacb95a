// A server that asks for a token: the page asks for it once.
import { useState } from 'preact/hooks';
import { asksToken, setToken } from '../lib/api.js';
import { t } from '../lib/words.js';
import { Dialog } from './parts.jsx';

export function TokenGate() {
  const [value, setValue] = useState('');
  const [isKept, setKept] = useState(false);
  const why = asksToken.value;
  if (!why) return null;
  const enter = (e) => {
    e.preventDefault();
    if (!value.trim()) return;
    setToken(value.trim(), isKept);
    setValue('');
  };
  return (
    <Dialog title={t('token.title')} onClose={() => { asksToken.value = ''; }} class="small">
      <form onSubmit={enter}>
        <p>{t(why === 'wrong' ? 'token.wrong' : 'token.missing')}</p>
        <label class="field" for="token">{t('token')}
          <input id="token" type="password" autocomplete="off" autofocus value={value} onInput={(e) => setValue(e.target.value)} placeholder="hg_…" />
          <small>{t('token.hint')}</small>
        </label>
        <label class="check"><input type="checkbox" checked={isKept} onChange={(e) => setKept(e.target.checked)} />{t('token.keep')}</label>
        <div class="dialog-foot"><button type="submit" class="strong" disabled={!value.trim()}>{t('token.enter')}</button></div>
      </form>
    </Dialog>
  );
}
