import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { needsJwtSecret, parseSettings, readAppSettings, readSettings } from '../../stacks/settings.ts'
import { root } from '../support/sst-platform.ts'
import { suite } from '../support/suite.ts'

const test = suite('stage settings')

const production = readSettings('production', {})

/** The problems that a stage's settings are refused for, one line each. */
function problemsOf(read: () => unknown): string[] {
  try {
    read()
  } catch (error) {
    assert.instance(error, Error)
    const [title, ...problems] = String(error instanceof Error && error.message).split('\n')
    assert.match(title ?? '', /^Settings of stage "\w+":$/)
    return problems.map((line) => line.replace(/^- /, ''))
  }
  throw new Error('The settings were accepted.')
}

/** The problems of an environment, in a production stage. */
const problemsIn = (environment: Record<string, string>) =>
  problemsOf(() => readSettings('production', environment))

/** The problems of a stage in which some settings are replaced. */
const problemsWith = (changes: Record<string, unknown>) =>
  problemsOf(() => parseSettings('production', { ...production, ...changes }))

test('environment variables become typed settings', () => {
  const settings = readSettings('production', {
    MILLRACE_REGIONS: ' us-east-1, eu-west-1,',
    MILLRACE_DOMAIN: 'media.example.com',
    MILLRACE_ZONE: 'example.com',
    MILLRACE_ROUTING: 'geolocation',
    MILLRACE_CONTINENTS: 'EU=eu-west-1, AF=eu-west-1',
    MILLRACE_ALLOWED_ORIGINS: 'https://app.example.com, https://*.example.org',
    MILLRACE_OTLP_ENDPOINT: 'https://otlp.example.com',
    MILLRACE_CDN: 'false',
    MILLRACE_EMAIL: 'ops@example.com',
    MILLRACE_BUDGET_USD: '899.50',
    MILLRACE_INSTANT_RETRIEVAL_DAYS: '30',
    MILLRACE_DEEP_ARCHIVE_DAYS: '365',
  })
  assert.equal(settings.regions, ['us-east-1', 'eu-west-1'])
  assert.equal(settings.domain, { name: 'media.example.com', zone: 'example.com' })
  assert.is(settings.routing, 'geolocation')
  assert.equal(settings.continents, { EU: 'eu-west-1', AF: 'eu-west-1' })
  assert.is(settings.environment['ALLOWED_ORIGINS'], 'https://app.example.com, https://*.example.org')
  assert.is(settings.environment['OTEL_EXPORTER_OTLP_ENDPOINT'], 'https://otlp.example.com')
  assert.is(settings.cdn, false)
  assert.is(settings.email, 'ops@example.com')
  assert.is(settings.budgetUsd, 899.5)
  assert.equal(settings.originals, { instantRetrievalAfterDays: 30, deepArchiveAfterDays: 365 })
})

