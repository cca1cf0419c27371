import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

const api = process.env.VITE_API ?? 'http://127.0.0.1:7071';
const key = process.env.VITE_API_KEY;
const target = { target: api, ...(key ? { headers: { 'X-API-Key': key } } : {}) };

export default defineConfig({
  plugins: [react(), tailwindcss()],
  // the content security policy admits no data: fonts
  build: { outDir: 'dist', assetsInlineLimit: 0, target: 'es2023' },
  server: { proxy: { '/api': target, '/healthz': target, '/docs': target, '/openapi.json': target } },
  test: {
    restoreMocks: true,
    unstubGlobals: true,
    maxWorkers: 2,
    // a limit against hanging, not a measure of speed
    testTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: { name: 'plain', include: ['src/**/*.test.ts'], setupFiles: ['src/test/setup.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'page',
          include: ['src/**/*.test.tsx'],
          environment: 'jsdom',
          setupFiles: ['src/test/setup.ts', 'src/test/page.ts'],
        },
      },
    ],
  },
});
