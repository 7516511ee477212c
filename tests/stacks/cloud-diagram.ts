import type { Cloud, Resource } from '../support/mock-cloud.ts'
import { at, behind, list, ofType, parse, statements, texts } from './find.ts'

type Place = 'public' | 'private' | 'regional' | 'global'
type Node = { id: string; label: string; shape: [string, string]; place: Place; region: string }
type Edge = { from: string; to: string; label: string }

const box: [string, string] = ['[', ']']
const store: [string, string] = ['[(', ')]']
const queue: [string, string] = ['[[', ']]']

/** How each type of resource is drawn. Other types only cause edges, or are left out. */
const drawn: Record<
  string,
  (resource: Resource) => { label: string; shape: [string, string]; place: Place }
> = {
  'aws:cloudfront/distribution:Distribution': () => ({ label: 'CloudFront', shape: box, place: 'global' }),
  'aws:wafv2/webAcl:WebAcl': ({ inputs }) => ({
    label: `WAF<br>${list(inputs['rules']).length} rules`,
    shape: box,
    place: 'public',
  }),
  'aws:lb/loadBalancer:LoadBalancer': ({ inputs }) => ({
    label: `Application Load Balancer<br>${texts(inputs['subnets']).length} zones, /health`,
    shape: box,
    place: 'public',
  }),
  'aws:autoscaling/group:Group': ({ inputs, name }) => {
    const types = list(at(inputs, 'mixedInstancesPolicy', 'launchTemplate', 'overrides')).map((each) =>
      at(each, 'instanceType'),
    )
    const base = at(inputs, 'mixedInstancesPolicy', 'instancesDistribution', 'onDemandBaseCapacity')
    const spot = types.length > 0 ? `<br>${types[0]} or similar, Spot above ${base}` : ''
    const tier = name.startsWith('Api') ? 'API tier' : 'Worker tier'
    return {
      label: `${tier}<br>${inputs['minSize']} to ${inputs['maxSize']} instances${spot}`,
      shape: box,
      place: 'private',
    }
  },
  'aws:elasticache/replicationGroup:ReplicationGroup': ({ inputs }) => ({
    label: `Valkey<br>${inputs['numCacheClusters']} × ${inputs['nodeType']}`,
    shape: store,
    place: 'private',
  }),
  'aws:s3/bucket:Bucket': ({ name }) => ({
    label: name.startsWith('Ledger') ? 'S3: ledger' : 'S3: access log',
    shape: store,
    place: 'regional',
  }),
  'aws:sqs/queue:Queue': ({ name }) => ({
    label: name.startsWith('Events') ? 'SQS: events' : 'SQS: dead letters',
    shape: queue,
    place: 'regional',
  }),
  'aws:sns/topic:Topic': () => ({ label: 'SNS: alarms', shape: box, place: 'regional' }),
  'aws:budgets/budget:Budget': ({ inputs }) => ({
    label: `Budget<br>$${inputs['limitAmount']} a month`,
    shape: box,
    place: 'global',
  }),
}

/** Draws a cloud as a Mermaid flowchart: boxes by their place, arrows for allowed access. */
export function drawCloud(cloud: Cloud): string {
  const nodes = new Map<string, Node>()
  // Pulumi registers resources in no fixed order.
  const resources = cloud.resources.toSorted((a, b) => a.name.localeCompare(b.name))
  for (const resource of resources) {
    const node = drawn[resource.type]?.(resource)
    if (node) nodes.set(resource.urn, { id: resource.name, region: regionOf(cloud, resource), ...node })
  }
  const edges = [...edgesOf(cloud)]
  const regions = [...new Set([...nodes.values()].map(({ region }) => region))]
  const lines = ['flowchart TB', '  internet((Internet))']
  for (const node of nodes.values()) if (node.place === 'global') lines.push(`  ${drawNode(node)}`)
  for (const region of regions) {
    const inRegion = [...nodes.values()].filter((node) => node.region === region)
    const id = region.replaceAll('-', '')
    const group = (place: Place, title: string, indent: string) => {
      const members = inRegion.filter((node) => node.place === place)
      if (members.length === 0) return []
      return [
        `${indent}subgraph ${id}${place} [${title}]`,
        ...members.map((node) => `${indent}  ${drawNode(node)}`),
        `${indent}end`,
      ]
    }
    lines.push(
      `  subgraph ${id} [${region}]`,
      `    subgraph ${id}vpc [VPC]`,
      ...group('public', 'public subnets', '      '),
      ...group('private', 'private subnets', '      '),
      '    end',
      ...inRegion.filter(({ place }) => place === 'regional').map((node) => `    ${drawNode(node)}`),
      '  end',
    )
  }
  const arrows = edges.map(({ from, to, label }) => `  ${from} -- "${label}" --> ${to}`)
  return [...lines, ...[...new Set(arrows)].sort()].join('\n')
}

