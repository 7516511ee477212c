import {
  connectionTimeouts,
  defaultUploadIdleTimeoutMs,
} from '@millrace/shared/connections/connection-timeouts.ts'
import type { Network } from './network.ts'
import type { Place } from './place.ts'
import { apiPort, type SecurityGroups } from './security-groups.ts'
import type { Settings } from './settings.ts'

/** The longest idle timeout that a load balancer can have, in seconds (AWS, "Connection idle timeout"). */
const maxIdleSeconds = 4_000
/** How long a deregistered instance may take for active requests, in seconds. Clients of event streams reconnect. */
const deregistrationSeconds = 120
/** Two checks in a row must pass, this many seconds apart: a new instance gets requests after 10 s. */
const healthCheckSeconds = 5

/** Creates the load balancer, the only resource that the internet reaches, and the API's target group. */
export function createLoadBalancer(options: {
  place: Place
  network: Network
  groups: SecurityGroups
  settings: Pick<Settings, 'keep' | 'logDays' | 'environment'>
  accountId: $util.Input<string>
  /** Of the domain's certificate. Without it, the load balancer offers only HTTP. */
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
      idleTimeout: idleSeconds(settings.environment),
      enableHttp2: true,
      dropInvalidHeaderFields: true,
      desyncMitigationMode: 'defensive',
      enableDeletionProtection: settings.keep,
      accessLogs: { enabled: true, bucket: logs.name },
    },
    // AWS checks that it may write the access log when the log is switched on.
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
        // TLS 1.2 and 1.3, with post-quantum key exchange if the client supports it.
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

/**
 * Returns the idle timeout of connections, in seconds: between the API's limit on silent uploads and the time for which the
 * API keeps idle connections.
 */
function idleSeconds({ UPLOAD_IDLE_TIMEOUT_MS: setting }: Settings['environment']): number {
  const { balancerIdleMs } = connectionTimeouts(Number(setting ?? defaultUploadIdleTimeoutMs))
  const seconds = balancerIdleMs / 1_000
  if (seconds <= maxIdleSeconds) return seconds
  throw new Error(
    `environment.UPLOAD_IDLE_TIMEOUT_MS is ${setting}: the load balancer would need an idle timeout of ${seconds} s; ` +
      `allowed: ${maxIdleSeconds} s.`,
  )
}

export type LoadBalancer = ReturnType<typeof createLoadBalancer>

/** Creates the bucket for access logs. S3 encrypts it with its own key, the only one that the load balancer can use. */
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
          id: 'expire',
          status: 'Enabled',
          filter: { prefix: '' },
          expiration: { days: settings.logDays },
          abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
        },
      ],
    },
    place.options,
  )
  // SST returns the bucket after it has created the bucket's policy.
  return { name: bucket.name, policy: bucket }
}
