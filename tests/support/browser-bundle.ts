import { join } from 'node:path'
import { build } from 'vite'

const root = join(import.meta.dirname, '../..')

/**
 * Bundles a module and all that it imports into one script for browsers, as an app's bundler does.
 *
 * @param entry a path below the repository's root
 * @param options.globalName for a classic script, which makes the exports an object of this name; without it, the script is
 *   a module
 * @param options.alias packages that are replaced: npm installs a package's other versions under other names
 */
export async function bundleForBrowser(
  entry: string,
  options: { globalName?: string; alias?: Record<string, string> } = {},
): Promise<string> {
  const { globalName, alias = {} } = options
  const built = await build({
    configFile: false,
    logLevel: 'silent',
    define: { 'process.env.NODE_ENV': '"production"' },
    resolve: { alias, conditions: ['@millrace/source', 'module', 'browser', 'production'] },
    build: {
      write: false,
      minify: globalName !== undefined,
      lib: {
        entry: join(root, entry),
        ...(globalName === undefined ? { formats: ['es'] } : { formats: ['iife'], name: globalName }),
      },
    },
  })
  const [first] = [built].flat()
  if (!first || !('output' in first)) throw new Error('Vite returned no output.')
  const { code } = first.output[0]
  // An init script of Playwright is a function: what it declares is not global.
  return globalName === undefined ? code : `${code}\nglobalThis.${globalName} = ${globalName}`
}
