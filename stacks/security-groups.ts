import type { Network } from './network.ts'
import type { Place } from './place.ts'

/** The API's port on its instance. */
export const apiPort = 3000
/** The port of a worker's `/health`, on loopback only. */
export const workerHealthPort = 3001
export const redisPort = 6379

/** The other end of allowed connections. */
type Peer = { group: aws.ec2.SecurityGroup } | { cidr: string }
type Rule = { protocol?: 'tcp'; port: number; peer: Peer; reason: string }

/**
 * Creates the security groups. They allow only: internet → load balancer → API → Redis ← worker; both tiers → AWS and
 * the internet by TLS; workers → internet by plain HTTP, because sources of imports may have http URLs.
 *
 * @returns the groups, and all of their rules: an instance that boots before them reaches nothing
 */
export function createSecurityGroups({ place, network }: { place: Place; network: Network }) {
  const group = (id: string, description: string) =>
    new aws.ec2.SecurityGroup(
      place.id(`${id}Group`),
      // Inline rules would remove the rules below. `revokeRulesOnDelete` allows the deletion of groups that refer to
      // each other.
      {
        vpcId: network.vpcId,
        description,
        revokeRulesOnDelete: true,
        tags: { Name: place.name(id.toLowerCase()) },
      },
      place.options,
    )
  const loadBalancer = group('LoadBalancer', 'Load balancer, the only resource that the internet reaches')
  const api = group('Api', 'API instances')
  const worker = group('Worker', 'Worker instances')
  const redis = group('Redis', 'Redis')
  const endpoints = network.hasInterfaceEndpoints ? group('Endpoints', 'Interface endpoints') : undefined

  const anywhere: Peer = { cidr: '0.0.0.0/0' }
  const rules: $util.Resource[] = []

  allowIn('LoadBalancer', loadBalancer, [
    { port: 443, peer: anywhere, reason: 'HTTPS' },
    { port: 80, peer: anywhere, reason: 'HTTP' },
  ])
  allowOut('LoadBalancer', loadBalancer, [{ port: apiPort, peer: { group: api }, reason: 'Requests' }])
  allowIn('Api', api, [{ port: apiPort, peer: { group: loadBalancer }, reason: 'Requests' }])
  allowOut('Api', api, [
    { port: redisPort, peer: { group: redis }, reason: 'Sessions, records, queue' },
    { port: 443, peer: anywhere, reason: 'AWS' },
  ])
  allowOut('Worker', worker, [
    { port: redisPort, peer: { group: redis }, reason: 'Records, queue' },
    { port: 443, peer: anywhere, reason: 'AWS, imports' },
    { port: 80, peer: anywhere, reason: 'Imports' },
  ])
  allowIn('Redis', redis, [
    { port: redisPort, peer: { group: api }, reason: 'Sessions, records, queue' },
    { port: redisPort, peer: { group: worker }, reason: 'Records, queue' },
  ])
  if (endpoints) {
    allowIn('Endpoints', endpoints, [
      { port: 443, peer: { group: api }, reason: 'AWS' },
      { port: 443, peer: { group: worker }, reason: 'AWS' },
    ])
  }
  return { loadBalancer, api, worker, redis, endpoints, rules }

  function allowIn(id: string, to: aws.ec2.SecurityGroup, allowed: Rule[]) {
    for (const [index, rule] of allowed.entries()) {
      const args = ruleArgs(to, rule)
      rules.push(new aws.vpc.SecurityGroupIngressRule(place.id(`${id}In${index + 1}`), args, place.options))
    }
  }

  function allowOut(id: string, from: aws.ec2.SecurityGroup, allowed: Rule[]) {
    for (const [index, rule] of allowed.entries()) {
      const args = ruleArgs(from, rule)
      rules.push(new aws.vpc.SecurityGroupEgressRule(place.id(`${id}Out${index + 1}`), args, place.options))
    }
  }
}

export type SecurityGroups = ReturnType<typeof createSecurityGroups>

function ruleArgs(group: aws.ec2.SecurityGroup, { port, peer, reason }: Rule) {
  return {
    securityGroupId: group.id,
    ipProtocol: 'tcp',
    fromPort: port,
    toPort: port,
    description: reason,
    ...('group' in peer && { referencedSecurityGroupId: peer.group.id }),
    ...('cidr' in peer && { cidrIpv4: peer.cidr }),
  }
}
