import { generateKeyPairSync } from 'node:crypto'

export type Json = string | number | boolean | null | undefined | Json[] | { [key: string]: Json }

/** What AWS would answer, as far as the configuration looks at it. */
export type Answer = { id: string; state: Record<string, Json> }

type Inputs = Record<string, Json>

const rsaKey = generateKeyPairSync('rsa', {
  modulusLength: 1024,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})

export const account = '123456789012'

/**
 * A made resource: its inputs, and attributes that AWS adds. Only those that the configuration passes on matter;
 * each looks like the real thing, so that assertions about policies read like policies.
 */
export function answerResource(
  request: { type: string; name: string; id?: string; inputs: Inputs },
  region: string,
): Answer {
  const { type, name, inputs } = request
  const service = type.split(':')[1]?.split('/')[0] ?? ''
  const given = inputs['name'] ?? inputs['bucket'] ?? inputs['replicationGroupId'] ?? inputs['dashboardName']
  const physical = typeof given === 'string' ? given : `${name.toLowerCase()}-1234567`
  const arn = (resource: string, where = region) => `arn:aws:${service}:${where}:${account}:${resource}`
  const id = request.id || `${name}-id`
  const state: Inputs = {
    ...inputs,
    arn: arn(`${type.split(':').at(-1)?.toLowerCase()}/${physical}`),
    name: physical,
  }
  const of: Record<string, () => Inputs> = {
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
    'random:index/randomBytes:RandomBytes': () => ({
      base64: Buffer.alloc(Number(inputs['length']), name).toString('base64'),
    }),
    'tls:index/privateKey:PrivateKey': () => ({
      // A real one, since services read what they are given.
      privateKeyPem: String(rsaKey.privateKey),
      publicKeyPem: String(rsaKey.publicKey),
    }),
  }
  return { id, state: { ...state, ...of[type]?.() } }
}

/** A question to AWS that changes nothing. @throws Error for one that nobody has thought of */
export function answerCall(token: string, inputs: Inputs, region: string): Inputs {
  const answers: Record<string, () => Inputs> = {
    'aws:index/getPartition:getPartition': () => ({ partition: 'aws', dnsSuffix: 'amazonaws.com' }),
    'aws:index/getRegion:getRegion': () => ({ region, name: region, id: region }),
    'aws:index/getCallerIdentity:getCallerIdentity': () => ({ accountId: account, id: account }),
    'aws:index/getAvailabilityZones:getAvailabilityZones': () => ({
      names: ['a', 'b', 'c'].map((zone) => `${region}${zone}`),
    }),
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
  const answer = answers[token]
  if (!answer) throw new Error(`The mock of AWS has no answer to ${token}.`)
  return answer()
}

/** What the AWS provider computes without asking AWS. */
function policyDocument({ statements }: Inputs) {
  return {
    Version: '2012-10-17',
    Statement: list(statements).map((statement) => {
      const { effect = 'Allow', principals, actions, resources, conditions } = statement as Inputs
      const condition: Record<string, Record<string, Json>> = {}
      for (const each of list(conditions) as { test: string; variable: string; values: Json }[]) {
        condition[each.test] = { ...condition[each.test], [each.variable]: each.values }
      }
      const who = (list(principals) as { type: string; identifiers: string[] }[]).map(
        ({ type, identifiers }) => (type === '*' ? (['AWS', '*'] as const) : ([type, identifiers] as const)),
      )
      return {
        Effect: effect,
        ...(who.length > 0 && { Principal: Object.fromEntries(who) }),
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
