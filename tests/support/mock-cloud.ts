import { readFileSync } from 'node:fs'
import { createRequire, Module } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Json, mockCall, mockResource } from './mock-aws.ts'
import { platform, root } from './sst-platform.ts'

/** A resource as the configuration registered it with Pulumi. */
export type Resource = {
  urn: string
  /** For example `aws:s3/bucket:Bucket`. */
  type: string
  /** The logical name. */
  name: string
  /** The parent's urn; the stack for most resources. */
  parent: string
  inputs: Record<string, Json>
  /** The mock's result: the inputs, and the attributes that AWS would add. */
  outputs: Record<string, Json>
  /** The urn of an explicit provider, or an empty text. */
  provider: string
  /** Urns of dependencies, by the input that causes them; those of `dependsOn` under ''. */
  dependencies: Record<string, string[]>
  /** Inputs that keep their former values, for example `desiredCapacity`. */
  ignoreChanges: string[]
  protect: boolean
  retainOnDelete: boolean
  /** Whether it is an existing resource that the configuration reads. */
  existing: boolean
}

export type Cloud = {
  stage: string
  resources: Resource[]
  /** The result of `run()` in sst.config.ts. */
  outputs: Record<string, Json>
  /** The result of `app()` in sst.config.ts. */
  app: Record<string, Json>
}

type Globals = typeof globalThis & {
  $mockApp?: unknown
  $mockCli?: unknown
  $mockDev?: boolean
}

const bundleFile = join(platform, 'millrace.mock.mjs')
const fromPlatform = createRequire(join(platform, 'package.json'))

/**
 * Bundles sst.config.ts as SST 4 does (`pkg/js`, `pkg/project/run.go`): providers and components as globals in front of
 * each file of ours, SST's shim injected, Pulumi external. SST writes $app, $cli and $dev of one stage into the bundle;
 * here they are read from globals, so that one bundle serves all stages.
 */
export async function bundleConfig(): Promise<void> {
  const esbuild = fromPlatform('esbuild')
  const providers: { alias: string; package: string }[] = JSON.parse(
    readFileSync(join(root, '.sst/provider-lock.json'), 'utf8'),
  )
  const globals = [
    ...providers.map(({ alias, package: name }) => `import * as ${alias} from "${name}";`),
    `import * as sst from "${join(platform, 'src/components')}";`,
  ].join('\n')
  await esbuild.build({
    stdin: {
      contents: `
        import { run } from "${join(platform, 'src/auto/run.ts')}"
        import config from "${join(root, 'sst.config.ts')}"
        export const app = config.app
        export default () => run(config.run)`,
      resolveDir: root,
      sourcefile: 'eval.ts',
      loader: 'ts',
    },
    banner: {
      js: `
        import { createRequire as topLevelCreateRequire } from 'module'
        const require = topLevelCreateRequire(import.meta.url)
        import { fileURLToPath as topLevelFileUrlToPath, URL as topLevelURL } from 'url'
        const __filename = topLevelFileUrlToPath(import.meta.url)
        const __dirname = topLevelFileUrlToPath(new topLevelURL('.', import.meta.url))`,
    },
    mainFields: ['module', 'main'],
    format: 'esm',
    platform: 'node',
    sourcemap: 'linked',
    nodePaths: [join(platform, 'node_modules')],
    plugins: [
      {
        name: 'globals',
        setup(build: {
          onLoad(options: { filter: RegExp }, load: (file: { path: string }) => unknown): void
        }) {
          build.onLoad({ filter: /\.(js|ts|jsx|tsx)$/ }, ({ path }) => {
            const text = readFileSync(path, 'utf8')
            return { contents: path.includes('.sst') ? text : `${globals}\n${text}`, loader: 'default' }
          })
        },
      },
    ],
    external: ['@pulumi/*', 'undici', '@pulumiverse/*', '@aws-sdk/*', 'esbuild', 'archiver', 'glob', 'vite'],
    define: { $app: 'globalThis.$mockApp', $cli: 'globalThis.$mockCli', $dev: 'globalThis.$mockDev' },
    inject: [join(platform, 'src/shim/run.js')],
    outfile: bundleFile,
    bundle: true,
    logLevel: 'error',
  })
  await esbuild.stop()
}

/**
 * Returns Pulumi. Without two large packages that it loads for functions that become Lambdas, of which the configuration has
 * none: one would fail. And without the stack that it keeps of each promise, for a report of those that never end: formatting
 * these stacks took a third of the time of building the clouds.
 */
function loadPulumi() {
  for (const name of ['typescript', '@npmcli/arborist']) {
    const path = fromPlatform.resolve(name)
    fromPlatform.cache[path] ??= Object.assign(new Module(path), { exports: {}, loaded: true })
  }
  const debuggable: { debuggablePromise(...parameters: unknown[]): unknown } = fromPlatform(
    '@pulumi/pulumi/runtime/debuggable',
  )
  const { debuggablePromise } = debuggable
  debuggable.debuggablePromise = (...parameters) => {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    try {
      return debuggablePromise(...parameters)
    } finally {
      Error.stackTraceLimit = stackTraceLimit
    }
  }
  return fromPlatform('@pulumi/pulumi')
}

let pulumi: ReturnType<typeof loadPulumi> | undefined
let builds = 0

/**
 * Runs the bundled sst.config.ts for one stage under Pulumi's mock engine.
 *
 * @param options.environment the variables of `.env.<stage>`
 * @param options.dev whether `sst dev` runs it, instead of `sst deploy`
 * @throws the error that the configuration throws
 */
