import { readFileSync } from 'node:fs'
import { isOriginPattern, originForms } from '@millrace/shared/network/allowed-origins.ts'
import { splitList } from '@millrace/shared/service/environment.ts'
import Type, { type Static, type TProperties, type TSchema } from 'typebox'
import Value from 'typebox/value'
import { readProjectPresets } from './project-presets.ts'

/**
 * The settings of each stage. To change a stage, change it here. Settings of one owner rather than of the project
 * (domain, regions, email address) come from the environment or from `.env.<stage>`, which SST reads.
 * docs/deploy.md explains each setting, docs/cost.md its cost.
 */

// The descriptions of these schemas are what error messages print after "allowed:".

/** Takes no properties but these: a misspelled setting must not become a default. */
const group = <Properties extends TProperties>(properties: Properties) =>
  Type.Object(properties, { additionalProperties: false, description: 'an object' })
const listOf = <Item extends TSchema>(item: Item) =>
  Type.Array(item, { minItems: 1, uniqueItems: true, description: 'a list of at least 1 item, each once' })
const oneOf = <Choice extends string | number>(choices: Choice[]) =>
  Type.Enum(choices, { description: choices.join(', ') })
const wholeNumber = (minimum: number, maximum: number) =>
  Type.Integer({ minimum, maximum, description: `a whole number from ${minimum} to ${maximum}` })
const trueOrFalse = Type.Boolean({ description: 'true, false' })

const Region = Type.String({
  pattern: '^[a-z]{2,}(-[a-z]+)+-\\d$',
  description: 'an AWS region such as eu-central-1',
})
const DomainName = Type.String({
  pattern: '^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z][a-z0-9-]*[a-z0-9]$',
  description: 'a domain name such as media.example.com',
})
const InstanceType = Type.String({
  pattern: '^[a-z0-9-]+\\.[a-z0-9-]+$',
  description: 'an EC2 instance type such as t4g.small',
})
const PolicyArn = Type.String({
  pattern: '^arn:aws:iam::(\\d{12}|aws):policy/[A-Za-z0-9_+=,.@/-]+$',
  description:
    'the ARN of an IAM policy such as arn:aws:iam::123456789012:policy/MillraceBoundary-production',
})
/** Becomes a part of a resource's logical name. */
const Generation = Type.String({ pattern: '^[A-Za-z0-9]+$', description: 'letters and digits' })
const InstanceCount = wholeNumber(0, 10_000)
/** Of the encrypted root volume. Amazon Linux 2023 needs 8 GiB. */
const DiskGiB = wholeNumber(8, 16_384)
/** S3 lifecycle rules count in days. */
const AgeDays = wholeNumber(0, 36_500)

