/**
 * What each stage is made of. To change a stage, change it here; what belongs to one owner rather than to the
 * project (domain, regions, who is told) comes from the environment or from `.env.<stage>`, which SST reads.
 * docs/deploy.md says what each setting does, docs/cost.md what it costs.
 */
export type Settings = {
  /** AWS regions, the home region first. Each has everything: load balancer, both tiers, Redis, bucket. */
  regions: readonly [string, ...string[]]
  /** How Route 53 chooses among several regions. Both pass over a region that is unhealthy. */
  routing: 'latency' | 'geolocation'
  /** With `geolocation`: which region answers which continent (Route 53's codes). The home region answers the rest. */
  continents: Readonly<Record<string, string>>
  /** Where the API is found, in a hosted zone of Route 53 that exists. None: HTTP only, at the load balancer's name. */
  domain?: { name: string; zone: string } | undefined
  /** Whether resources that hold data, and the load balancer, refuse to be deleted. */
  keep: boolean
  network: {
    /** Availability zones; 2 at least. */
    zones: number
    /** How private subnets reach the internet, in each zone: AWS's gateway, a small instance, or not at all. */
    nat: 'gateway' | 'instance' | 'none'
    /** Whether SQS, ECR, CloudWatch, SSM and the like are reached inside of the VPC. S3 always is; it costs nothing. */
    interfaceEndpoints: boolean
  }
  api: {
    instanceType: string
    min: number
    desired: number
    max: number
    /** Of the encrypted root volume. */
    diskGiB: number
  }
  worker: {
    /** Any of these; several make it more likely that Spot capacity is found. All of one architecture. */
    instanceTypes: readonly [string, ...string[]]
    min: number
    max: number
    /** So many are never Spot. */
    onDemandBase: number
    /** Of those above the base, in percent. */
    onDemandPercent: number
    diskGiB: number
  }
  /** What both services read from their environment besides (.env.example), such as quotas. */
  environment: Readonly<Record<string, string>>
  redis: {
    nodeType: string
    /** Besides the primary, each in another zone; 0 has no failover. */
    replicas: number
    snapshotDays: number
  }
  originals: {
    /** Days until S3 keeps them in Glacier Instant Retrieval: still served at once, 80 % cheaper, dearer to read. */
    instantRetrievalAfterDays?: number | undefined
    /** Days until Deep Archive. From then on they can't be downloaded or processed again before a restore of hours. */
    deepArchiveAfterDays?: number | undefined
  }
  /** How long what was overwritten or deleted can be brought back. */
  noncurrentDays: number
  logDays: number
  firewall: {
    /** Requests of one address in five minutes. */
    requestsPerAddress: number
  }
  /** Whether variants are delivered by CloudFront. */
  cdn: boolean
  /** Who is told of alarms and of the budget. None: alarms only show on the dashboard. */
  email?: string | undefined
  /** What the stage may cost a month before somebody is told. */
  budgetUsd: number
  /** Names of the generations of keys that seal sessions, the newest first. All of them open. */
  sessionKeys: readonly [string, ...string[]]
  /** The name of the generation of Redis' token: another name makes another token. The one before it still holds. */
  redisToken: string
}

const production: Omit<Settings, keyof OwnersChoices> = {
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
  environment: {},
  redis: { nodeType: 'cache.t4g.small', replicas: 1, snapshotDays: 7 },
  noncurrentDays: 30,
  logDays: 90,
  firewall: { requestsPerAddress: 10_000 },
  sessionKeys: ['1'],
  redisToken: '1',
}

const staging: typeof production = {
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
  redis: { nodeType: 'cache.t4g.micro', replicas: 1, snapshotDays: 1 },
  noncurrentDays: 7,
  logDays: 14,
}

/** Every other stage: a developer's own, or one for a branch. */
const other: typeof production = {
  ...staging,
  api: { ...staging.api, min: 1, desired: 1, max: 2 },
  worker: { ...staging.worker, max: 2 },
  environment: { LOG_LEVEL: 'debug' },
  redis: { nodeType: 'cache.t4g.micro', replicas: 0, snapshotDays: 0 },
  noncurrentDays: 1,
  logDays: 3,
}

const stages: Record<string, typeof production> = { production, staging }

type OwnersChoices = Pick<
  Settings,
  'regions' | 'routing' | 'continents' | 'domain' | 'cdn' | 'email' | 'budgetUsd' | 'originals'
>
type Environment = Readonly<Record<string, string | undefined>>

