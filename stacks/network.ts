import type { Place } from './place.ts'
import type { Settings } from './settings.ts'

/** The services that instances use besides S3, by the last part of the endpoint's service name. */
const interfaceServices = ['sqs', 'ecr.api', 'ecr.dkr', 'logs', 'monitoring', 'ssm', 'autoscaling'] as const

/**
 * Creates a VPC over several zones: public subnets for the load balancer (and for NAT), private ones for everything
 * else.
 *
 * Subnets, routes and NAT are those of SST's component, with three changes: resources in public subnets get no address
 * automatically, the default security group allows no traffic, and a NAT instance accepts only traffic from the VPC.
 */
export function createNetwork({ place, network }: { place: Place; network: Settings['network'] }) {
  const nat = { gateway: 'managed', instance: 'ec2', none: undefined } as const
  const natType = nat[network.nat]
  const vpc = new sst.aws.Vpc(
    place.id('Network'),
    {
      az: network.zones,
      ...(natType && { nat: natType }),
      transform: {
        publicSubnet: { mapPublicIpOnLaunch: false },
        securityGroup: { ingress: [], egress: [] },
        natSecurityGroup: (args) => {
          args.ingress = [{ protocol: '-1', fromPort: 0, toPort: 0, cidrBlocks: [vpcCidr] }]
          return undefined
        },
        natInstance: (args) => {
          args.metadataOptions = { httpTokens: 'required', httpEndpoint: 'enabled' }
          args.rootBlockDevice = { encrypted: true }
          return undefined
        },
      },
    },
    place.options,
  )
  new aws.ec2.VpcEndpoint(
    place.id('EndpointS3'),
    {
      vpcId: vpc.id,
      serviceName: `com.amazonaws.${place.region}.s3`,
      vpcEndpointType: 'Gateway',
      routeTableIds: vpc.nodes.privateRouteTables.apply((tables) => tables.map(({ id }) => id)),
      tags: { Name: place.name('s3') },
    },
    place.options,
  )
  return {
    vpcId: vpc.id,
    cidr: vpcCidr,
    publicSubnets: vpc.publicSubnets,
    privateSubnets: vpc.privateSubnets,
    hasInterfaceEndpoints: network.interfaceEndpoints,
  }
}

export type Network = ReturnType<typeof createNetwork>

/** The address range of SST's `Vpc`, which cannot be set. Regions can share it, because their VPCs are not connected. */
const vpcCidr = '10.0.0.0/16'

/** Creates endpoints that keep traffic to AWS inside the VPC. It then costs no NAT, and works without NAT. */
export function createInterfaceEndpoints({
  place,
  network,
  securityGroupId,
}: {
  place: Place
  network: Network
  securityGroupId: $util.Input<string>
}) {
  for (const service of interfaceServices) {
    new aws.ec2.VpcEndpoint(
      place.id(
        `Endpoint${service.replace(/(^|\.)(\w)/g, (_, _dot, letter: string) => letter.toUpperCase())}`,
      ),
      {
        vpcId: network.vpcId,
        serviceName: `com.amazonaws.${place.region}.${service}`,
        vpcEndpointType: 'Interface',
        privateDnsEnabled: true,
        subnetIds: network.privateSubnets,
        securityGroupIds: [securityGroupId],
        tags: { Name: place.name(service) },
      },
      place.options,
    )
  }
}
