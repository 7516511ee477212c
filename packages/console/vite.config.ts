import { defaultClientConditions, defineConfig } from 'vite'

// Vite's own transform compiles JSX. It reads `jsx` and `jsxImportSource` from tsconfig.json.
export default defineConfig({
  // Addresses are relative to the page's element `base`, which the API writes.
  base: './',
  resolve: { conditions: ['@millrace/source', ...defaultClientConditions] },
  build: {
    // The content security policy forbids inline scripts, and separate files can be cached forever.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: 'es2022',
  },
})
