// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are texts of files, which contain template strings
import type { CloudMutation } from './cloud-mutation.ts'

/** Mistakes in the network and its security groups. */
export const networkMutations: readonly CloudMutation[] = [
  // Network and security groups
  {
    name: 'one-zone',
    file: 'stacks/settings.ts',
    before: "network: { zones: 3, nat: 'gateway', interfaceEndpoints: true }",
    after: "network: { zones: 2, nat: 'gateway', interfaceEndpoints: true }",
    effect: 'Production has two zones instead of three.',
  },
  {
    name: 'nat-missing',
    file: 'stacks/network.ts',
    before: "gateway: 'managed'",
    after: 'gateway: undefined',
    effect: 'Workers cannot import from URLs, and instances cannot install Docker.',
  },
  {
    name: 'public-addresses',
    file: 'stacks/network.ts',
    before: 'mapPublicIpOnLaunch: false',
    after: 'mapPublicIpOnLaunch: true',
    effect: 'What is started in a public subnet is on the internet.',
  },
  {
    name: 's3-through-nat',
    file: 'stacks/network.ts',
    before: "vpcEndpointType: 'Gateway'",
    after: "vpcEndpointType: 'Interface'",
    effect: 'Traffic to S3 is billed by the gigabyte.',
  },
  {
    name: 's3-endpoint-of-another-region',
    file: 'stacks/network.ts',
    before: 'serviceName: `com.amazonaws.${place.region}.s3`',
    after: 'serviceName: `com.amazonaws.us-east-1.s3`',
    effect: 'The second region cannot be deployed.',
    clouds: ['twoRegions'],
  },
  {
    name: 'default-group-open',
    file: 'stacks/network.ts',
    before: 'securityGroup: { ingress: [], egress: [] }',
    after: 'securityGroup: { egress: [] }',
    effect: 'What has no group of its own can reach everything in the VPC.',
  },
  {
    name: 'nat-instance-open',
    file: 'stacks/network.ts',
    before: 'cidrBlocks: [vpcCidr]',
    after: "cidrBlocks: ['0.0.0.0/0']",
    effect: 'The internet reaches the NAT instance.',
    clouds: ['staging'],
  },
  {
    name: 'endpoints-without-private-names',
    file: 'stacks/network.ts',
    before: 'privateDnsEnabled: true',
    after: 'privateDnsEnabled: false',
    effect: 'Endpoints cost $150 a month and are not used.',
  },
  {
    name: 'redis-open-to-the-vpc',
    file: 'stacks/security-groups.ts',
    before: "{ port: redisPort, peer: { group: worker }, reason: 'Records, queue' },",
    after: "{ port: redisPort, peer: { cidr: '10.0.0.0/16' }, reason: 'Records, queue' },",
    effect: 'Everything in the VPC reaches Redis.',
  },
  {
    name: 'api-open-to-the-internet',
    file: 'stacks/security-groups.ts',
    before: "allowIn('Api', api, [{ port: apiPort, peer: { group: loadBalancer }",
    after: "allowIn('Api', api, [{ port: apiPort, peer: anywhere",
    effect: 'Requests can pass by the firewall.',
  },
  {
    name: 'workers-reach-no-http',
    file: 'stacks/security-groups.ts',
    before: "    { port: 80, peer: anywhere, reason: 'Imports' },\n",
    after: '',
    effect: 'Imports from http URLs fail.',
  },
  {
    name: 'workers-reach-no-redis',
    file: 'stacks/security-groups.ts',
    before: "{ port: redisPort, peer: { group: redis }, reason: 'Records, queue' },",
    after: '',
    effect: 'Workers take no jobs.',
  },
  {
    name: 'api-reaches-everything',
    file: 'stacks/security-groups.ts',
    before: "{ port: redisPort, peer: { group: redis }, reason: 'Sessions, records, queue' },",
    after: "{ port: 22, peer: anywhere, reason: 'Sessions, records, queue' },",
    effect: 'The API has no sessions, and whoever breaks into it can go on by SSH.',
  },
]
