// What the dashboard serves but keeps elsewhere: the sample picture, and the viewer of the API's description.
import { copyFileSync, mkdirSync } from 'node:fs';

const root = new URL('../../', import.meta.url);
const copies = {
  'local/samples/coffee.jpg': 'samples/coffee.jpg',
  'frontend/node_modules/swagger-ui-dist/swagger-ui-bundle.js': 'docs/swagger-ui-bundle.js',
  'frontend/node_modules/swagger-ui-dist/swagger-ui.css': 'docs/swagger-ui.css',
};
for (const [from, to] of Object.entries(copies)) {
  const target = new URL(`frontend/public/${to}`, root);
  mkdirSync(new URL('.', target), { recursive: true });
  copyFileSync(new URL(from, root), target);
}
