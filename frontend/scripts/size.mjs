// What a first visit loads before it shows anything: index.html, the files it names and their static imports.
import { existsSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const LIMIT = 150_000;
const dist = new URL('../dist/', import.meta.url);
const page = readFileSync(new URL('index.html', dist), 'utf8');
const waiting = [...page.matchAll(/(?:src|href)="\/([^"]+\.(?:js|css))"/g)].map((match) => match[1]);
const files = {};
while (waiting.length > 0) {
  const name = waiting.pop();
  const url = new URL(name, dist);
  if (name in files || !existsSync(url)) continue;
  const text = readFileSync(url, 'utf8');
  files[name] = gzipSync(text).length;
  // static imports only: lazy ones load later
  for (const match of text.matchAll(/(?:^|[;}\s])(?:import|export)[^("';]*?["']\.\/([^"']+\.js)["']/g)) {
    waiting.push(`assets/${match[1]}`);
  }
}
const total = gzipSync(page).length + Object.values(files).reduce((sum, size) => sum + size, 0);
console.log(JSON.stringify({ first_load_gzip_bytes: total, limit_bytes: LIMIT, files }));
process.exit(total > LIMIT ? 1 : 0);
