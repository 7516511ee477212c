import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { deployed, dev, production, staging } from './clouds.ts'
import { at, before, behind, ofType, one, texts } from './find.ts'

const test = suite('network')

test('the network has a public and a private subnet in each of two zones or more', () => {
  const zones = { dev: 2, staging: 2, production: 3, twoRegions: 6 }
  for (const [stage, cloud] of Object.entries(deployed)) {
    const subnets = ofType(cloud, 'aws:ec2/subnet:Subnet')
    const inZones = (kind: string) =>
      subnets
        .filter(({ name }) => name.includes(kind))
        .map(({ inputs }) => String(inputs['availabilityZone']))
    const expected = zones[stage as keyof typeof zones]
    assert.is(new Set(inZones('Public')).size, expected, stage)
    assert.equal(inZones('Public').sort(), inZones('Private').sort(), stage)
  }
})

test('resources in public subnets get no address automatically', () => {
  for (const cloud of Object.values(deployed)) {
    for (const { name, inputs } of ofType(cloud, 'aws:ec2/subnet:Subnet')) {
      assert.is.not(inputs['mapPublicIpOnLaunch'], true, name)
    }
  }
})

test('the load balancer is in public subnets, and instances and Redis are in private ones', () => {
  for (const cloud of Object.values(deployed)) {
    const subnetsOf = (type: string, input: string) =>
      ofType(cloud, type).flatMap((resource) => texts(resource.inputs[input]))
    const balanced = subnetsOf('aws:lb/loadBalancer:LoadBalancer', 'subnets')
    assert.ok(balanced.length > 1)
    assert.ok(balanced.every((id) => id.includes('PublicSubnet')))
    const hidden = [
      ...subnetsOf('aws:autoscaling/group:Group', 'vpcZoneIdentifiers'),
      ...subnetsOf('aws:elasticache/subnetGroup:SubnetGroup', 'subnetIds'),
      ...ofType(cloud, 'aws:ec2/vpcEndpoint:VpcEndpoint').flatMap(({ inputs }) => texts(inputs['subnetIds'])),
    ]
    assert.ok(hidden.length > 1)
    assert.ok(hidden.every((id) => id.includes('PrivateSubnet')))
  }
})

test('private subnets reach the internet only through the NAT that the stage configures', () => {
  assert.is(ofType(production, 'aws:ec2/natGateway:NatGateway').length, 3)
  assert.is(ofType(production, 'aws:ec2/instance:Instance').length, 0)
  assert.is(ofType(dev, 'aws:ec2/natGateway:NatGateway').length, 0)
  assert.is(ofType(dev, 'aws:ec2/instance:Instance').length, 2)
  for (const cloud of Object.values(deployed)) {
    for (const { name, inputs } of ofType(cloud, 'aws:ec2/routeTable:RouteTable')) {
      const gateway = at(inputs, 'routes', 0, 'gatewayId')
      assert.is(gateway !== undefined, name.includes('Public'), name)
    }
  }
})

test('a NAT instance accepts traffic only from the VPC', () => {
  for (const { inputs } of ofType(staging, 'aws:ec2/securityGroup:SecurityGroup')) {
    for (const rule of [at(inputs, 'ingress', 0)].filter(Boolean)) {
      assert.equal(at(rule, 'cidrBlocks'), ['10.0.0.0/16'])
    }
  }
  const nat = one(staging, 'aws:ec2/instance:Instance', 'NetworkNatInstance1')
  assert.is(at(nat.inputs, 'metadataOptions', 'httpTokens'), 'required')
})

test('every stage reaches S3 without NAT, and other services if it has interface endpoints', () => {
  const servicesOf = (cloud: typeof dev) =>
    ofType(cloud, 'aws:ec2/vpcEndpoint:VpcEndpoint').map(({ inputs }) => String(inputs['serviceName']))
  assert.equal(servicesOf(dev), ['com.amazonaws.us-east-1.s3'])
  const names = ['s3', 'sqs', 'ecr.api', 'ecr.dkr', 'logs', 'monitoring', 'ssm', 'autoscaling']
  assert.equal(servicesOf(production).sort(), names.map((name) => `com.amazonaws.us-east-1.${name}`).sort())
  const s3 = one(production, 'aws:ec2/vpcEndpoint:VpcEndpoint', 'EndpointS3')
  assert.is(s3.inputs['vpcEndpointType'], 'Gateway')
  assert.is(texts(s3.inputs['routeTableIds']).length, 3)
})

