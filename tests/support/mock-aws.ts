import { createHash, generateKeyPairSync } from 'node:crypto'

export type Json = string | number | boolean | null | undefined | Json[] | { [key: string]: Json }

/** A resource as AWS would create it, with the attributes that the configuration reads. */
export type MockedResource = { id: string; state: Record<string, Json> }

type Inputs = Record<string, Json>

const rsaKey = generateKeyPairSync('rsa', {
  modulusLength: 1024,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})

export const account = '123456789012'

/**
 * Mocks the creation of a resource: returns its inputs and the attributes that AWS adds. Only attributes that the
 * configuration uses are mocked. Each has AWS's real form, so that tests of policies read like policies.
 */
export function mockResource(
  request: { type: string; name: string; id?: string; inputs: Inputs },
  region: string,
): MockedResource {
  const { type, name, inputs } = request
  const service = type.split(':')[1]?.split('/')[0] ?? ''
  const ownName =
    inputs['name'] ?? inputs['bucket'] ?? inputs['replicationGroupId'] ?? inputs['dashboardName']
  const physical = typeof ownName === 'string' ? ownName : `${name.toLowerCase()}-1234567`
  const arn = (resource: string, where = region) => `arn:aws:${service}:${where}:${account}:${resource}`
  const id = request.id || `${name}-id`
  const state: Inputs = {
    ...inputs,
    arn: arn(`${type.split(':').at(-1)?.toLowerCase()}/${physical}`),
    name: physical,
  }
  const attributes: Record<string, () => Inputs> = {
    'aws:s3/bucket:Bucket': () => ({
      arn: `arn:aws:s3:::${physical}`,
      bucket: physical,
      bucketRegionalDomainName: `${physical}.s3.${region}.amazonaws.com`,
    }),
    'aws:sqs/queue:Queue': () => ({
      arn: arn(physical),
      url: `https://sqs.${region}.amazonaws.com/${account}/${physical}`,
    }),
    'aws:sns/topic:Topic': () => ({ arn: arn(physical) }),
    'aws:kms/key:Key': () => ({ arn: arn(`key/${id}`), keyId: id }),
    'aws:lb/loadBalancer:LoadBalancer': () => ({
      arn: `arn:aws:elasticloadbalancing:${region}:${account}:loadbalancer/app/${physical}/50dc6c495c0c9188`,
      arnSuffix: `app/${physical}/50dc6c495c0c9188`,
      dnsName: `${name}-1234567.${region}.elb.amazonaws.com`,
      zoneId: 'Z35SXDOTRQ7X7K',
    }),
    'aws:lb/targetGroup:TargetGroup': () => ({
      arn: `arn:aws:elasticloadbalancing:${region}:${account}:targetgroup/${physical}/73e2d6bc24d8a067`,
      arnSuffix: `targetgroup/${physical}/73e2d6bc24d8a067`,
    }),
    'aws:elasticache/replicationGroup:ReplicationGroup': () => ({
      primaryEndpointAddress: `master.${physical}.abcdef.cache.amazonaws.com`,
      port: 6379,
    }),
    'aws:ecr/repository:Repository': () => ({
      arn: arn(`repository/${physical}`),
      repositoryUrl: `${account}.dkr.ecr.${region}.amazonaws.com/${physical}`,
      registryId: account,
    }),
    'docker-build:index:Image': () => ({
      digest: `sha256:${'0'.repeat(64)}`,
      ref: `${name}@sha256:${'0'.repeat(64)}`,
    }),
    'aws:cloudwatch/logGroup:LogGroup': () => ({
      arn: `arn:aws:logs:${region}:${account}:log-group:${physical}`,
    }),
    'aws:iam/role:Role': () => ({ arn: `arn:aws:iam::${account}:role/${physical}` }),
    'aws:ssm/parameter:Parameter': () => ({
      arn: `arn:aws:ssm:${region}:${account}:parameter${physical}`,
      version: 1,
    }),
    'aws:ec2/vpc:Vpc': () => ({ cidrBlock: inputs['cidrBlock'] ?? '10.0.0.0/16' }),
    'aws:ec2/launchTemplate:LaunchTemplate': () => ({ latestVersion: 1 }),
    'aws:acm/certificate:Certificate': () => ({
      domainValidationOptions: [inputs['domainName'], ...list(inputs['subjectAlternativeNames'])].map(
        (domain) => ({
          domainName: domain,
          resourceRecordName: `_check.${domain}`,
          resourceRecordType: 'CNAME',
          resourceRecordValue: '_proof.acm-validations.aws',
        }),
      ),
    }),
    'aws:acm/certificateValidation:CertificateValidation': () => ({
      certificateArn: inputs['certificateArn'],
    }),
    'aws:cloudfront/distribution:Distribution': () => ({
      arn: `arn:aws:cloudfront::${account}:distribution/${id}`,
      domainName: 'd111111abcdef8.cloudfront.net',
      hostedZoneId: 'Z2FDTNDATAQYW2',
    }),
    'random:index/randomPassword:RandomPassword': () => ({ result: 'p'.repeat(Number(inputs['length'])) }),
    'random:index/randomId:RandomId': () => ({
      // Like the provider's: kept until a keeper changes.
      hex: createHash('sha256')
        .update(JSON.stringify([name, inputs['keepers']]))
        .digest('hex')
        .slice(0, 2 * Number(inputs['byteLength'])),
    }),
    'random:index/randomBytes:RandomBytes': () => ({
      base64: Buffer.alloc(Number(inputs['length']), name).toString('base64'),
    }),
    'tls:index/privateKey:PrivateKey': () => ({
      // A real key, because the services parse it.
      privateKeyPem: String(rsaKey.privateKey),
      publicKeyPem: String(rsaKey.publicKey),
    }),
  }
  return { id, state: { ...state, ...attributes[type]?.() } }
}

