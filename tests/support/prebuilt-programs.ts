import { createHash } from 'node:crypto'
import { globSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Plugin } from 'esbuild'
import { buildOnce } from './build-once.ts'
import { requireBanner, requireBuiltins } from './require-builtins.ts'

const packages = join(import.meta.dirname, '../../packages')

/** What a program of ours is made of. The console and the client run in browsers, and are built by their own tests. */
const sourceFiles = '{api,worker,shared,local,local-s3,client,simulator}/{package.json,src/**/*.ts}'
/** Packages that export `./*` as `./src/*`. */
const packagesOfPaths = ['api', 'worker', 'shared', 'local', 'local-s3', 'simulator']
/** The programs that tests start. */
const programFiles = '{api,worker,local}/src/**/{main,*-main}.ts'

/**
 * Bundles the programs of packages/, so that each started process loads one file of ours instead of 300: a fifth of the CPU
 * time until an API instance has started, and half of a decoder's. A process that runs `packages/api/src/main.ts` runs its
 * bundle if Node gets the returned option.
 *
 * Building takes some seconds, so it pays only for a run of many files. Planted mistakes need the files themselves.
 *
 * @returns the option for NODE_OPTIONS
 */
export async function prebuildPrograms(): Promise<string> {
  const hash = createHash('sha256').update(process.version)
  for (const path of globSync(sourceFiles, { cwd: packages }).sort()) {
    hash.update(path).update(await readFile(join(packages, path)))
  }
  for (const path of [import.meta.filename, join(import.meta.dirname, 'require-builtins.ts')]) {
    hash.update(await readFile(path))
  }
  const directory = await buildOnce(
    'millrace-programs',
    hash.digest('hex'),
    async ({ unfinished, directory }) => {
      const programs = await bundlePrograms(unfinished)
      await writeFile(join(unfinished, 'register.mjs'), registerSource(directory, programs))
    },
  )
  return `--import=${pathToFileURL(join(directory, 'register.mjs'))}`
}

/** @returns the programs, as paths below packages/ without `.ts` */
async function bundlePrograms(directory: string): Promise<string[]> {
  const programs = globSync(programFiles, { cwd: packages }).map((path) => path.slice(0, -'.ts'.length))
  // Loaded only here: it takes as long as the rest of the runner's modules.
  const { build } = await import('esbuild')
  await build({
    entryPoints: programs.map((path) => ({ in: join(packages, `${path}.ts`), out: path })),
    outdir: directory,
    bundle: true,
    // What is imported later is loaded later.
    splitting: true,
    format: 'esm',
    platform: 'node',
    conditions: ['@millrace/source'],
    target: `node${process.versions.node}`,
    // Without keepNames, which changes functions: the text of docs-page-plugin.ts is sent to browsers.
    plugins: [requireBuiltins, onlyOwnModules, keepLocations],
    banner: { js: requireBanner },
    logLevel: 'error',
  })
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }\n')
  return programs
}

/** Packages of others are imported, as a module of packages/ does it (see prebuilt-packages.ts). */
const onlyOwnModules: Plugin = {
  name: 'only-own-modules',
  setup({ onResolve }) {
    onResolve({ filter: /^[^./]/ }, ({ path }) =>
      path.startsWith('@millrace/') ? undefined : { path, external: true },
    )
  },
}

/** Modules that read files beside themselves find them where they are. */
const keepLocations: Plugin = {
  name: 'keep-locations',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8')
      if (!source.includes('import.meta.')) return undefined
      const url = JSON.stringify(pathToFileURL(path))
      const location = `const moduleLocation = {
  url: ${url},
  filename: ${JSON.stringify(path)},
  dirname: ${JSON.stringify(dirname(path))},
  resolve: (name: string) => import.meta.resolve(name.startsWith('.') ? new URL(name, ${url}).href : name),
}
`
      return { loader: 'ts', contents: location + source.replaceAll('import.meta.', 'moduleLocation.') }
    })
  },
}

/**
 * Returns the module that each process loads before its program. Whoever resolves the path of a program, such as a worker that
 * of its decoders, gets that of its bundle: a decoder has no NODE_OPTIONS.
 *
 * Imports of our modules by our modules say where their file is. Node would read package.json and the file's status for each of
 * them: an eighth of the CPU time of a test file that starts an API instance.
 */
function registerSource(directory: string, programs: string[]): string {
  const urls = programs.map((path) => [
    pathToFileURL(join(packages, `${path}.ts`)).href,
    pathToFileURL(join(directory, `${path}.js`)).href,
  ])
  const roots = packagesOfPaths.map((name) => [
    `@millrace/${name}`,
    pathToFileURL(join(packages, name, 'src/')).href,
  ])
  const folders = [packages, join(packages, '../tests')].map((folder) => pathToFileURL(`${folder}/`).href)
  return `import * as nodeModule from 'node:module'
const urls = new Map(${JSON.stringify(urls)})
const roots = new Map(${JSON.stringify(roots)})
const folders = ${JSON.stringify(folders)}
const isOurs = (url) => folders.some((folder) => url?.startsWith(folder)) && !url.includes('/node_modules/')
function findOurs(name, parent) {
  if (!name.endsWith('.ts') || !isOurs(parent)) return undefined
  if (name.startsWith('./') || name.startsWith('../')) return new URL(name, parent).href
  const end = name.indexOf('/', '@millrace/'.length)
  const root = roots.get(name.slice(0, end))
  return root && root + name.slice(end + 1)
}
nodeModule.registerHooks?.({
  resolve(name, context, next) {
    const ours = context.conditions.includes('import') ? findOurs(name, context.parentURL) : undefined
    const found = ours ? { url: ours, format: 'module-typescript', shortCircuit: true } : next(name, context)
    const url = urls.get(found.url)
    return url === undefined ? found : { ...found, url, format: 'module' }
  },
})
`
}