const Settings = group({
  /** AWS regions, the home region first. Each has everything: load balancer, both tiers, Redis, bucket. */
  regions: listOf(Region),
  /** How Route 53 chooses among several regions. Both skip an unhealthy region. */
  routing: oneOf(['latency', 'geolocation']),
  /** With `geolocation`: the region that serves a continent (Route 53's codes). The home region serves the others. */
  continents: group({
    AF: Type.Optional(Region),
    AN: Type.Optional(Region),
    AS: Type.Optional(Region),
    EU: Type.Optional(Region),
    NA: Type.Optional(Region),
    OC: Type.Optional(Region),
    SA: Type.Optional(Region),
  }),
  /** The API's name, in an existing hosted zone of Route 53. Without it: HTTP only, at the load balancer's name. */
  domain: Type.Optional(group({ name: DomainName, zone: DomainName })),
  /** Whether resources that hold data, and the load balancer, are protected from deletion. */
  keep: trueOrFalse,
  network: group({
    /** Availability zones. A load balancer needs two. */
    zones: wholeNumber(2, 6),
    /** How private subnets reach the internet, in each zone: AWS's gateway, a small instance, or not at all. */
    nat: oneOf(['gateway', 'instance', 'none']),
    /** Whether the VPC has endpoints for SQS, ECR, CloudWatch, SSM and others. S3 always has one; it is free. */
    interfaceEndpoints: trueOrFalse,
  }),
  api: group({
    instanceType: InstanceType,
    min: InstanceCount,
    desired: InstanceCount,
    max: InstanceCount,
    diskGiB: DiskGiB,
  }),
  worker: group({
    /** Several types make it more likely that Spot capacity is found. All of one architecture. */
    instanceTypes: listOf(InstanceType),
    min: InstanceCount,
    max: InstanceCount,
    /** The number of instances that are never Spot. */
    onDemandBase: InstanceCount,
    /** The share of on-demand instances above the base, in percent. */
    onDemandPercent: wholeNumber(0, 100),
    diskGiB: DiskGiB,
  }),
  /** More environment variables of both services (.env.example), such as quotas. */
  environment: Type.Record(Type.String(), Type.String({ description: 'text' }), { description: 'an object' }),
  redis: group({
    nodeType: Type.String({
      pattern: '^cache\\.[a-z0-9-]+\\.[a-z0-9-]+$',
      description: 'an ElastiCache node type such as cache.t4g.small',
    }),
    /** Besides the primary, each in another zone. With 0 there is no failover. ElastiCache allows 5. */
    replicas: wholeNumber(0, 5),
    /** ElastiCache keeps snapshots up to 35 days. 0: no snapshots. */
    snapshotDays: wholeNumber(0, 35),
  }),
  originals: group({
    /** Age at which S3 moves them to Glacier Instant Retrieval: served as before, 80 % cheaper, dearer to read. */
    instantRetrievalAfterDays: Type.Optional(AgeDays),
    /** Age at which S3 moves them to Deep Archive. They cannot be downloaded or processed then until a restore. */
    deepArchiveAfterDays: Type.Optional(AgeDays),
  }),
  /** How long overwritten and deleted objects can be restored. Originals: one day. */
  noncurrentDays: wholeNumber(1, 36_500),
  /** The retention times that CloudWatch Logs offers (API reference, PutRetentionPolicy). */
  logDays: oneOf([
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
  ]),
  firewall: group({
    /** Requests of one address in five minutes. The range is WAF's own. */
    requestsPerAddress: wholeNumber(10, 2_000_000_000),
  }),
  /** Whether CloudFront delivers the variants. */
  cdn: trueOrFalse,
  /**
   * Who may use objects in the bucket besides the services' roles, for example to restore one: ARNs of roles and users,
   * with `*` and `?`. The bucket denies them to everybody else.
   */
  operators: Type.Array(
    Type.String({
      pattern: '^arn:aws:iam::\\d{12}:(role|user)/.+$',
      description: 'an ARN of a role or user such as arn:aws:iam::123456789012:role/Admin',
    }),
    { uniqueItems: true, description: 'a list of ARNs, each once' },
  ),
  /** Receives alarms and budget notices. Without it, alarms only show on the dashboard. */
  email: Type.Optional(Type.String({ pattern: '^[^@\\s]+@[^@\\s]+$', description: 'an email address' })),
  /** The permissions boundary of all roles. The role of stacks/deploy-role.yaml can create no role without it. */
  permissionsBoundary: Type.Optional(PolicyArn),
  /** The stage's monthly cost above which AWS sends a budget notice. */
  budgetUsd: Type.Number({ exclusiveMinimum: 0, description: 'a number above 0' }),
  /** Names of the keys that seal sessions, the newest first. The first one seals, all of them open. */
  sessionKeys: listOf(Generation),
  /** The name of Redis' token. Another name creates another token. The previous token stays valid. */
  redisToken: Generation,
})
export type Settings = Static<typeof Settings>

type StageSettings = Omit<
  Settings,
  | 'regions'
  | 'routing'
  | 'continents'
  | 'domain'
  | 'cdn'
  | 'operators'
  | 'email'
  | 'permissionsBoundary'
  | 'budgetUsd'
  | 'originals'
>

const GiB = 1024 ** 3
const TiB = 1024 ** 4

/**
 * Limits of one owner and, without an API key, of one address. An owner is a session, or all keys of one name: a tenant's
 * quota is that of all its customers together. docs/deploy.md explains how to choose them.
 */
const quotas = {
  QUOTA_BYTES_TOTAL: String(TiB),
  QUOTA_FILES_TOTAL: '10000000',
  QUOTA_BYTES_PER_DAY: String(100 * GiB),
  QUOTA_FILES_PER_DAY: '100000',
  QUOTA_BYTES_PER_DAY_PER_ADDRESS: String(10 * GiB),
  QUOTA_FILES_PER_DAY_PER_ADDRESS: '10000',
}

