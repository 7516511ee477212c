import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Plugin } from 'esbuild'
import { buildOnce } from './build-once.ts'
import { requireBanner, requireBuiltins } from './require-builtins.ts'

const root = join(import.meta.dirname, '../..')

/** Packages of many files that most processes of the tests import. */
const packages = [
  '@aws-sdk/checksums/crc',
  '@aws-sdk/client-auto-scaling',
  '@aws-sdk/client-cloudwatch',
  '@aws-sdk/client-s3',
  '@aws-sdk/client-sqs',
  '@aws-sdk/cloudfront-signer',
  '@aws-sdk/s3-presigned-post',
  '@aws-sdk/s3-request-presigner',
  '@fastify/busboy',
  '@fastify/cors',
  '@fastify/rate-limit',
  '@fastify/secure-session',
  '@fastify/static',
  '@fastify/swagger',
  '@fastify/swagger-ui',
  '@fastify/type-provider-typebox',
  '@file-type/xml',
  '@opentelemetry/api',
  '@tus/server',
  'bullmq',
  'content-disposition',
  'dataloader',
  'fast-json-stringify',
  'fastify',
  'fauxqs',
  'file-type',
  'helmet',
  'ioredis',
  'ipaddr.js',
  'jose',
  'lru-cache',
  'prom-client',
  'standardwebhooks',
  'tldts',
  'typebox',
  'typebox/compile',
  'typebox/format',
  'typebox/value',
  'uuid',
]

/** What stays as it is: native code, optional packages that are not installed, and what starts threads from its own files. */
const external = ['sharp', 'sodium-native', 'msgpackr-extract', 'valibot', 'pino']

/** CommonJS modules that read files beside themselves find them where they are. */
const keepDirectories: Plugin = {
  name: 'keep-directories',
  setup({ onLoad }) {
    onLoad({ filter: /\/node_modules\/.*\.c?js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8')
      if (!/\b__(dirname|filename)\b/.test(source)) return undefined
      const directory = JSON.stringify(join(path, '..'))
      return { contents: `var __dirname=${directory},__filename=${JSON.stringify(path)};${source}` }
    })
  },
}

/** The loop of ioredis that adds each of Redis' commands to a class. */
const commandLoop = 'commands.forEach(function (commandName) {'

/**
 * ioredis adds 700 methods to a prototype one after the other, for each of which V8 copies the descriptions of all earlier ones: a fifth
 * of the CPU time for loading ioredis. An object that has lost a property gets a hash table for them.
 */
const addCommandsToHashTable: Plugin = {
  name: 'add-commands-to-hash-table',
  setup({ onLoad }) {
    onLoad({ filter: /\/ioredis\/built\/utils\/Commander\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8')
      if (!source.includes(commandLoop)) throw new Error(`${path} adds commands in another way.`)
      const lose =
        'Object.assign(Commander.prototype, { a: 0, b: 0 }); delete Commander.prototype.a; delete Commander.prototype.b;'
      return { contents: source.replace(commandLoop, `${lose} ${commandLoop}`) }
    })
  },
}

/**
 * Bundles the packages' modules, so that a process loads some 50 files of them instead of 1,400: a third of the CPU time
 * until an API instance has started. Modules of packages/, stacks/ and tests/ stay as they are, and import the bundles instead of
 * the packages if Node runs with the returned option. A bundle exports the names that Node itself finds in the package.
 *
 * @returns the option for NODE_OPTIONS
 */
export async function prebuildPackages(): Promise<string> {
  const sources = [
    join(root, 'package-lock.json'),
    import.meta.filename,
    join(import.meta.dirname, 'require-builtins.ts'),
  ]
  const hash = createHash('sha256').update(process.version)
  for (const path of sources) hash.update(await readFile(path))
  const directory = await buildOnce(
    'millrace-packages',
    hash.digest('hex'),
    async ({ unfinished, directory }) => {
      await buildPackages(unfinished)
      await writeFile(join(unfinished, 'register.mjs'), registerSource(directory))
    },
  )
  return `--import=${pathToFileURL(join(directory, 'register.mjs'))}`
}

const fileOf = (name: string) => `${name.replaceAll(/[@/]/g, '_')}.js`

async function buildPackages(directory: string): Promise<void> {
  const entries = await Promise.all(
    packages.map(async (name) => {
      const names = Object.keys(await import(name)).filter((key) => /^[A-Za-z_$][\w$]*$/.test(key))
      const path = join(directory, `entry-${fileOf(name)}`)
      await writeFile(path, `export { ${names.join(', ')} } from '${name}'\n`)
      return { in: path, out: fileOf(name).slice(0, -'.js'.length) }
    }),
  )
  // Loaded only here: it takes as long as the rest of the runner's modules.
  const { build } = await import('esbuild')
  await build({
    entryPoints: entries,
    outdir: directory,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    // No further ones: the same files that Node finds.
    conditions: [],
    target: `node${process.versions.node}`,
    external,
    // Names of classes are read, such as those of the commands of S3.
    keepNames: true,
    plugins: [requireBuiltins, addCommandsToHashTable, keepDirectories],
    banner: { js: requireBanner },
    // Less to read, at the start of each process.
    minifyWhitespace: true,
    logLevel: 'error',
  })
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }\n')
}

/** Returns the module that each process loads first. Older versions of Node, which some tests start, ignore it. */
function registerSource(directory: string): string {
  const urls = packages.map((name) => [name, pathToFileURL(join(directory, fileOf(name))).href])
  return `import * as nodeModule from 'node:module'
const urls = new Map(${JSON.stringify(urls)})
nodeModule.registerHooks?.({
  resolve(name, context, next) {
    const url = urls.get(name)
    const isImport = url !== undefined && context.conditions.includes('import')
    const from = context.parentURL ?? ''
    // Of this tree, or of a copy of it with a planted mistake; or of the bundle of a program of it.
    const isSource = /\\/(packages|stacks|tests)\\//.test(from) && !from.includes('/node_modules/')
    if (isImport && (isSource || from.includes('/millrace-programs-'))) {
      return { url, format: 'module', shortCircuit: true }
    }
    return next(name, context)
  },
})
`
}
