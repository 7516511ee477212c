import { isBuiltin } from 'node:module'
import type { Plugin } from 'esbuild'

/** What a bundle of ES modules needs to require something. */
export const requireBanner =
  "import{createRequire as nodeCreateRequire}from'node:module';const require=nodeCreateRequire(import.meta.url);"

/**
 * Requires Node's own modules instead of importing them. For an import, Node reads everything that the module exports, and some of
 * it is loaded when it is read: `http.WebSocket` is all of fetch. This costs each process as much CPU time as it takes to start Node.
 * The bundle needs `requireBanner`.
 */
export const requireBuiltins: Plugin = {
  name: 'require-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[a-z]/ }, ({ path, kind }) =>
      kind === 'import-statement' && isBuiltin(path) ? { path, namespace: 'builtin' } : undefined,
    )
    onLoad({ filter: /./, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)})`,
    }))
  },
}
