import {
  DescribeCacheClustersCommand,
  DescribeCacheParametersCommand,
  DescribeReplicationGroupsCommand,
  type ElastiCacheClient,
  type ReplicationGroup,
} from '@aws-sdk/client-elasticache'
import { type Check, error, type Finding, ok, warning } from './finding.ts'

/** The major version that stages are created with (stacks/redis.ts). */
const minEngineMajor = 7

/**
 * The checks of a stage's ElastiCache, by its description. Its network is private, so no connection is opened: AWS tells
 * its settings.
 */
export function elasticacheChecks(deps: { elasticache: ElastiCacheClient; stage: string }): Check[] {
  const { elasticache, stage } = deps
  return [
    {
      name: 'redis',
      async run(abortSignal) {
        const group = await findGroup(elasticache, `millrace-${stage}-redis`, abortSignal)
        if (!group) {
          return [error(`The stage has no ElastiCache (millrace-${stage}-redis).`, 'Deploy the stage again.')]
        }
        const [cluster] = group.MemberClusters ?? []
        const command = new DescribeCacheClustersCommand({ CacheClusterId: cluster })
        const { CacheClusters: [found] = [] } = await elasticache.send(command, { abortSignal })
        const parameters = found?.CacheParameterGroup?.CacheParameterGroupName
        return [
          ...groupFindings(group, found?.EngineVersion),
          parameters === undefined
            ? error('The parameter group of Redis is not known.', 'Look at it in the ElastiCache console.')
            : await policyFinding(elasticache, parameters, abortSignal),
        ]
      },
    },
  ]
}

async function findGroup(elasticache: ElastiCacheClient, description: string, abortSignal: AbortSignal) {
  let Marker: string | undefined
  do {
    const command = new DescribeReplicationGroupsCommand({ Marker })
    const page = await elasticache.send(command, { abortSignal })
    const found = page.ReplicationGroups?.find(({ Description }) => Description === description)
    if (found) return found
    Marker = page.Marker
  } while (Marker)
  return undefined
}

function groupFindings(group: ReplicationGroup, version: string | undefined): Finding[] {
  const { Status, TransitEncryptionEnabled, AuthTokenEnabled, AtRestEncryptionEnabled } = group
  const remedy = 'Deploy the stage again (stacks/redis.ts).'
  const findings: Finding[] = []
  if (Status !== 'available') {
    findings.push(
      warning(
        `ElastiCache is ${Status ?? 'in an unknown state'}.`,
        'Wait until it is available, then run this again.',
      ),
    )
  }
  if (!TransitEncryptionEnabled) findings.push(error('Connections to Redis are not encrypted (TLS).', remedy))
  if (!AuthTokenEnabled) findings.push(error('Redis has no password (auth token).', remedy))
  if (!AtRestEncryptionEnabled) findings.push(warning('The data of Redis is not encrypted at rest.', remedy))
  const isReplicated = (group.MemberClusters?.length ?? 0) > 1
  if (isReplicated && group.AutomaticFailover !== 'enabled') {
    findings.push(error('Redis does not fail over by itself.', remedy))
  }
  if (version !== undefined && Number.parseInt(version, 10) < minEngineMajor) {
    findings.push(
      error(`Redis ${version} is too old.`, 'Raise engineVersion in stacks/redis.ts, and deploy.'),
    )
  }
  if (findings.length > 0) return findings
  return [ok(`ElastiCache ${version ?? ''} is available, encrypted and protected by a token.`)]
}

async function policyFinding(elasticache: ElastiCacheClient, name: string, abortSignal: AbortSignal) {
  let Marker: string | undefined
  do {
    const command = new DescribeCacheParametersCommand({ CacheParameterGroupName: name, Marker })
    const page = await elasticache.send(command, { abortSignal })
    const policy = page.Parameters?.find(({ ParameterName }) => ParameterName === 'maxmemory-policy')
    if (policy?.ParameterValue === 'noeviction') return ok('Redis deletes nothing when it is full.')
    if (policy) {
      return error(
        `Redis deletes keys when it is full (maxmemory-policy ${policy.ParameterValue ?? 'unknown'}): jobs and erasures would be lost.`,
        'Set maxmemory-policy to noeviction in the parameter group, or deploy again.',
      )
    }
    Marker = page.Marker
  } while (Marker)
  return error(
    'The maxmemory-policy of Redis is not known.',
    'Look at the parameter group in the ElastiCache console.',
  )
}