const production: StageSettings = {
  keep: true,
  network: { zones: 3, nat: 'gateway', interfaceEndpoints: true },
  api: { instanceType: 't4g.small', min: 2, desired: 2, max: 10, diskGiB: 16 },
  worker: {
    instanceTypes: ['c7g.large', 'c6g.large', 'm7g.large', 'm6g.large'],
    min: 2,
    max: 40,
    onDemandBase: 1,
    onDemandPercent: 0,
    diskGiB: 20,
  },
  environment: quotas,
  redis: { nodeType: 'cache.t4g.small', replicas: 1, snapshotDays: 7 },
  noncurrentDays: 30,
  logDays: 90,
  firewall: { requestsPerAddress: 10_000 },
  sessionKeys: ['1'],
  redisToken: '1',
}

const staging: StageSettings = {
  ...production,
  keep: false,
  network: { zones: 2, nat: 'instance', interfaceEndpoints: false },
  api: { instanceType: 't4g.micro', min: 2, desired: 2, max: 4, diskGiB: 12 },
  worker: {
    ...production.worker,
    instanceTypes: ['t4g.small', 't4g.medium'],
    min: 1,
    max: 4,
    onDemandBase: 0,
  },
  environment: {
    QUOTA_BYTES_TOTAL: String(100 * GiB),
    QUOTA_FILES_TOTAL: '1000000',
    QUOTA_BYTES_PER_DAY: String(20 * GiB),
    QUOTA_FILES_PER_DAY: '10000',
    QUOTA_BYTES_PER_DAY_PER_ADDRESS: String(5 * GiB),
    QUOTA_FILES_PER_DAY_PER_ADDRESS: '2000',
  },
  redis: { nodeType: 'cache.t4g.micro', replicas: 1, snapshotDays: 1 },
  noncurrentDays: 7,
  logDays: 14,
}

/** Every other stage: a developer's own, or one for a branch. */
const smallest: StageSettings = {
  ...staging,
  api: { ...staging.api, min: 1, desired: 1, max: 2 },
  worker: { ...staging.worker, max: 2 },
  environment: { ...staging.environment, LOG_LEVEL: 'debug' },
  redis: { nodeType: 'cache.t4g.micro', replicas: 0, snapshotDays: 0 },
  noncurrentDays: 1,
  logDays: 3,
}

const stages = new Map([
  ['production', production],
  ['staging', staging],
])

/** Variables of the environment, and the path of the setting that each one sets. */
const variables = {
  MILLRACE_REGIONS: ['regions'],
  MILLRACE_ROUTING: ['routing'],
  MILLRACE_CONTINENTS: ['continents'],
  MILLRACE_DOMAIN: ['domain', 'name'],
  MILLRACE_ZONE: ['domain', 'zone'],
  MILLRACE_ALLOWED_ORIGINS: ['environment', 'ALLOWED_ORIGINS'],
  MILLRACE_OTLP_ENDPOINT: ['environment', 'OTEL_EXPORTER_OTLP_ENDPOINT'],
  MILLRACE_CDN: ['cdn'],
  MILLRACE_OPERATORS: ['operators'],
  MILLRACE_EMAIL: ['email'],
  MILLRACE_BUDGET_USD: ['budgetUsd'],
  MILLRACE_PERMISSIONS_BOUNDARY: ['permissionsBoundary'],
  MILLRACE_INSTANT_RETRIEVAL_DAYS: ['originals', 'instantRetrievalAfterDays'],
  MILLRACE_DEEP_ARCHIVE_DAYS: ['originals', 'deepArchiveAfterDays'],
}

/** Variables with our prefix that are no settings of a stage: the client's API key. */
const otherVariables = ['MILLRACE_KEY']

const defaultRegion = 'us-east-1'
/** Above what a region of the stage costs (docs/cost.md: production's is "medium", staging's is "small"). */
const budgetUsdPerRegion = new Map([
  ['production', 800],
  ['staging', 200],
])
/** Of the smallest stages, which cost less than staging. */
const smallestBudgetUsd = 200
/** S3 bills an object in Instant Retrieval for 90 days at least (S3 User Guide, "Transitioning objects"). */
const instantRetrievalDays = 90

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads what `app()` of sst.config.ts needs. Checks nothing: SST hides errors that `app()` throws. `run()` reads the
 * settings with `readSettings`, and reports problems.
 */
