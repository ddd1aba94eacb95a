import { t } from '../lib/words.js';

export const Models = () => <div class="page"><h1>{t('room.models')}</h1></div>;
