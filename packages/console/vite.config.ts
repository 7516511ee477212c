import { defineConfig } from 'vite'

// JSX goes through Vite's own transform, which reads `jsx` and `jsxImportSource` from tsconfig.json.
export default defineConfig({
  build: {
    // The content security policy has no room for inlined scripts, and each file may be cached for good.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: 'es2022',
  },
})