export async function buildCloud(options: {
  stage: string
  environment?: Record<string, string>
  dev?: boolean
}): Promise<Cloud> {
  const { stage, environment = {}, dev = false } = options
  pulumi ??= loadPulumi()
  const state = fromPlatform('@pulumi/pulumi/runtime/state')
  const settings = fromPlatform('@pulumi/pulumi/runtime/settings')
  const globals: Globals = globalThis
  const before = { ...process.env }
  for (const name of Object.keys(process.env)) if (name.startsWith('MILLRACE_')) delete process.env[name]
  Object.assign(process.env, environment)
  try {
    globals.$mockDev = dev
    globals.$mockCli = {
      command: dev ? 'dev' : 'deploy',
      rpc: '',
      paths: { home: root, root, work: join(root, '.sst'), platform },
      state: { version: {} },
    }
    // A new module instance for each stage: SST uses a new process for each.
    const bundle = await import(`${pathToFileURL(bundleFile).href}?${++builds}`)
    const app = await bundle.app({ stage })
    globals.$mockApp = { ...app, stage, protect: app.protect ?? false, removal: app.removal ?? 'retain' }
    return await state.withLocalStorage(async () => {
      const region = app.providers.aws.region
      const resources = new Map<string, Resource>()
      const regionOf = (provider: string) => {
        const urn = provider.slice(0, provider.lastIndexOf('::'))
        const found = resources.get(urn)?.inputs['region']
        return typeof found === 'string' ? found : region
      }
      await pulumi.runtime.setMocks(
        {
          newResource: (args: MockArgs) => mockResource(args, regionOf(args.provider ?? '')),
          call: (args: MockArgs & { token: string }) =>
            mockCall(args.token, args.inputs, regionOf(args.provider ?? '')),
        },
        'millrace',
        stage,
      )
      const monitor = settings.getMonitor()
      recordResources(monitor, 'registerResource', resources)
      recordResources(monitor, 'readResource', resources)
      recordOutputs(monitor, resources)
      let failure: unknown
      // A program that throws leaves rejected promises behind, which no caller can await.
      const outputs = await pulumi.runtime.runInPulumiStack(async () => {
        try {
          return await bundle.default()
        } catch (error) {
          failure = error
        }
      })
      if (failure !== undefined) throw failure
      await settings.disconnect()
      return { stage, app, outputs, resources: [...resources.values()] }
    })
  } finally {
    for (const name of Object.keys(environment)) delete process.env[name]
    Object.assign(process.env, before)
  }
}

type MockArgs = { type: string; name: string; id?: string; inputs: Record<string, Json>; provider?: string }
type Request = {
  getType(): string
  getName(): string
  getParent(): string
  getProvider(): string
  getIgnorechangesList?(): string[]
  getProtect?(): boolean
  getRetainondelete?(): boolean
  getDependenciesList(): string[]
  getPropertydependenciesMap?(): {
    forEach(visit: (urns: { getUrnsList(): string[] }, input: string) => void): void
  }
  getUrn?(): string
  getOutputs?(): StructLike | undefined
  getObject?(): StructLike
  getProperties?(): StructLike
}
type StructLike = { toJavaScript(): Record<string, Json> }
type Response = { getUrn(): string; getObject?(): StructLike; getProperties?(): StructLike }
type Callback = (error: unknown, response?: Response) => void
type Monitor = Record<string, (request: Request, callback: Callback) => void>

/** Records the resources that go to the mock engine. */
function recordResources(
  monitor: Monitor,
  method: 'registerResource' | 'readResource',
  resources: Map<string, Resource>,
) {
  const original = monitor[method]?.bind(monitor)
  if (!original) throw new Error(`Pulumi's mock engine has no ${method}.`)
  monitor[method] = (request, callback) =>
    original(request, (error, response) => {
      if (response) {
        const dependencies: Record<string, string[]> = {}
        request.getPropertydependenciesMap?.().forEach((urns, property) => {
          dependencies[property] = urns.getUrnsList()
        })
        const fromInputs = new Set(Object.values(dependencies).flat())
        dependencies[''] = request.getDependenciesList().filter((urn) => !fromInputs.has(urn))
        const urn = response.getUrn()
        resources.set(urn, {
          urn,
          type: request.getType(),
          name: request.getName(),
          parent: request.getParent(),
          inputs: plain((request.getObject?.() ?? request.getProperties?.())?.toJavaScript() ?? {}),
          outputs: plain((response.getObject?.() ?? response.getProperties?.())?.toJavaScript() ?? {}),
          provider: request.getProvider(),
          dependencies,
          ignoreChanges: request.getIgnorechangesList?.() ?? [],
          protect: request.getProtect?.() ?? false,
          retainOnDelete: request.getRetainondelete?.() ?? false,
          existing: method === 'readResource',
        })
      }
      callback(error, response)
    })
}

/** Records the outputs of components. In them SST's multiplexer finds the commands to run. */
function recordOutputs(monitor: Monitor, resources: Map<string, Resource>) {
  const original = monitor['registerResourceOutputs']?.bind(monitor)
  monitor['registerResourceOutputs'] = (request, callback) => {
    const resource = resources.get(request.getUrn?.() ?? '')
    const outputs = request.getOutputs?.()
    if (resource && outputs) resource.outputs = plain(outputs.toJavaScript())
    original?.(request, callback)
  }
}

/** Pulumi wraps secrets in objects with this signature (`resource.proto`, "special signatures"). */
const signature = '4dabf18193072939515e22adb298388d'

function plain(value: Record<string, Json>): Record<string, Json> {
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unwrap(item)]))
}

function unwrap(value: Json): Json {
  if (Array.isArray(value)) return value.map(unwrap)
  if (typeof value !== 'object' || value === null) return value
  if (value[signature] !== undefined && 'value' in value) return unwrap(value['value'])
  return plain(value)
}
