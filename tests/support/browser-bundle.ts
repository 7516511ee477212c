import { join } from 'node:path'
import { build, type InlineConfig } from 'vite'

const root = join(import.meta.dirname, '../..')

/** Our packages' sources, and what an app's bundler takes of other packages. */
export const conditions = ['@millrace/source', 'module', 'browser', 'production']

/** Builds a library and returns its one file. */
export async function runVite(config: InlineConfig): Promise<string> {
  const { NODE_ENV } = process.env
  const built = await build({
    configFile: false,
    logLevel: 'silent',
    define: { 'process.env.NODE_ENV': '"production"' },
    ...config,
  })
  // Vite sets it, also for the test files after this one.
  if (NODE_ENV === undefined) delete process.env['NODE_ENV']
  const [first] = [built].flat()
  if (!first || !('output' in first)) throw new Error('Vite returned no output.')
  return first.output[0].code
}

/** The bundles of this process: several files of a process need the same ones. */
const bundles = new Map<string, Promise<string>>()

/**
 * Bundles a module and all that it imports into one script for browsers, as an app's bundler does.
 *
 * @param entry a path below the repository's root
 * @param options.globalName for a classic script, which makes the exports an object of this name; without it, the script is
 *   a module
 * @param options.alias packages that are replaced: npm installs a package's other versions under other names
 */
export function bundleForBrowser(entry: string, options: BundleOptions = {}): Promise<string> {
  const name = JSON.stringify([entry, options])
  const bundle = bundles.get(name) ?? buildBundle(entry, options)
  bundles.set(name, bundle)
  return bundle
}

type BundleOptions = { globalName?: string; alias?: Record<string, string> }

async function buildBundle(entry: string, { globalName, alias = {} }: BundleOptions): Promise<string> {
  const code = await runVite({
    resolve: { alias, conditions },
    build: {
      write: false,
      minify: globalName !== undefined,
      lib: {
        entry: join(root, entry),
        ...(globalName === undefined ? { formats: ['es'] } : { formats: ['iife'], name: globalName }),
      },
    },
  })
  // An init script of Playwright is a function: what it declares is not global.
  return globalName === undefined ? code : `${code}\nglobalThis.${globalName} = ${globalName}`
}