export function readAppSettings(stage: string, environment: Environment): { region: string; keep: boolean } {
  const [region = defaultRegion] = list(environment['MILLRACE_REGIONS'])
  return { region, keep: (stages.get(stage) ?? smallest).keep }
}

/**
 * Reads the settings of a stage. An empty variable counts as missing.
 *
 * @param environment holds the `MILLRACE_…` variables that docs/deploy.md lists
 * @throws Error that lists all problems, one a line
 */
export function readSettings(stage: string, environment: Environment): Settings {
  const base = stages.get(stage) ?? smallest
  const problems = [...environmentProblems(environment)]
  // Relative to the project's root, the working directory of `sst deploy`.
  const presets = readProjectPresets('.', base.environment, (problem) => problems.push(problem))
  const settings = {
    ...base,
    ...readOwnerSettings(stage, environment),
    environment: { ...presets, ...base.environment, ...readServiceVariables(environment) },
  }
  return parseSettings(stage, settings, problems)
}

/**
 * Checks settings against the schema, and against each other.
 *
 * @param problems that are known already
 * @throws Error that lists all problems, one a line
 */
export function parseSettings(stage: string, settings: unknown, problems: string[] = []): Settings {
  const all = [
    ...problems,
    ...schemaProblems(Settings, settings, []),
    ...serviceVariableProblems(settings),
    ...originProblems(settings),
    ...contradictions(settings),
  ]
  if (all.length === 0 && Value.Check(Settings, settings)) return settings
  throw new Error([`Settings of stage "${stage}":`, ...all.map((problem) => `- ${problem}`)].join('\n'))
}

/**
 * Whether JWTs of the app's identity provider are verified with a secret: `environment` names their issuer, but no
 * address of public keys.
 */
export function needsJwtSecret({ JWT_ISSUER, JWT_JWKS_URL }: Readonly<Record<string, string>>): boolean {
  return Boolean(JWT_ISSUER) && !JWT_JWKS_URL
}

/** Graviton families have a `g` behind their generation: t4g, c7gd, m8g. */
export function architectureOf(instanceType: string): 'arm64' | 'x86_64' {
  return /^[a-z]+\d+g/.test(instanceType) ? 'arm64' : 'x86_64'
}

/** Variables of both services. Both the API and the bucket need the origins. */
function readServiceVariables(environment: Environment): Record<string, string> {
  const origins = environment['MILLRACE_ALLOWED_ORIGINS']
  const traces = environment['MILLRACE_OTLP_ENDPOINT']
  return {
    ...(origins && { ALLOWED_ORIGINS: origins }),
    ...(traces && { OTEL_EXPORTER_OTLP_ENDPOINT: traces }),
  }
}

/** @returns values of unchecked types: texts that are no numbers stay texts, which the schema refuses */
function readOwnerSettings(stage: string, environment: Environment) {
  const read = (name: keyof typeof variables) => environment[name] || undefined
  // Not as an integer: TypeBox would cut 99.5 down to 99.
  const number = (name: keyof typeof variables) => {
    const text = read(name)
    return text === undefined ? undefined : Value.Convert(Type.Number(), text)
  }
  const regions = list(read('MILLRACE_REGIONS') ?? defaultRegion)
  const domain = read('MILLRACE_DOMAIN')
  const cdn = read('MILLRACE_CDN')
  const email = read('MILLRACE_EMAIL')
  const permissionsBoundary = read('MILLRACE_PERMISSIONS_BOUNDARY')
  const instantRetrieval = number('MILLRACE_INSTANT_RETRIEVAL_DAYS')
  const deepArchive = number('MILLRACE_DEEP_ARCHIVE_DAYS')
  return {
    regions,
    routing: read('MILLRACE_ROUTING') ?? 'latency',
    continents: Object.fromEntries(continentPairs(environment)),
    ...(domain && {
      domain: { name: domain, zone: read('MILLRACE_ZONE') ?? domain.slice(domain.indexOf('.') + 1) },
    }),
    cdn: cdn === undefined ? false : Value.Convert(Type.Boolean(), cdn),
    operators: list(read('MILLRACE_OPERATORS')),
    ...(email && { email }),
    budgetUsd:
      number('MILLRACE_BUDGET_USD') ??
      (budgetUsdPerRegion.get(stage) ?? smallestBudgetUsd) * Math.max(1, regions.length),
    ...(permissionsBoundary && { permissionsBoundary }),
    originals: {
      ...(instantRetrieval !== undefined && { instantRetrievalAfterDays: instantRetrieval }),
      ...(deepArchive !== undefined && { deepArchiveAfterDays: deepArchive }),
    },
  }
}

