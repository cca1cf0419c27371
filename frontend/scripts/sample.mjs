// The sample picture lies with the local stack; the dashboard serves a copy.
import { copyFileSync, mkdirSync } from 'node:fs';

const from = new URL('../../local/samples/coffee.jpg', import.meta.url);
const folder = new URL('../public/samples/', import.meta.url);
mkdirSync(folder, { recursive: true });
copyFileSync(from, new URL('coffee.jpg', folder));
