// Rules for every resource of every stage.
import * as assert from 'uvu/assert'
import type { Cloud, Resource } from '../support/mock-cloud.ts'
import { suite } from '../support/suite.ts'
import { all } from './clouds.ts'
import { at, behind, list, ofType, parse, statements, texts } from './find.ts'

const test = suite('all resources')

/** Runs `check` for every resource of the types, in every cloud. Fails if there is none. */
function forEach(types: string[], check: (resource: Resource, cloud: Cloud) => void) {
  let seen = 0
  for (const cloud of Object.values(all)) {
    for (const resource of cloud.resources) {
      if (!types.includes(resource.type)) continue
      seen += 1
      check(resource, cloud)
    }
  }
  assert.ok(seen > 0, `no resource of ${types.join(', ')}`)
}

test('only load balancers are reachable from the internet', () => {
  forEach(['aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule'], (rule, cloud) => {
    const source = String(rule.inputs['cidrIpv4'] ?? rule.inputs['cidrIpv6'] ?? '')
    if (source === '') return assert.ok(rule.inputs['referencedSecurityGroupId'], rule.name)
    const [group] = behind(cloud, rule, 'securityGroupId')
    assert.match(String(group?.name), /^LoadBalancerGroup/)
    assert.ok([80, 443].includes(Number(rule.inputs['fromPort'])))
  })
  forEach(
    ['aws:ec2/securityGroup:SecurityGroup', 'aws:ec2/defaultSecurityGroup:DefaultSecurityGroup'],
    (group) => {
      for (const rule of list(group.inputs['ingress'])) {
        for (const cidr of texts(at(rule, 'cidrBlocks'))) assert.match(cidr, /^10\./, group.name)
        assert.equal(texts(at(rule, 'ipv6CidrBlocks')), [])
      }
    },
  )
  forEach(['aws:ec2/eip:Eip'], ({ name }) => assert.match(name, /^Network(EuWest1)?ElasticIp/))
})

test('no stage has a public function, API gateway, website or database', () => {
  const kinds = new Set(Object.values(all).flatMap(({ resources }) => resources.map(({ type }) => type)))
  const open =
    /lambda\/functionUrl|apigateway|s3\/bucketWebsite|rds\/|opensearch|ec2\/securityGroupRule|vpcPeering/
  assert.equal(
    [...kinds].filter((type) => open.test(type)),
    [],
  )
  forEach(['aws:lb/loadBalancer:LoadBalancer'], ({ name, inputs }) => {
    assert.match(name, /^LoadBalancer/)
    assert.is(inputs['internal'], false)
  })
})

test('no resource policy allows every principal', () => {
  const types = [
    'aws:s3/bucketPolicy:BucketPolicy',
    'aws:sqs/queuePolicy:QueuePolicy',
    'aws:sns/topicPolicy:TopicPolicy',
  ]
  forEach([...types, 'aws:kms/key:Key'], ({ name, inputs }) => {
    for (const { effect, principals, resources, conditions } of statements(inputs['policy'])) {
      if (effect === 'Deny') continue
      assert.not.ok(principals.includes('*'), name)
      // An AWS service acts for any account, so conditions limit it to ours, if the service sends the account. The path
      // limits load balancers' logs. S3 sends the account to the queue, but not to the key.
      const services = principals.filter((principal) => principal.endsWith('.amazonaws.com'))
      const isLimited = /aws:SourceAccount|aws:SourceArn|kms:EncryptionContext/.test(
        JSON.stringify(conditions ?? {}),
      )
      const isLimitedElsewhere =
        (name.startsWith('AccessLog') &&
          resources.every((resource) => /\/AWSLogs\/\d{12}\/\*$/.test(resource))) ||
        (name.startsWith('Key') && String(services) === 's3.amazonaws.com')
      assert.ok(services.length === 0 || isLimited || isLimitedElsewhere, `${name}: ${services}`)
    }
  })
})

test('every bucket blocks public access, accepts TLS only, is encrypted, and aborts incomplete multipart uploads', () => {
  for (const cloud of Object.values(all)) {
    const buckets = ofType(cloud, 'aws:s3/bucket:Bucket')
    const namesIn = (type: string) => ofType(cloud, type).map(({ inputs }) => inputs['bucket'])
    for (const type of [
      'aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock',
      'aws:s3/bucketPolicy:BucketPolicy',
      'aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration',
      'aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration',
    ]) {
      assert.equal(namesIn(type).sort(), buckets.map(({ outputs }) => outputs['bucket']).sort(), type)
    }
  }
  forEach(['aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock'], ({ inputs }) => {
    assert.is(inputs['blockPublicPolicy'], true)
    assert.is(inputs['restrictPublicBuckets'], true)
  })
  forEach(['aws:s3/bucketPolicy:BucketPolicy'], ({ name, inputs }) => {
    assert.ok(
      statements(inputs['policy']).some(({ effect }) => effect === 'Deny'),
      name,
    )
  })
  forEach(['aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration'], ({ name, inputs }) => {
    assert.ok(
      list(inputs['rules']).some((rule) => at(rule, 'abortIncompleteMultipartUpload')),
      name,
    )
  })
})