function drawNode({ id, label, shape }: Node): string {
  return `${id}${shape[0]}"${label}"${shape[1]}`
}

function regionOf(cloud: Cloud, { provider }: Resource): string {
  const owner = ofType(cloud, 'pulumi:providers:aws').find(({ urn }) => provider.startsWith(`${urn}::`))
  return String(owner?.inputs['region'])
}

function* edgesOf(cloud: Cloud): Generator<Edge> {
  yield* networkEdges(cloud)
  for (const association of ofType(cloud, 'aws:wafv2/webAclAssociation:WebAclAssociation')) {
    yield* edge(cloud, [association, 'webAclArn'], [association, 'resourceArn'], 'filters')
  }
  for (const record of ofType(cloud, 'aws:route53/record:Record')) {
    const [balancer] = behind(cloud, record, 'aliases')
    const policy = record.inputs['latencyRoutingPolicies'] ? ', nearest healthy' : ''
    if (balancer && record.name.startsWith('Domain')) {
      yield { from: 'internet', to: balancer.name, label: `${record.inputs['name']}${policy}` }
    }
  }
  for (const balancer of ofType(cloud, 'aws:lb/loadBalancer:LoadBalancer')) {
    // The bucket's name depends on its policy, so the input depends on both.
    const [bucket] = behind(cloud, balancer, 'accessLogs').filter(
      ({ type }) => type === 'aws:s3/bucket:Bucket',
    )
    if (bucket) yield { from: balancer.name, to: bucket.name, label: 'writes access log' }
  }
  for (const notification of ofType(cloud, 'aws:s3/bucketNotification:BucketNotification')) {
    const [bucket] = behind(cloud, notification, 'bucket').filter(
      ({ type }) => type === 'aws:s3/bucket:Bucket',
    )
    const [queue] = behind(cloud, notification, 'queues')
    const prefixes = list(notification.inputs['queues']).map((each) => at(each, 'filterPrefix'))
    if (bucket && queue)
      yield {
        from: bucket.name,
        to: queue.name,
        label: `notifies of new objects under ${prefixes.join(', ')}`,
      }
  }
  for (const queue of ofType(cloud, 'aws:sqs/queue:Queue')) {
    for (const deadLetters of behind(cloud, queue, 'redrivePolicy')) {
      if (deadLetters.type !== queue.type) continue
      const attempts = at(parse(queue.inputs['redrivePolicy']), 'maxReceiveCount')
      yield { from: queue.name, to: deadLetters.name, label: `moves after ${attempts} attempts` }
    }
  }
  yield* roleEdges(cloud)
  for (const replication of ofType(cloud, 'aws:s3/bucketReplicationConfig:BucketReplicationConfig')) {
    yield* edge(cloud, [replication, 'bucket'], [replication, 'rules'], 'copies to', 'aws:s3/bucket:Bucket')
  }
  for (const distribution of ofType(cloud, 'aws:cloudfront/distribution:Distribution')) {
    for (const bucket of behind(cloud, distribution, 'origins')) {
      if (bucket.type === 'aws:s3/bucket:Bucket')
        yield { from: distribution.name, to: bucket.name, label: 'reads variants/' }
    }
  }
  for (const budget of ofType(cloud, 'aws:budgets/budget:Budget')) {
    for (const topic of behind(cloud, budget, 'notifications')) {
      yield { from: budget.name, to: topic.name, label: 'notifies' }
    }
  }
}

/** @param only keeps resources of one type if an input depends on several */
function* edge(cloud: Cloud, from: [Resource, string], to: [Resource, string], label: string, only?: string) {
  const isIncluded = (resource: Resource) =>
    only ? resource.type === only : drawn[resource.type] !== undefined
  for (const source of behind(cloud, ...from).filter(isIncluded)) {
    for (const target of behind(cloud, ...to).filter(isIncluded))
      yield { from: source.name, to: target.name, label }
  }
}