/** Mocks a call that reads from AWS. @throws Error if the call has no mock */
export function mockCall(token: string, inputs: Inputs, region: string): Inputs {
  const results: Record<string, () => Inputs> = {
    'aws:index/getPartition:getPartition': () => ({ partition: 'aws', dnsSuffix: 'amazonaws.com' }),
    'aws:index/getRegion:getRegion': () => ({ region, name: region, id: region }),
    'aws:index/getCallerIdentity:getCallerIdentity': () => ({ accountId: account, id: account }),
    'aws:index/getAvailabilityZones:getAvailabilityZones': () => ({
      names: ['a', 'b', 'c'].map((zone) => `${region}${zone}`),
    }),
    'aws:ec2/getInstanceType:getInstanceType': () => ({ memorySize: memoryMiB(inputs['instanceType']) }),
    'aws:ec2/getAmi:getAmi': () => ({ id: 'ami-0123456789abcdef0' }),
    'aws:ssm/getParameter:getParameter': () => ({ name: inputs['name'], value: `ami-of-${inputs['name']}` }),
    'aws:ecr/getAuthorizationToken:getAuthorizationToken': () => ({
      userName: 'AWS',
      password: 'token',
      proxyEndpoint: `https://${account}.dkr.ecr.${region}.amazonaws.com`,
    }),
    'aws:route53/getZone:getZone': () => ({ zoneId: 'Z0123456789ABCDEFGHIJ', id: 'Z0123456789ABCDEFGHIJ' }),
    'aws:cloudfront/getCachePolicy:getCachePolicy': () => ({ id: 'cache-policy' }),
    'aws:iam/getPolicyDocument:getPolicyDocument': () => ({ json: JSON.stringify(policyDocument(inputs)) }),
  }
  const result = results[token]
  if (!result) throw new Error(`The mock of AWS has no result for ${token}.`)
  return result()
}

/** Returns the memory of an instance type, in MiB, as EC2 documents it. */
function memoryMiB(instanceType: Json | undefined): number {
  const sizes: Record<string, number> = {
    't4g.micro': 1_024,
    't4g.small': 2_048,
    't4g.medium': 4_096,
    'c7g.large': 4_096,
    'c6g.large': 4_096,
    'm7g.large': 8_192,
    'm6g.large': 8_192,
  }
  const size = sizes[String(instanceType)]
  if (size === undefined) throw new Error(`The mock of AWS does not know ${instanceType}.`)
  return size
}

/** Mocks what the AWS provider computes itself. */
function policyDocument({ statements }: Inputs) {
  return {
    Version: '2012-10-17',
    Statement: list(statements).map((statement) => {
      const { effect = 'Allow', principals, actions, resources, conditions } = statement as Inputs
      const condition: Record<string, Record<string, Json>> = {}
      for (const each of list(conditions) as { test: string; variable: string; values: Json }[]) {
        condition[each.test] = { ...condition[each.test], [each.variable]: each.values }
      }
      const principal = (list(principals) as { type: string; identifiers: string[] }[]).map(
        ({ type, identifiers }) => (type === '*' ? (['AWS', '*'] as const) : ([type, identifiers] as const)),
      )
      return {
        Effect: effect,
        ...(principal.length > 0 && { Principal: Object.fromEntries(principal) }),
        Action: actions,
        Resource: resources,
        ...(Object.keys(condition).length > 0 && { Condition: condition }),
      }
    }),
  }
}

function list(value: Json): Json[] {
  return Array.isArray(value) ? value : []
}