test('all data at rest is encrypted', () => {
  const keyed: Record<string, string> = {
    'aws:sqs/queue:Queue': 'kmsMasterKeyId',
    'aws:sns/topic:Topic': 'kmsMasterKeyId',
    'aws:cloudwatch/logGroup:LogGroup': 'kmsKeyId',
    'aws:ssm/parameter:Parameter': 'keyId',
    'aws:elasticache/replicationGroup:ReplicationGroup': 'kmsKeyId',
  }
  for (const [type, input] of Object.entries(keyed)) {
    forEach([type], (resource, cloud) => {
      const [key] = behind(cloud, resource, input)
      assert.is(key?.type, 'aws:kms/key:Key', resource.name)
      assert.is(key?.provider, resource.provider, `${resource.name} uses the key of its region`)
    })
  }
  forEach(['aws:ec2/launchTemplate:LaunchTemplate'], ({ inputs }) => {
    for (const disk of list(inputs['blockDeviceMappings'])) assert.is(at(disk, 'ebs', 'encrypted'), 'true')
  })
  forEach(['aws:ec2/instance:Instance'], ({ inputs }) =>
    assert.is(at(inputs, 'rootBlockDevice', 'encrypted'), true),
  )
  forEach(['aws:ecr/repository:Repository'], ({ inputs }) =>
    assert.ok(at(inputs, 'encryptionConfigurations', 0)),
  )
  forEach(['aws:kms/key:Key'], ({ inputs }) => assert.is(inputs['enableKeyRotation'], true))
})

test('every resource that can have tags has those of project and stage', () => {
  for (const cloud of Object.values(all)) {
    const tags = { Project: 'millrace', Stage: cloud.stage }
    const providers = ofType(cloud, 'pulumi:providers:aws').filter(({ inputs }) => {
      return JSON.stringify(at(parse(inputs['defaultTags'] ?? '{}'), 'tags')) === JSON.stringify(tags)
    })
    for (const { type, name, provider } of cloud.resources) {
      if (!type.startsWith('aws:')) continue
      assert.ok(
        providers.some(({ urn }) => provider.startsWith(`${urn}::`)),
        `the provider of ${name} (${type}) sets the tags`,
      )
    }
    // Instances that groups launch have no provider.
    for (const { inputs } of ofType(cloud, 'aws:ec2/launchTemplate:LaunchTemplate')) {
      for (const kind of ['instance', 'volume', 'network-interface']) {
        const specification = list(inputs['tagSpecifications']).find(
          (each) => at(each, 'resourceType') === kind,
        )
        assert.is(at(specification, 'tags', 'Stage'), cloud.stage)
        assert.is(at(specification, 'tags', 'Project'), 'millrace')
      }
    }
    for (const { inputs } of ofType(cloud, 'aws:autoscaling/group:Group')) {
      const own = list(inputs['tags']).map((tag) => [
        at(tag, 'key'),
        at(tag, 'value'),
        at(tag, 'propagateAtLaunch'),
      ])
      assert.ok(own.some((tag) => String(tag) === `Stage,${cloud.stage},true`))
    }
  }
})

test('every log group has a retention time', () => {
  forEach(['aws:cloudwatch/logGroup:LogGroup'], ({ name, inputs }) => {
    assert.ok(Number(inputs['retentionInDays']) > 0, name)
  })
})

test('instances are in private subnets, have no public address, and need a token for metadata', () => {
  forEach(['aws:autoscaling/group:Group'], ({ name, inputs }) => {
    const subnets = texts(inputs['vpcZoneIdentifiers'])
    assert.ok(subnets.length > 1 && subnets.every((id) => id.includes('PrivateSubnet')), name)
  })
  forEach(['aws:ec2/launchTemplate:LaunchTemplate', 'aws:ec2/instance:Instance'], ({ name, inputs }) => {
    assert.is(at(inputs, 'metadataOptions', 'httpTokens'), 'required', name)
    assert.is.not(inputs['associatePublicIpAddress'], true, name)
    assert.is(inputs['keyName'], undefined, `${name} has no SSH key`)
  })
})

test('no two resources of one type and region have the same name', () => {
  for (const cloud of Object.values(all)) {
    const names = cloud.resources.flatMap(({ type, provider, inputs }) =>
      typeof inputs['name'] === 'string' && type !== 'aws:route53/record:Record' && type.startsWith('aws:')
        ? [`${type} ${provider} ${inputs['name']}`]
        : [],
    )
    assert.equal(names.length, new Set(names).size)
  }
})

test.run()