test("each stage's default budget is above its cost by docs/cost.md, and twice that with two regions", () => {
  const page = readFileSync(join(root, 'docs/cost.md'), 'utf8')
  const cells = (start: string) =>
    page
      .split('\n')
      .find((line) => line.startsWith(start))
      ?.split('|')
      .slice(2, -1)
      .map((cell) => cell.replaceAll(/[*`,]/g, '').trim()) ?? []
  const stages = cells('| settings of stage')
  const totals = cells('| **total**').map(Number)
  for (const stage of ['staging', 'production']) {
    // The first column of a stage is with its settings as they are.
    const cost = totals[stages.indexOf(stage)] ?? 0
    assert.ok(cost > 100, `docs/cost.md has the cost of ${stage}`)
    const { budgetUsd } = readSettings(stage, {})
    // Above by a tenth at least, or any busier month sends a notice; not by so much that it says nothing.
    assert.ok(budgetUsd >= 1.1 * cost && budgetUsd <= 1.6 * cost, `${stage}: ${budgetUsd}, cost ${cost}`)
    const { budgetUsd: ofTwo } = readSettings(stage, {
      MILLRACE_REGIONS: 'us-east-1,eu-west-1',
      MILLRACE_DOMAIN: 'media.example.com',
    })
    assert.is(ofTwo, 2 * budgetUsd)
  }
  assert.ok(readSettings('ada', {}).budgetUsd <= readSettings('staging', {}).budgetUsd)
})

test('MILLRACE_OPERATORS lists ARNs of roles and users', () => {
  const role = 'arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Ops_*'
  const { operators } = readSettings('production', {
    MILLRACE_OPERATORS: `${role}, arn:aws:iam::123456789012:user/ada`,
  })
  assert.equal(operators, [role, 'arn:aws:iam::123456789012:user/ada'])
  assert.equal(readSettings('production', {}).operators, [])
  // Not a star, with which the bucket would deny nobody anything.
  for (const wrong of ['*', 'arn:aws:iam::*:role/x', 'ada']) {
    assert.equal(problemsIn({ MILLRACE_OPERATORS: wrong }), [
      `MILLRACE_OPERATORS[0] is "${wrong}"; allowed: an ARN of a role or user such as arn:aws:iam::123456789012:role/Admin.`,
    ])
  }
})

test('absent and empty variables take the default', () => {
  const empty = { MILLRACE_REGIONS: '', MILLRACE_DOMAIN: '', MILLRACE_CDN: '', MILLRACE_BUDGET_USD: '' }
  for (const environment of [{}, empty]) {
    const { regions, domain, cdn, budgetUsd, routing } = readSettings('production', environment)
    assert.equal(
      [regions, domain, cdn, budgetUsd, routing],
      [['us-east-1'], undefined, false, 800, 'latency'],
    )
  }
})

test('the hosted zone is the part of the domain after its first dot, unless MILLRACE_ZONE names it', () => {
  const { domain } = readSettings('staging', { MILLRACE_DOMAIN: 'a.b.example.com' })
  assert.equal(domain, { name: 'a.b.example.com', zone: 'b.example.com' })
})

test('every stage is valid by itself, and a stage of any other name has the smallest sizes', () => {
  for (const [stage, max] of [
    ['production', 10],
    ['staging', 4],
    ['ada', 2],
    ['constructor', 2],
  ] as const) {
    assert.is(readSettings(stage, {}).api.max, max, stage)
  }
})

test('an unknown MILLRACE_ variable is refused with the allowed names', () => {
  const names = [
    'MILLRACE_REGIONS',
    'MILLRACE_ROUTING',
    'MILLRACE_CONTINENTS',
    'MILLRACE_DOMAIN',
    'MILLRACE_ZONE',
    'MILLRACE_ALLOWED_ORIGINS',
    'MILLRACE_OTLP_ENDPOINT',
    'MILLRACE_CDN',
    'MILLRACE_OPERATORS',
    'MILLRACE_EMAIL',
    'MILLRACE_BUDGET_USD',
    'MILLRACE_PERMISSIONS_BOUNDARY',
    'MILLRACE_INSTANT_RETRIEVAL_DAYS',
    'MILLRACE_DEEP_ARCHIVE_DAYS',
  ]
  assert.equal(problemsIn({ MILLRACE_DOMIAN: 'media.example.com' }), [
    `MILLRACE_DOMIAN is not a setting; allowed: ${names.join(', ')}.`,
  ])
  const guide = readFileSync(join(root, 'docs/deploy.md'), 'utf8')
  for (const name of names) assert.ok(guide.includes(`\`${name}\``), `docs/deploy.md explains ${name}`)
})

test('variables of other programs are ignored, among them the key of the client', () => {
  readSettings('production', { PATH: '/usr/bin', MILLRACE_KEY: 'secret', SST_STAGE: 'production' })
})

test('a variable of the wrong form is refused with the allowed value and the given one', () => {
  for (const [environment, problem] of [
    [{ MILLRACE_BUDGET_USD: 'much' }, 'MILLRACE_BUDGET_USD is "much"; allowed: a number above 0.'],
    [{ MILLRACE_BUDGET_USD: '200 USD' }, 'MILLRACE_BUDGET_USD is "200 USD"; allowed: a number above 0.'],
    [{ MILLRACE_BUDGET_USD: '0' }, 'MILLRACE_BUDGET_USD is 0; allowed: a number above 0.'],
    [
      { MILLRACE_BUDGET_USD: 'Infinity' },
      /^MILLRACE_BUDGET_USD is .*Infinity"?; allowed: a number above 0\.$/,
    ],
    [{ MILLRACE_CDN: 'yes' }, 'MILLRACE_CDN is "yes"; allowed: true, false.'],
    [
      { MILLRACE_ALLOWED_ORIGINS: 'https://app.example.com,https://*' },
      /^MILLRACE_ALLOWED_ORIGINS contains "https:\/\/\*"; allowed: origins without a path, /,
    ],
    [{ MILLRACE_ROUTING: 'geo' }, 'MILLRACE_ROUTING is "geo"; allowed: latency, geolocation.'],
    [
      { MILLRACE_INSTANT_RETRIEVAL_DAYS: '30d' },
      'MILLRACE_INSTANT_RETRIEVAL_DAYS is "30d"; allowed: a whole number from 0 to 36500.',
    ],
    [
      { MILLRACE_DEEP_ARCHIVE_DAYS: '99.5' },
      'MILLRACE_DEEP_ARCHIVE_DAYS is 99.5; allowed: a whole number from 0 to 36500.',
    ],
    [
      { MILLRACE_DEEP_ARCHIVE_DAYS: '-1' },
      'MILLRACE_DEEP_ARCHIVE_DAYS is -1; allowed: a whole number from 0 to 36500.',
    ],
    [
      { MILLRACE_PERMISSIONS_BOUNDARY: 'MillraceBoundary' },
      'MILLRACE_PERMISSIONS_BOUNDARY is "MillraceBoundary"; allowed: the ARN of an IAM policy such as arn:aws:iam::123456789012:policy/MillraceBoundary-production.',
    ],
    [{ MILLRACE_EMAIL: 'ops' }, 'MILLRACE_EMAIL is "ops"; allowed: an email address.'],
    [
      { MILLRACE_REGIONS: 'eu_west_1' },
      'MILLRACE_REGIONS[0] is "eu_west_1"; allowed: an AWS region such as eu-central-1.',
    ],
    [{ MILLRACE_REGIONS: ',' }, 'MILLRACE_REGIONS is []; allowed: a list of at least 1 item, each once.'],
    [
      { MILLRACE_DOMAIN: 'https://media.example.com' },
      'MILLRACE_DOMAIN is "https://media.example.com"; allowed: a domain name such as media.example.com.',
    ],
  ] as const) {
    const [first, ...more] = problemsIn(environment)
    if (typeof problem === 'string') assert.is(first, problem)
    else assert.match(first ?? '', problem)
    assert.equal(
      more.filter((line) => !line.startsWith('MILLRACE_ZONE')),
      [],
    )
  }
})

test('continents are refused unless they are codes of Route 53 that lead to regions of the stage', () => {
  const regions = {
    MILLRACE_REGIONS: 'us-east-1,eu-west-1',
    MILLRACE_DOMAIN: 'media.example.com',
    MILLRACE_ROUTING: 'geolocation',
  }
  for (const [continents, problem] of [
    ['EUR=eu-west-1', 'MILLRACE_CONTINENTS.EUR is not a setting; allowed: AF, AN, AS, EU, NA, OC, SA.'],
    ['EU', 'MILLRACE_CONTINENTS.EU is ""; allowed: an AWS region such as eu-central-1.'],
    [
      'EU=eu-west-2',
      'MILLRACE_CONTINENTS.EU is "eu-west-2"; allowed: us-east-1, eu-west-1 (MILLRACE_REGIONS).',
    ],
  ] as const) {
    assert.equal(problemsIn({ ...regions, MILLRACE_CONTINENTS: continents }), [problem])
  }
  assert.equal(problemsIn({ ...regions, MILLRACE_ROUTING: 'latency', MILLRACE_CONTINENTS: 'EU=eu-west-1' }), [
    'MILLRACE_CONTINENTS is set, but MILLRACE_ROUTING is "latency"; allowed: geolocation.',
  ])
  assert.equal(problemsIn({ ...regions, MILLRACE_CONTINENTS: 'EU=eu-west-1,EU=us-east-1' }), [
    'MILLRACE_CONTINENTS names EU twice; allowed: each continent once.',
  ])
})

test('an unknown setting in a stage is refused with the allowed names', () => {
  assert.equal(problemsWith({ worker: { ...production.worker, spotPercent: 50 } }), [
    'worker.spotPercent is not a setting; allowed: instanceTypes, min, max, onDemandBase, onDemandPercent, diskGiB.',
  ])
  const [problem] = problemsWith({ logdays: 14 })
  assert.match(problem ?? '', /^logdays is not a setting; allowed: regions, routing, .*, logDays, /)
})

test('a setting of the wrong type, out of range or missing is refused', () => {
  const { diskGiB: _, ...withoutDisk } = production.api
  for (const [changes, problem] of [
    [
      { network: { ...production.network, zones: 1 } },
      'network.zones is 1; allowed: a whole number from 2 to 6.',
    ],
    [
      { network: { ...production.network, zones: '3' } },
      'network.zones is "3"; allowed: a whole number from 2 to 6.',
    ],
    [
      { network: { ...production.network, nat: 'gatway' } },
      'network.nat is "gatway"; allowed: gateway, instance, none.',
    ],
    [{ keep: 'yes' }, 'keep is "yes"; allowed: true, false.'],
    [{ logDays: 10 }, /^logDays is 10; allowed: 1, 3, 5, 7, 14, .*, 3653\.$/],
    [{ noncurrentDays: Number.NaN }, 'noncurrentDays is NaN; allowed: a whole number from 1 to 36500.'],
    [{ api: withoutDisk }, 'api.diskGiB is missing; allowed: a whole number from 8 to 16384.'],
    [{ worker: 4 }, 'worker is 4; allowed: an object.'],
    [
      { worker: { ...production.worker, instanceTypes: [] } },
      'worker.instanceTypes is []; allowed: a list of at least 1 item, each once.',
    ],
    [
      { redis: { ...production.redis, replicas: 6 } },
      'redis.replicas is 6; allowed: a whole number from 0 to 5.',
    ],
    [
      { redis: { ...production.redis, nodeType: 't4g.small' } },
      'redis.nodeType is "t4g.small"; allowed: an ElastiCache node type such as cache.t4g.small.',
    ],
    [{ sessionKeys: ['1', '1'] }, 'sessionKeys is ["1","1"]; allowed: a list of at least 1 item, each once.'],
  ] as const) {
    const problems = problemsWith(changes)
    assert.is(problems.length, 1, problems.join('\n'))
    if (typeof problem === 'string') assert.is(problems[0], problem)
    else assert.match(problems[0] ?? '', problem)
  }
})

test('a variable of the services that .env.example does not list is refused', () => {
  const [problem, ...more] = problemsWith({
    environment: { QUOTA_BYTE_TOTAL: '1', NODE_OPTIONS: '--no-deprecation' },
  })
  assert.match(problem ?? '', /^environment\.QUOTA_BYTE_TOTAL is not a setting; allowed: .*QUOTA_BYTES_TOTAL/)
  assert.equal(more, [])
  assert.equal(problemsWith({ environment: { LOG_LEVEL: 3 } }), [
    'environment.LOG_LEVEL is 3; allowed: text.',
  ])
})

test('settings that contradict each other are refused', () => {
  const two = { MILLRACE_REGIONS: 'us-east-1,eu-west-1' }
  const twoWithDomain = { ...two, MILLRACE_DOMAIN: 'media.example.com' }
  for (const [environment, problem] of [
    [two, 'MILLRACE_DOMAIN is missing; several regions need one.'],
    [
      { ...twoWithDomain, MILLRACE_REGIONS: 'us-east-1,us-east-1' },
      'MILLRACE_REGIONS is ["us-east-1","us-east-1"]; allowed: a list of at least 1 item, each once.',
    ],
    [
      { ...twoWithDomain, MILLRACE_CDN: 'true' },
      'MILLRACE_CDN is true; allowed: false with several regions, because CloudFront delivers the variants of one region only.',
    ],
    [
      { MILLRACE_INSTANT_RETRIEVAL_DAYS: '30', MILLRACE_DEEP_ARCHIVE_DAYS: '60' },
      'MILLRACE_DEEP_ARCHIVE_DAYS is 60; allowed: 120 or more, which is 90 days after MILLRACE_INSTANT_RETRIEVAL_DAYS.',
    ],
    [{ MILLRACE_ZONE: 'example.com' }, 'MILLRACE_ZONE is set, but MILLRACE_DOMAIN is missing.'],
    [
      { MILLRACE_DOMAIN: 'media.example.com', MILLRACE_ZONE: 'example.org' },
      'MILLRACE_ZONE is "example.org"; allowed: a zone that contains media.example.com (MILLRACE_DOMAIN).',
    ],
  ] as const) {
    assert.equal(problemsIn(environment), [problem])
  }
  for (const [changes, problem] of [
    [
      { network: { ...production.network, nat: 'none', interfaceEndpoints: false } },
      'network.interfaceEndpoints is false; allowed: true without NAT.',
    ],
    [
      { api: { ...production.api, desired: 11 } },
      'api.desired is 11; allowed: from api.min (2) to api.max (10).',
    ],
    [{ worker: { ...production.worker, min: 41 } }, 'worker.min is 41; allowed: up to worker.max (40).'],
    [
      { worker: { ...production.worker, instanceTypes: ['c7g.large', 'c7i.large'] } },
      'worker.instanceTypes is ["c7g.large","c7i.large"]; allowed: types of one architecture.',
    ],
    [
      { api: { ...production.api, instanceType: 't3.small' } },
      'api.instanceType is "t3.small"; allowed: a type of the workers\' architecture (arm64).',
    ],
  ] as const) {
    assert.equal(problemsWith(changes), [problem])
  }
})

test('all problems are reported at once, one line each', () => {
  const problems = problemsIn({
    MILLRACE_REGION: 'eu-west-1',
    MILLRACE_REGIONS: 'us-east-1,eu-west-1',
    MILLRACE_CDN: 'yes',
    MILLRACE_BUDGET_USD: 'much',
  })
  assert.equal(
    problems.map((line) => line.split(' ')[0]),
    ['MILLRACE_REGION', 'MILLRACE_CDN', 'MILLRACE_BUDGET_USD', 'MILLRACE_DOMAIN'],
  )
})

test('region and protection of the stage are read without checks, because SST hides errors of app()', () => {
  const wrong = { MILLRACE_REGIONS: 'eu-west-1, us-east-1', MILLRACE_BUDGET_USD: 'much', MILLRACE_TYPO: '1' }
  assert.equal(readAppSettings('production', wrong), { region: 'eu-west-1', keep: true })
  assert.equal(readAppSettings('ada', {}), { region: 'us-east-1', keep: false })
})

test('a stage needs the secret of an identity provider if its JWTs are not verified with public keys', () => {
  const JWT_ISSUER = 'https://id.example/'
  assert.is(needsJwtSecret({}), false)
  assert.is(needsJwtSecret({ JWT_ISSUER }), true)
  assert.is(needsJwtSecret({ JWT_ISSUER, JWT_JWKS_URL: 'https://id.example/jwks.json' }), false)
})

test.run()
