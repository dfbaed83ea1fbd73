import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// Where `npm run dev` finds a control plane: what `cargo xtask dev` prints.
const controlPlane = process.env.RINGFENCE_URL ?? 'http://127.0.0.1:8787';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    // The content security policy allows no data: fonts, and no inline scripts for a polyfill nobody needs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: {
    proxy: {
      // The Origin of a request has to be the control plane's own: it refuses every other.
      '/api': { target: controlPlane, ws: true, changeOrigin: true, headers: { origin: controlPlane } },
    },
  },
});