/** Problems that no setting shows any more once the variables are read. */
function* environmentProblems(environment: Environment): Generator<string> {
  for (const name of Object.keys(environment)) {
    if (!name.startsWith('MILLRACE_') || name in variables || otherVariables.includes(name)) continue
    yield `${name} is not a setting; allowed: ${Object.keys(variables).join(', ')}.`
  }
  if (environment['MILLRACE_ZONE'] && !environment['MILLRACE_DOMAIN']) {
    yield 'MILLRACE_ZONE is set, but MILLRACE_DOMAIN is missing.'
  }
  const continents = continentPairs(environment).map(([continent]) => continent)
  for (const continent of new Set(continents.filter((each, index) => continents.indexOf(each) < index))) {
    yield `MILLRACE_CONTINENTS names ${continent} twice; allowed: each continent once.`
  }
}

/** `EU=eu-west-1,AF=eu-west-1` as pairs. */
function continentPairs(environment: Environment): [continent: string, region: string][] {
  return list(environment['MILLRACE_CONTINENTS']).map((pair) => {
    const [continent = '', region = ''] = pair.split('=')
    return [continent.trim(), region.trim()]
  })
}

/** One sentence for each place in `value` that the schema does not allow. */
function* schemaProblems(schema: TSchema, value: unknown, path: string[]): Generator<string> {
  if (Type.IsObject(schema) && isObject(value)) {
    const allowed = Object.keys(schema.properties)
    for (const name of Object.keys(value)) {
      if (!allowed.includes(name))
        yield `${nameOf([...path, name])} is not a setting; allowed: ${allowed.join(', ')}.`
    }
    for (const [name, property] of Object.entries(schema.properties)) {
      const inner = [...path, name]
      if (value[name] !== undefined) yield* schemaProblems(property, value[name], inner)
      else if (!Type.IsOptional(property))
        yield `${nameOf(inner)} is missing; allowed: ${allowedBy(property)}.`
    }
    return
  }
  if (Type.IsRecord(schema) && isObject(value)) {
    for (const [name, item] of Object.entries(value)) {
      yield* schemaProblems(Type.RecordValue(schema), item, [...path, name])
    }
    return
  }
  if (Type.IsArray(schema) && Array.isArray(value)) {
    const inItems = value.flatMap((item, index) => [
      ...schemaProblems(schema.items, item, [...path, String(index)]),
    ])
    yield* inItems
    if (inItems.length > 0) return
  }
  if (!Value.Check(schema, value)) {
    yield `${nameOf(path)} is ${show(value)}; allowed: ${allowedBy(schema)}.`
  }
}

/** Variables of the services that .env.example does not list: the services would ignore them. */
function* serviceVariableProblems(settings: unknown): Generator<string> {
  if (!Value.Check(Type.Object({ environment: Settings.properties.environment }), settings)) return
  // Relative to the project's root, the working directory of `sst deploy`.
  const listed = readFileSync('.env.example', 'utf8').matchAll(/^([A-Z_0-9]+)=/gm)
  const allowed = Array.from(listed, ([, name]) => name)
  for (const name of Object.keys(settings.environment)) {
    // Node, libuv, the AWS SDK and OpenTelemetry read variables of their own.
    if (allowed.includes(name) || /^(NODE|UV|AWS|OTEL)_/.test(name)) continue
    yield `environment.${name} is not a setting; allowed: ${allowed.join(', ')}.`
  }
}

/** Origins that the API would refuse at its start, or S3 in the bucket's CORS rules. */
function* originProblems(settings: unknown): Generator<string> {
  if (!Value.Check(Type.Object({ environment: Settings.properties.environment }), settings)) return
  for (const origin of splitList(settings.environment['ALLOWED_ORIGINS'] ?? '')) {
    if (isOriginPattern(origin)) continue
    yield `${nameOf(['environment', 'ALLOWED_ORIGINS'])} contains ${show(origin)}; allowed: ${originForms}.`
  }
}

