import type { EncryptionKey } from './encryption-key.ts'
import type { Network } from './network.ts'
import type { Place } from './place.ts'
import { redisPort, type SecurityGroups } from './security-groups.ts'
import type { Settings } from './settings.ts'

/**
 * Creates Valkey: a primary and replicas in other zones, with TLS, a token, encryption and snapshots.
 *
 * Not `sst.aws.Redis`: by default it creates a cluster, whose slots BullMQ's scripts cannot span, and it has no options
 * for replicas, zones, snapshots or a key of ours. Nearly all of it would need transforms.
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
    // The token becomes a part of a URL. ElastiCache allows 16 to 128 characters.
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
      // Eviction would delete sessions and jobs. With this policy writes fail instead, long after the memory alarm.
      parameters: [{ name: 'maxmemory-policy', value: 'noeviction' }],
    },
    place.options,
  )
  const hasReplicas = redis.replicas > 0
  const engine = 'valkey'
  const engineVersion = '8.0'
  // AWS deletes a replaced group after its successor exists, and takes a snapshot by the name in the deleted group's own
  // state. A fixed name would exist already at the second replacement, which would then fail. So the name has a random
  // part, which changes after the stage was removed, and with each input whose change replaces the group (ForceNew in the
  // provider's replication_group.go; an older version of the engine does so, too).
  const finalSnapshot =
    settings.keep &&
    new random.RandomId(id('RedisFinalSnapshot'), {
      byteLength: 4,
      keepers: {
        key: key.arn,
        subnets: subnetGroup.name,
        port: String(redisPort),
        engine: `${engine} ${engineVersion}`,
        encryption: 'true',
        region: place.region,
      },
    })
  const group = new aws.elasticache.ReplicationGroup(
    id('Redis'),
    {
      description: place.name('redis'),
      engine,
      engineVersion,
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
      // The previous token stays valid until every instance has the new one.
      authTokenUpdateStrategy: 'ROTATE',
      atRestEncryptionEnabled: true,
      kmsKeyId: key.arn,
      snapshotRetentionLimit: redis.snapshotDays,
      snapshotWindow: '03:00-04:00',
      maintenanceWindow: 'sun:04:30-sun:05:30',
      autoMinorVersionUpgrade: true,
      applyImmediately: true,
      ...(finalSnapshot && {
        finalSnapshotIdentifier: $interpolate`${place.name('redis-final')}-${finalSnapshot.hex}`,
      }),
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
    /** A secret: the TLS URL with the token. */
    url: $util.secret($interpolate`rediss://:${token}@${group.primaryEndpointAddress}:${redisPort}`),
    /** The id of each node, as CloudWatch uses it. */
    nodes: Array.from({ length: 1 + redis.replicas }, (_, index) =>
      group.id.apply((name) => `${name}-${String(index + 1).padStart(3, '0')}`),
    ),
  }
}

export type Redis = ReturnType<typeof createRedis>