test('no instance boots before what its boot needs exists: rights, rules, ways out, endpoints, secrets', () => {
  for (const cloud of Object.values(deployed)) {
    for (const group of ofType(cloud, 'aws:autoscaling/group:Group')) {
      const tier = group.name.startsWith('Api') ? 'Api' : 'Worker'
      const earlier = before(cloud, group)
      const inRegion = cloud.resources.filter(({ provider }) => provider === group.provider)
      const needed = inRegion.filter(
        ({ type, name }) =>
          (type === 'aws:iam/rolePolicy:RolePolicy' && name.startsWith(`${tier}Policy`)) ||
          (type.startsWith('aws:vpc/securityGroup') &&
            new RegExp(`^(${tier}|Redis|Endpoints)(In|Out)`).test(name)) ||
          (type === 'aws:s3/bucketPolicy:BucketPolicy' && name.startsWith('Ledger')) ||
          (type === 'aws:ssm/parameter:Parameter' && name.startsWith(tier)) ||
          [
            'aws:ec2/natGateway:NatGateway',
            'aws:ec2/eipAssociation:EipAssociation',
            'aws:ec2/routeTable:RouteTable',
            'aws:ec2/routeTableAssociation:RouteTableAssociation',
            'aws:ec2/vpcEndpoint:VpcEndpoint',
            'aws:sqs/queuePolicy:QueuePolicy',
          ].includes(type),
      )
      const kinds = new Set(needed.map(({ type }) => type.split(':').at(-1)))
      for (const kind of ['RolePolicy', 'SecurityGroupEgressRule', 'RouteTableAssociation', 'VpcEndpoint']) {
        assert.ok(kinds.has(kind), `${cloud.stage} has a ${kind}`)
      }
      assert.equal(
        needed.filter(({ urn }) => !earlier.has(urn)).map(({ name }) => name),
        [],
        `${cloud.stage}: ${group.name}`,
      )
    }
  }
})

test('the default security group allows no traffic', () => {
  for (const cloud of Object.values(deployed)) {
    for (const { inputs } of ofType(cloud, 'aws:ec2/defaultSecurityGroup:DefaultSecurityGroup')) {
      assert.equal([inputs['ingress'], inputs['egress']], [[], []])
    }
  }
})

test('security groups allow only internet → load balancer → API → Redis ← workers', () => {
  for (const cloud of Object.values(deployed)) {
    const ways = ofType(cloud, 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule').map((rule) => {
      const [to] = behind(cloud, rule, 'securityGroupId')
      const [from] = behind(cloud, rule, 'referencedSecurityGroupId')
      const source = from?.name ?? rule.inputs['cidrIpv4'] ?? rule.inputs['cidrIpv6']
      assert.is(rule.inputs['fromPort'], rule.inputs['toPort'])
      return `${source} → ${to?.name} ${rule.inputs['fromPort']}`.replaceAll('EuWest1', '')
    })
    const expected = [
      '0.0.0.0/0 → LoadBalancerGroup 443',
      '0.0.0.0/0 → LoadBalancerGroup 80',
      'LoadBalancerGroup → ApiGroup 3000',
      'ApiGroup → RedisGroup 6379',
      'WorkerGroup → RedisGroup 6379',
    ]
    const endpoints = ['ApiGroup → EndpointsGroup 443', 'WorkerGroup → EndpointsGroup 443']
    const hasEndpoints = cloud === deployed.production || cloud === deployed.twoRegions
    assert.equal([...new Set(ways)].sort(), [...expected, ...(hasEndpoints ? endpoints : [])].sort())
  }
})

test.run()