/** Settings that are valid one by one, but not together. Skips what the schema has refused. */
function* contradictions(settings: unknown): Generator<string> {
  const { regions, routing, continents, domain, network, api, worker, originals, cdn } = Settings.properties
  if (Value.Check(Type.Object({ regions, domain }), settings)) {
    const { regions, domain } = settings
    if (regions.length > 1 && !domain) yield 'MILLRACE_DOMAIN is missing; several regions need one.'
    if (domain && domain.name !== domain.zone && !domain.name.endsWith(`.${domain.zone}`)) {
      yield `MILLRACE_ZONE is ${show(domain.zone)}; allowed: a zone that contains ${domain.name} (MILLRACE_DOMAIN).`
    }
  }
  if (Value.Check(Type.Object({ regions, continents }), settings)) {
    for (const [continent, region] of Object.entries(settings.continents)) {
      if (settings.regions.includes(region)) continue
      yield `MILLRACE_CONTINENTS.${continent} is ${show(region)}; allowed: ${settings.regions.join(', ')} (MILLRACE_REGIONS).`
    }
  }
  if (Value.Check(Type.Object({ routing, continents }), settings)) {
    if (settings.routing !== 'geolocation' && Object.keys(settings.continents).length > 0) {
      yield `MILLRACE_CONTINENTS is set, but MILLRACE_ROUTING is ${show(settings.routing)}; allowed: geolocation.`
    }
  }
  if (Value.Check(Type.Object({ regions, cdn }), settings) && settings.cdn && settings.regions.length > 1) {
    yield 'MILLRACE_CDN is true; allowed: false with several regions, because CloudFront delivers the variants of one region only.'
  }
  if (Value.Check(Type.Object({ originals }), settings)) {
    const { instantRetrievalAfterDays: instant, deepArchiveAfterDays: deep } = settings.originals
    if (instant !== undefined && deep !== undefined && deep < instant + instantRetrievalDays) {
      yield `MILLRACE_DEEP_ARCHIVE_DAYS is ${deep}; allowed: ${instant + instantRetrievalDays} or more, which is ${instantRetrievalDays} days after MILLRACE_INSTANT_RETRIEVAL_DAYS.`
    }
  }
  if (Value.Check(Type.Object({ network }), settings)) {
    const { nat, interfaceEndpoints } = settings.network
    if (nat === 'none' && !interfaceEndpoints) {
      yield 'network.interfaceEndpoints is false; allowed: true without NAT.'
    }
  }
  if (Value.Check(Type.Object({ api }), settings)) {
    const { min, desired, max } = settings.api
    if (!(min <= desired && desired <= max)) {
      yield `api.desired is ${desired}; allowed: from api.min (${min}) to api.max (${max}).`
    }
  }
  if (Value.Check(Type.Object({ worker }), settings)) {
    const { min, max, instanceTypes } = settings.worker
    if (min > max) yield `worker.min is ${min}; allowed: up to worker.max (${max}).`
    const architectures = new Set(instanceTypes.map(architectureOf))
    if (architectures.size > 1) {
      yield `worker.instanceTypes is ${show(instanceTypes)}; allowed: types of one architecture.`
    } else if (Value.Check(Type.Object({ api }), settings)) {
      const { instanceType } = settings.api
      if (!architectures.has(architectureOf(instanceType))) {
        yield `api.instanceType is ${show(instanceType)}; allowed: a type of the workers' architecture (${[...architectures]}).`
      }
    }
  }
}

/** Names a setting as its reader wrote it: by its variable, or by its path in this file. */
function nameOf(path: string[]): string {
  const variable = Object.entries(variables).find(([, setting]) =>
    setting.every((part, index) => path[index] === part),
  )
  const [first = '', ...rest] = variable ? [variable[0], ...path.slice(variable[1].length)] : path
  return rest.reduce((name, part) => (/^\d+$/.test(part) ? `${name}[${part}]` : `${name}.${part}`), first)
}

function allowedBy(schema: TSchema): string {
  return 'description' in schema ? String(schema.description) : 'another value'
}

/** A value as a reader would write it. JSON has no NaN and no Infinity. */
function show(value: unknown): string {
  return typeof value === 'number' ? String(value) : JSON.stringify(value)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function list(text = ''): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean)
}
