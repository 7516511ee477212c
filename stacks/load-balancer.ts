import type { Network } from './network.ts'
import type { Place } from './place.ts'
import { apiPort, type SecurityGroups } from './security-groups.ts'
import type { Settings } from './settings.ts'

/**
 * How long a connection may be silent, in seconds. Event streams send something every 20 s, uploads all the time; and
 * the API keeps idle connections for 75 s (http-limits.ts), which must be longer, or it closes one that is just used.
 */
const idleSeconds = 60
/** How long an instance that leaves may take to answer what it has begun, in seconds. Event streams come back. */
const deregistrationSeconds = 120
/** Two good answers in a row, this many seconds apart: a new instance gets requests 10 s after it first answers. */
const healthCheckSeconds = 5

/** The application load balancer, the only thing that the internet reaches, and the API instances behind it. */
export function createLoadBalancer(options: {
  place: Place
  network: Network
  groups: SecurityGroups
  settings: Pick<Settings, 'keep' | 'logDays'>
  accountId: $util.Input<string>
  /** Of a certificate for the domain; without one there is only HTTP. */
  certificateArn?: $util.Output<string> | undefined
}) {
  const { place, network, groups, settings, accountId, certificateArn } = options
  const { id } = place
  const logs = createAccessLog(place, settings, accountId)
  const loadBalancer = new aws.lb.LoadBalancer(
    id('LoadBalancer'),
    {
      loadBalancerType: 'application',
      internal: false,
      subnets: network.publicSubnets,
      securityGroups: [groups.loadBalancer.id],
      idleTimeout: idleSeconds,
      enableHttp2: true,
      dropInvalidHeaderFields: true,
      desyncMitigationMode: 'defensive',
      enableDeletionProtection: settings.keep,
      accessLogs: { enabled: true, bucket: logs.name },
    },
    // It tries whether it may write when it is told to.
    { ...place.options, dependsOn: [logs.policy] },
  )
  const targets = new aws.lb.TargetGroup(
    id('Targets'),
    {
      vpcId: network.vpcId,
      targetType: 'instance',
      protocol: 'HTTP',
      port: apiPort,
      loadBalancingAlgorithmType: 'least_outstanding_requests',
      deregistrationDelay: deregistrationSeconds,
      healthCheck: {
        path: '/health',
        matcher: '200',
        interval: healthCheckSeconds,
        timeout: healthCheckSeconds - 1,
        healthyThreshold: 2,
        unhealthyThreshold: 3,
      },
    },
    place.options,
  )
  const forward = [{ type: 'forward', targetGroupArn: targets.arn }]
  const redirect = [
    { type: 'redirect', redirect: { protocol: 'HTTPS', port: '443', statusCode: 'HTTP_301' } },
  ]
  const listeners = [
    new aws.lb.Listener(
      id('Http'),
      {
        loadBalancerArn: loadBalancer.arn,
        protocol: 'HTTP',
        port: 80,
        defaultActions: certificateArn ? redirect : forward,
      },
      place.options,
    ),
  ]
  if (certificateArn) {
    const tls = new aws.lb.Listener(
      id('Https'),
      {
        loadBalancerArn: loadBalancer.arn,
        protocol: 'HTTPS',
        port: 443,
        // TLS 1.2 and 1.3, with post-quantum key exchange where the client has it.
        sslPolicy: 'ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09',
        certificateArn,
        defaultActions: forward,
      },
      place.options,
    )
    listeners.push(tls)
  }
  return { loadBalancer, targets, listeners }
}

export type LoadBalancer = ReturnType<typeof createLoadBalancer>

/** A bucket for access logs. Of S3's own encryption: the load balancer can use no other. */
function createAccessLog(
  place: Place,
  settings: Pick<Settings, 'keep' | 'logDays'>,
  accountId: $util.Input<string>,
) {
  const { id } = place
  const bucket = new sst.aws.Bucket(
    id('AccessLog'),
    {
      enforceHttps: true,
      cors: false,
      policy: [
        {
          principals: [{ type: 'service', identifiers: ['logdelivery.elasticloadbalancing.amazonaws.com'] }],
          actions: ['s3:PutObject'],
          paths: [$interpolate`AWSLogs/${accountId}/*`],
        },
      ],
      transform: { bucket: { forceDestroy: !settings.keep } },
    },
    place.options,
  )
  new aws.s3.BucketServerSideEncryptionConfiguration(
    id('AccessLogEncryption'),
    { bucket: bucket.name, rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: 'AES256' } }] },
    place.options,
  )
  new aws.s3.BucketLifecycleConfiguration(
    id('AccessLogLifecycle'),
    {
      bucket: bucket.name,
      rules: [
        {
          id: 'forget',
          status: 'Enabled',
          filter: { prefix: '' },
          expiration: { days: settings.logDays },
          abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
        },
      ],
    },
    place.options,
  )
  // SST hands the bucket out once its policy is there.
  return { name: bucket.name, policy: bucket }
}
