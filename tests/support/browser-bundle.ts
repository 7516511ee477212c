import { join } from 'node:path'
import { build } from 'vite'

const root = join(import.meta.dirname, '../..')

/**
 * Bundles a module and all that it imports into one script for browsers, as an app's bundler does.
 *
 * @param entry a path below the repository's root
 * @param alias packages that are replaced: npm installs a package's other versions under other names
 */
export async function bundleForBrowser(entry: string, alias: Record<string, string> = {}): Promise<string> {
  const built = await build({
    configFile: false,
    logLevel: 'silent',
    define: { 'process.env.NODE_ENV': '"production"' },
    resolve: { alias, conditions: ['@millrace/source', 'module', 'browser', 'production'] },
    build: { write: false, minify: false, lib: { entry: join(root, entry), formats: ['es'] } },
  })
  const [first] = [built].flat()
  if (!first || !('output' in first)) throw new Error('Vite returned no output.')
  return first.output[0].code
}
