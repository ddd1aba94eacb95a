import { t } from '../lib/words.js';

export const Train = () => <div class="page"><h1>{t('room.train')}</h1></div>;
