import type { EncryptionKey } from './encryption-key.ts'
import type { Network } from './network.ts'
import type { Place } from './place.ts'
import { redisPort, type SecurityGroups } from './security-groups.ts'
import type { Settings } from './settings.ts'

/**
 * Valkey: a primary and replicas in other zones, TLS, a token, encrypted, backed up.
 *
 * Not `sst.aws.Redis`: it makes a cluster by default, whose slots BullMQ's scripts can't span, and has neither
 * replicas, zones, snapshots nor a key of ours. Nearly all of it would have to be transformed away.
 */
export function createRedis(options: {
  place: Place
  network: Network
  groups: SecurityGroups
  key: EncryptionKey
  settings: Pick<Settings, 'redis' | 'redisToken' | 'keep'>
  logGroup: aws.cloudwatch.LogGroup
}) {
  const { place, network, groups, key, settings, logGroup } = options
  const { redis } = settings
  const { id } = place
  const token = new random.RandomPassword(
    id('RedisToken'),
    // Becomes part of a URL; ElastiCache takes 16 to 128 characters.
    { length: 64, special: false, keepers: { generation: settings.redisToken } },
  ).result
  const subnetGroup = new aws.elasticache.SubnetGroup(
    id('RedisSubnets'),
    { description: place.name('redis'), subnetIds: network.privateSubnets },
    place.options,
  )
  const parameterGroup = new aws.elasticache.ParameterGroup(
    id('RedisParameters'),
    {
      description: place.name('redis'),
      family: 'valkey8',
      // What is evicted would be sessions and jobs. Writes fail instead, and the alarm on memory comes long before.
      parameters: [{ name: 'maxmemory-policy', value: 'noeviction' }],
    },
    place.options,
  )
  const hasReplicas = redis.replicas > 0
  const group = new aws.elasticache.ReplicationGroup(
    id('Redis'),
    {
      description: place.name('redis'),
      engine: 'valkey',
      engineVersion: '8.0',
      nodeType: redis.nodeType,
      port: redisPort,
      numCacheClusters: 1 + redis.replicas,
      automaticFailoverEnabled: hasReplicas,
      multiAzEnabled: hasReplicas,
      subnetGroupName: subnetGroup.name,
      securityGroupIds: [groups.redis.id],
      parameterGroupName: parameterGroup.name,
      transitEncryptionEnabled: true,
      transitEncryptionMode: 'required',
      authToken: token,
      // The token before holds as well, until every instance has the new one.
      authTokenUpdateStrategy: 'ROTATE',
      atRestEncryptionEnabled: true,
      kmsKeyId: key.arn,
      snapshotRetentionLimit: redis.snapshotDays,
      snapshotWindow: '03:00-04:00',
      maintenanceWindow: 'sun:04:30-sun:05:30',
      autoMinorVersionUpgrade: true,
      applyImmediately: true,
      ...(settings.keep && { finalSnapshotIdentifier: place.name('redis-final') }),
      logDeliveryConfigurations: [
        {
          destination: logGroup.name,
          destinationType: 'cloudwatch-logs',
          logFormat: 'json',
          logType: 'slow-log',
        },
      ],
    },
    { ...place.options, protect: settings.keep },
  )
  return {
    group,
    /** TLS, with the token. A secret. */
    url: $util.secret($interpolate`rediss://:${token}@${group.primaryEndpointAddress}:${redisPort}`),
    /** Of each node, as CloudWatch names them. */
    nodes: Array.from({ length: 1 + redis.replicas }, (_, index) =>
      group.id.apply((name) => `${name}-${String(index + 1).padStart(3, '0')}`),
    ),
  }
}

export type Redis = ReturnType<typeof createRedis>
