import type { Network } from './network.ts'
import type { Place } from './place.ts'

/** Where the API listens on its instance. */
export const apiPort = 3000
/** Where a worker answers `/health`, to its own instance only. */
export const workerHealthPort = 3001
export const redisPort = 6379

type Peer = { group: aws.ec2.SecurityGroup } | { cidr: string }
type Rule = { protocol?: 'tcp'; port: number; peer: Peer; why: string }

/**
 * Who may talk to whom, and nobody else: internet → load balancer → API → Redis ← worker; both tiers → AWS and the
 * internet by TLS, and workers by plain HTTP, as sources of imports may have such addresses.
 */
export function createSecurityGroups({ place, network }: { place: Place; network: Network }) {
  const group = (id: string, description: string) =>
    new aws.ec2.SecurityGroup(
      place.id(`${id}Group`),
      // No rules inline: they would undo those below. `revokeRulesOnDelete` untangles groups that name each other.
      {
        vpcId: network.vpcId,
        description,
        revokeRulesOnDelete: true,
        tags: { Name: place.name(id.toLowerCase()) },
      },
      place.options,
    )
  const loadBalancer = group('LoadBalancer', 'The load balancer: the only one that the internet reaches')
  const api = group('Api', 'API instances')
  const worker = group('Worker', 'Worker instances')
  const redis = group('Redis', 'Redis')
  const endpoints = network.hasInterfaceEndpoints ? group('Endpoints', 'Interface endpoints') : undefined

  const anywhere: Peer = { cidr: '0.0.0.0/0' }

  allowIn('LoadBalancer', loadBalancer, [
    { port: 443, peer: anywhere, why: 'HTTPS' },
    { port: 80, peer: anywhere, why: 'HTTP' },
  ])
  allowOut('LoadBalancer', loadBalancer, [{ port: apiPort, peer: { group: api }, why: 'Requests' }])
  allowIn('Api', api, [{ port: apiPort, peer: { group: loadBalancer }, why: 'Requests' }])
  allowOut('Api', api, [
    { port: redisPort, peer: { group: redis }, why: 'Sessions, records, queue' },
    { port: 443, peer: anywhere, why: 'AWS' },
  ])
  allowOut('Worker', worker, [
    { port: redisPort, peer: { group: redis }, why: 'Records, queue' },
    { port: 443, peer: anywhere, why: 'AWS, imports' },
    { port: 80, peer: anywhere, why: 'Imports' },
  ])
  allowIn('Redis', redis, [
    { port: redisPort, peer: { group: api }, why: 'Sessions, records, queue' },
    { port: redisPort, peer: { group: worker }, why: 'Records, queue' },
  ])
  if (endpoints) {
    allowIn('Endpoints', endpoints, [
      { port: 443, peer: { group: api }, why: 'AWS' },
      { port: 443, peer: { group: worker }, why: 'AWS' },
    ])
  }
  return { loadBalancer, api, worker, redis, endpoints }

  function allowIn(id: string, to: aws.ec2.SecurityGroup, rules: Rule[]) {
    for (const [index, rule] of rules.entries()) {
      const args = ruleArgs(to, rule)
      new aws.vpc.SecurityGroupIngressRule(place.id(`${id}In${index + 1}`), args, place.options)
    }
  }

  function allowOut(id: string, from: aws.ec2.SecurityGroup, rules: Rule[]) {
    for (const [index, rule] of rules.entries()) {
      const args = ruleArgs(from, rule)
      new aws.vpc.SecurityGroupEgressRule(place.id(`${id}Out${index + 1}`), args, place.options)
    }
  }
}

export type SecurityGroups = ReturnType<typeof createSecurityGroups>

function ruleArgs(group: aws.ec2.SecurityGroup, { port, peer, why }: Rule) {
  return {
    securityGroupId: group.id,
    ipProtocol: 'tcp',
    fromPort: port,
    toPort: port,
    description: why,
    ...('group' in peer && { referencedSecurityGroupId: peer.group.id }),
    ...('cidr' in peer && { cidrIpv4: peer.cidr }),
  }
}