/**
 * @param environment `MILLRACE_REGIONS`, `MILLRACE_ROUTING`, `MILLRACE_CONTINENTS`, `MILLRACE_DOMAIN`, `MILLRACE_ZONE`,
 *   `MILLRACE_CDN`, `MILLRACE_EMAIL`, `MILLRACE_BUDGET_USD`, `MILLRACE_INSTANT_RETRIEVAL_DAYS`, `MILLRACE_DEEP_ARCHIVE_DAYS`
 * @returns settings that nobody has checked: SST hides what is thrown while it asks for an app's name
 */
export function settingsFor(stage: string, environment: Environment): Settings {
  return { ...(stages[stage] ?? other), ...ownersChoices(environment) }
}

/** @throws Error that says which settings do not go together */
export function checkSettings(stage: string, settings: Settings): void {
  const problems = [...problemsOf(settings)]
  if (problems.length > 0) throw new Error(`Settings of stage "${stage}": ${problems.join(' ')}`)
}

function ownersChoices(environment: Environment): OwnersChoices {
  const [home = 'us-east-1', ...others] = list(environment['MILLRACE_REGIONS'])
  const domain = environment['MILLRACE_DOMAIN']
  return {
    regions: [home, ...others],
    routing: environment['MILLRACE_ROUTING'] === 'geolocation' ? 'geolocation' : 'latency',
    continents: Object.fromEntries(
      list(environment['MILLRACE_CONTINENTS']).map((pair) => {
        const [continent = '', region = ''] = pair.split('=')
        return [continent, region]
      }),
    ),
    domain: domain
      ? { name: domain, zone: environment['MILLRACE_ZONE'] ?? domain.slice(domain.indexOf('.') + 1) }
      : undefined,
    cdn: environment['MILLRACE_CDN'] === 'true',
    email: environment['MILLRACE_EMAIL'],
    budgetUsd: Number(environment['MILLRACE_BUDGET_USD'] ?? 200),
    originals: {
      instantRetrievalAfterDays: days(environment['MILLRACE_INSTANT_RETRIEVAL_DAYS']),
      deepArchiveAfterDays: days(environment['MILLRACE_DEEP_ARCHIVE_DAYS']),
    },
  }
}

function* problemsOf(settings: Settings) {
  const { regions, continents, domain, network, api, worker, originals, budgetUsd, cdn } = settings
  if (regions.length > 1 && !domain) yield 'Several regions need a domain.'
  if (new Set(regions).size < regions.length) yield 'A region is named twice.'
  for (const [continent, region] of Object.entries(continents)) {
    if (!regions.includes(region))
      yield `MILLRACE_CONTINENTS sends ${continent} to ${region || 'nowhere'}, which is no region of the stage.`
  }
  if (network.zones < 2) yield 'A load balancer needs two zones.'
  if (network.nat === 'none' && !network.interfaceEndpoints)
    yield 'Without NAT, interface endpoints are needed.'
  if (!(api.min <= api.desired && api.desired <= api.max)) yield 'The API tier needs min ≤ desired ≤ max.'
  if (worker.min > worker.max) yield 'The worker tier needs min ≤ max.'
  if (new Set(worker.instanceTypes.map(architectureOf)).size > 1) yield 'Workers need one architecture.'
  if (architectureOf(api.instanceType) !== architectureOf(worker.instanceTypes[0])) {
    yield 'Both tiers need one architecture.'
  }
  const { instantRetrievalAfterDays: instant, deepArchiveAfterDays: deep } = originals
  // S3 keeps an object 90 days in Instant Retrieval at least (S3 User Guide, "Transitioning objects").
  if (instant !== undefined && deep !== undefined && deep < instant + 90) {
    yield 'Deep Archive comes 90 days after Instant Retrieval at the earliest.'
  }
  if (!Number.isFinite(budgetUsd) || budgetUsd <= 0) yield 'MILLRACE_BUDGET_USD must be a number.'
  if (cdn && regions.length > 1) yield 'CloudFront delivers the variants of one region only.'
}

/** Graviton families have a `g` behind their generation: t4g, c7gd, m8g. */
export function architectureOf(instanceType: string): 'arm64' | 'x86_64' {
  return /^[a-z]+\d+g/.test(instanceType) ? 'arm64' : 'x86_64'
}

function list(text = ''): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean)
}

function days(text: string | undefined): number | undefined {
  return text ? Number(text) : undefined
}
