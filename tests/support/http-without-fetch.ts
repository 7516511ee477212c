import type { Plugin } from 'esbuild'

/**
 * Lets the modules of a bundle get `node:http` without an `import` from it, which reads all that the module exports. `WebSocket` among
 * it loads undici: 50 ms of CPU time at the start of each process.
 */
export const httpWithoutFetch: Plugin = {
  name: 'http-without-fetch',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?http$/ }, ({ kind }) =>
      kind === 'import-statement' ? { path: 'http', namespace: 'without-fetch' } : undefined,
    )
    onLoad({ filter: /^http$/, namespace: 'without-fetch' }, () => ({
      contents: "module.exports = process.getBuiltinModule('node:http')",
    }))
  },
}
