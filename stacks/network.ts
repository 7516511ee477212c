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
  const s3 = new aws.ec2.VpcEndpoint(
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
    /**
     * The ways out of private subnets: an instance that boots before them reaches nothing. A component stands for the
     * resources that it has created, so it is returned after they were.
     */
    routes: $util
      .all([vpc.nodes.natGateways, vpc.nodes.natInstances, vpc.nodes.privateRouteTables])
      .apply((): $util.Resource[] => [vpc, s3]),
  }
}

export type Network = ReturnType<typeof createNetwork>

/** The address range of SST's `Vpc`, which cannot be set. Regions can share it, because their VPCs are not connected. */
const vpcCidr = '10.0.0.0/16'

/**
 * Creates endpoints that keep traffic to AWS inside the VPC. It then costs no NAT, and works without NAT.
 *
 * @returns the endpoints: with them, an instance that boots earlier would need NAT
 */
export function createInterfaceEndpoints({
  place,
  network,
  securityGroupId,
}: {
  place: Place
  network: Network
  securityGroupId: $util.Input<string>
}) {
  return interfaceServices.map((service) => {
    const part = service.replace(/(^|\.)(\w)/g, (_, _dot, letter: string) => letter.toUpperCase())
    return new aws.ec2.VpcEndpoint(
      place.id(`Endpoint${part}`),
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
  })
}