/** Yields the rules of security groups as edges between the resources that have the groups. */
function* networkEdges(cloud: Cloud): Generator<Edge> {
  for (const rule of ofType(cloud, 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule')) {
    const port = rule.inputs['fromPort']
    const [target] = behind(cloud, rule, 'securityGroupId')
    const [source] = behind(cloud, rule, 'referencedSecurityGroupId')
    const to = target && ownerOf(cloud, target)
    if (!to) continue
    if (rule.inputs['cidrIpv4']) yield { from: 'internet', to, label: String(port) }
    const from = source && ownerOf(cloud, source)
    if (from) yield { from, to, label: String(port) }
  }
}

function ownerOf(cloud: Cloud, group: Resource): string | undefined {
  const has = (resource: Resource, input: string) => behind(cloud, resource, input).includes(group)
  const direct = cloud.resources.find(
    (resource) =>
      drawn[resource.type] && (has(resource, 'securityGroups') || has(resource, 'securityGroupIds')),
  )
  if (direct) return direct.name
  const template = ofType(cloud, 'aws:ec2/launchTemplate:LaunchTemplate').find((each) =>
    has(each, 'networkInterfaces'),
  )
  return template && groupOf(cloud, template)?.name
}

function groupOf(cloud: Cloud, template: Resource): Resource | undefined {
  return ofType(cloud, 'aws:autoscaling/group:Group').find((group) =>
    ['launchTemplate', 'mixedInstancesPolicy'].some((input) =>
      behind(cloud, group, input).includes(template),
    ),
  )
}

/** Yields what roles allow instances to do with the drawn resources. */
function* roleEdges(cloud: Cloud): Generator<Edge> {
  const writes = /:(Put|Delete|Send|Receive)/
  for (const template of ofType(cloud, 'aws:ec2/launchTemplate:LaunchTemplate')) {
    const group = groupOf(cloud, template)
    const [profile] = behind(cloud, template, 'iamInstanceProfile')
    const [role] = profile ? behind(cloud, profile, 'role') : []
    for (const policy of ofType(cloud, 'aws:iam/rolePolicy:RolePolicy')) {
      if (!group || !role || !behind(cloud, policy, 'role').includes(role)) continue
      const allowed = statements(policy.inputs['policy'])
      for (const target of behind(cloud, policy, 'policy').filter(({ type }) => drawn[type])) {
        const arn = String(target.outputs['arn'])
        const relevant = allowed.filter(({ resources }) =>
          resources.some((resource) => resource.startsWith(arn)),
        )
        const actions = relevant.flatMap(({ actions }) => actions)
        const label = actions.some((action) => writes.test(action))
          ? target.type.startsWith('aws:sqs')
            ? verbsOf(actions)
            : `reads and writes ${prefixesOf(relevant)}`
          : 'reads'
        yield { from: group.name, to: target.name, label }
      }
    }
  }
}

/** What a role does with the messages of a queue. */
function verbsOf(actions: string[]): string {
  const verbs = { receives: 'sqs:ReceiveMessage', sends: 'sqs:SendMessage' }
  return Object.entries(verbs)
    .flatMap(([verb, action]) => (actions.includes(action) ? [verb] : []))
    .join(', ')
}

/** Returns the prefixes under which objects may be written. */
function prefixesOf(allowed: ReturnType<typeof statements>): string {
  const puts = allowed.filter(({ actions }) => actions.includes('s3:PutObject'))
  return puts
    .flatMap(({ resources }) => resources.map((resource) => `${resource.split('/').at(-2)}/`))
    .join(', ')
}

/** Returns the page that `npm run diagram` writes: docs/cloud.md. */
export function cloudPage(clouds: { production: Cloud; twoRegions: Cloud }): string {
  const count = (cloud: Cloud) => cloud.resources.filter(({ type }) => type.startsWith('aws:')).length
  return `# The cloud

\`npm run diagram\` writes this page from the resources that sst.config.ts registers with Pulumi's mock engine. A test fails
if the page is out of date. Arrows show what security groups, roles and S3's configuration allow; a number is a port.

## Production, in one region: ${count(clouds.production)} resources

${drawing(clouds.production)}

## Production, in two regions with a domain: ${count(clouds.twoRegions)} resources

${drawing(clouds.twoRegions)}
`
}

function drawing(cloud: Cloud): string {
  return `\`\`\`mermaid\n${drawCloud(cloud)}\n\`\`\``
}
