/**
 * The layers of this repository, and the only place that states them. `npm run check` fails on an import that goes
 * against them. `docs/architecture.md` describes what each room is for.
 *
 * A package may import the packages that `imports` lists, and single `files` of others. `rooms` are its folders under `src/`, lowest first: a room
 * may import the rooms before it. Files directly in `src/` (`main.ts`, `app.ts`, `config.ts`) lie above all rooms.
 * A new package or room needs an entry here. Tests and benchmarks may import everything, examples only the client.
 *
 * @type {Record<string, { imports: string[]; files?: string[]; rooms: string[] }>}
 */
const packages = {
  shared: {
    imports: [],
    rooms: [
      'service',
      'network',
      'connections',
      'tracing',
      'metrics',
      'presets',
      'uploads',
      'ledger',
      'parts',
      'erasure',
      'quotas',
      'jobs',
      'imports',
      'tenants',
      'webhooks',
      'lifecycle',
      'fleet',
      'config',
      'command',
    ],
  },
  api: {
    imports: ['shared'],
    rooms: [
      'requests',
      'http',
      'streams',
      'metrics',
      'limits',
      'operations',
      'openapi',
      'console',
      'credentials',
      'identity',
      'signing',
      'tenants',
      'listing',
      'announcing',
      'uploads',
      'downloads',
      'direct',
      'tus',
      'uppy',
      'events',
      'webhooks',
      'fleet',
      'admin',
    ],
  },
  worker: {
    imports: ['shared'],
    rooms: [
      'metrics',
      'scanning',
      'structure',
      'tiff',
      'headers',
      'types',
      'media',
      'pixels',
      'formats',
      'images',
      'decoders',
      'processing',
      'imports',
      'webhooks',
      'jobs',
      'instance',
      'arrivals',
      'reconciliation',
      'trimming',
      'withdrawals',
      'reprocessing',
    ],
  },
  'local-s3': {
    imports: [],
    rooms: ['protocol', 'signing', 'bodies', 'storage', 'listings', 'operations'],
  },
  local: {
    imports: ['shared', 'local-s3'],
    // `npm start` checks the settings of the services before it starts them.
    files: ['packages/api/src/config.ts', 'packages/worker/src/config.ts'],
    rooms: ['setup', 'cloud', 'fleet', 'doctor'],
  },
  simulator: {
    imports: ['shared'],
    rooms: ['traces', 'scalers', 'simulation', 'report'],
  },
  client: {
    imports: [],
    rooms: ['api', 'sending', 'following', 'managing', 'webhooks', 'routes', 'server', 'react'],
  },
  console: {
    imports: ['client'],
    rooms: ['format', 'design', 'frame', 'sending', 'uploads', 'fleet', 'operations'],
  },
}

/** Of ours, the definition of the cloud imports `shared` only. */
const stacks = '^(stacks/|sst\\.config\\.ts$)'

/** Matches one of the names as a whole path segment; without names it matches nothing. */
const anyOf = (/** @type {string[]} */ names) => (names.length > 0 ? `(${names.join('|')})/` : '(?!)')

const packageRules = Object.entries(packages).map(([name, { imports, files = [] }]) => ({
  name: `package-${name}`,
  comment: `packages/${name} may import: ${[...imports, ...files].join(', ') || 'no other package'}.`,
  severity: 'error',
  from: { path: `^packages/${name}/` },
  to: {
    path: '^packages/',
    pathNot: [
      `^packages/${anyOf([name, ...imports])}`,
      ...files.map((file) => `^${file.replaceAll('.', '\\.')}$`),
    ],
  },
}))

const roomRules = Object.entries(packages).flatMap(([name, { rooms }]) =>
  rooms.map((room, index) => ({
    name: `room-${name}-${room}`,
    comment: `packages/${name}/src/${room} may import: ${rooms.slice(0, index).join(', ') || 'no other room'}.`,
    severity: 'error',
    from: { path: `^packages/${name}/src/${room}/` },
    // Its package.json is data: the versions of what it uses.
    to: {
      path: `^packages/${name}/`,
      pathNot: `^packages/${name}/(package\\.json$|src/${anyOf(rooms.slice(0, index + 1))})`,
    },
  })),
)

const listedRooms = Object.entries(packages)
  .map(([name, { rooms }]) => `^packages/${name}/(src/${anyOf(rooms)}|src/[^/]+$|[^/]+$)`)
  .join('|')

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...packageRules,
    ...roomRules,
    {
      name: 'unlisted',
      comment: 'A package or room that .dependency-cruiser.mjs does not list.',
      severity: 'error',
      from: { path: '^packages/', pathNot: listedRooms },
      to: {},
    },
    {
      name: 'imports-unlisted',
      comment: 'An import from a package or room that .dependency-cruiser.mjs does not list.',
      severity: 'error',
      from: {},
      to: { path: '^packages/', pathNot: listedRooms },
    },
    {
      name: 'circle',
      comment: 'Files import each other in a circle.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'product-imports-setup',
      comment: 'Packages do not import tests, benchmarks, examples or the definition of the cloud.',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: `^(tests|bench|examples)/|${stacks}` },
    },
    {
      name: 'example',
      comment: 'Of ours, examples import what people can install: client.',
      severity: 'error',
      from: { path: '^examples/' },
      to: { path: `^(packages|tests|bench)/|${stacks}`, pathNot: '^packages/client/' },
    },
    {
      name: 'stacks',
      comment: 'The definition of the cloud may import: shared.',
      severity: 'error',
      from: { path: stacks },
      to: { path: '^(packages|tests|bench)/', pathNot: '^packages/shared/' },
    },
    {
      name: 'sst',
      comment: 'Only sst.config.ts and stacks/ import SST or Pulumi.',
      severity: 'error',
      from: { path: '^(packages|bench)/' },
      to: { path: '^\\.sst/|^(node_modules/)?(sst|@pulumi/[^/]+)(/|$)' },
    },
    {
      name: 'environment',
      comment:
        'Only main.ts, config.ts and packages/local read the environment. Biome (noProcessEnv) finds `process.env`.',
      severity: 'error',
      from: { path: '^packages/', pathNot: '^packages/(local/|[^/]+/src/(main|config)\\.ts$)' },
      to: { path: '^process$', dependencyTypes: ['core'] },
    },
    {
      name: 'unresolved',
      comment: 'The rules cannot judge an import that does not resolve to a file.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    // TypeScript 7 has no compiler API. swc reports imports of types too, except those written `import('…').Name`,
    // which packages do not use.
    parser: 'swc',
    // No rule is about orphans, reachability or metrics: a seventh of the time.
    skipAnalysisNotInRules: true,
    // `npm run check` and tests/repository/layers.test.ts read the same files. With JSON, because packages are found by their
    // package.json and by package-lock.json.
    cache: { folder: 'node_modules/.cache/layers', strategy: 'content' },
    extraExtensionsToScan: ['.json'],
    doNotFollow: { path: 'node_modules' },
    // Generated files, and programs whose packages only `npm run bench` installs.
    exclude: { path: '(^|/)dist/|^bench/alternatives/|^tests/fixtures/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['@millrace/source', 'node', 'import', 'default'],
      extensions: ['.ts', '.tsx', '.mjs', '.js'],
    },
  },
}
