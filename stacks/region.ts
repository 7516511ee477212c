import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'
import { apiErrorsAlarm, createAlarms, createAlarmTopic } from './alarms.ts'
import { createApiTier } from './api-tier.ts'
import { createCdn } from './cdn.ts'
import { createDashboard } from './dashboard.ts'
import { createCertificate, createRecords, regionalName } from './domain.ts'
import type { Image } from './image.ts'
import { createLedger } from './ledger.ts'
import { createLoadBalancer } from './load-balancer.ts'
import { createLogGroups } from './log-groups.ts'
import { createInterfaceEndpoints, createNetwork } from './network.ts'
import type { Place } from './place.ts'
import { createRedis } from './redis.ts'
import { createRole, grantToApi, grantToWorkers, type RoleDeps } from './roles.ts'
import { createRollout } from './rollout-step.ts'
import { recordScalingEvents } from './scaling-events.ts'
import { createSecrets, type SharedSecrets } from './secrets.ts'
import { createSecurityGroups } from './security-groups.ts'
import type { Settings } from './settings.ts'
import { createWebFirewall } from './web-firewall.ts'
import { createWorkerTier } from './worker-tier.ts'

/** Creates everything in one region, in the order in which a request and then a file pass through it. */
export function createRegion(options: {
  place: Place
  settings: Settings
  accountId: $util.Input<string>
  zoneId: $util.Input<string> | undefined
  images: { api: Image; worker: Image }
  secrets: SharedSecrets
  /** With which S3 copies between the regions, of all regions. */
  replicationRoles: aws.iam.Role[]
}) {
  const { place, settings, accountId, zoneId, images, secrets: shared, replicationRoles } = options
  const { domain } = settings

  const network = createNetwork({ place, network: settings.network })
  const groups = createSecurityGroups({ place, network })
  const endpoints = groups.endpoints
    ? createInterfaceEndpoints({ place, network, securityGroupId: groups.endpoints.id })
    : []

  const certificateArn = domain && zoneId ? createCertificate({ place, domain, zoneId }) : undefined
  const loadBalancer = createLoadBalancer({ place, network, groups, settings, accountId, certificateArn })
  const { dnsName } = loadBalancer.loadBalancer
  // Browsers send hosts in lower case; AWS generates mixed case.
  const origin = domain
    ? $util.output(`https://${domain.name}`)
    : dnsName.apply((name) => `http://${name.toLowerCase()}`)
  const healthCheck =
    domain && zoneId ? createRecords({ place, domain, zoneId, loadBalancer, settings }) : undefined

  const isReplicated = settings.regions.length > 1
  const roles = { api: createRole(place, 'api'), worker: createRole(place, 'worker') }
  const ledger = createLedger({
    place,
    settings,
    accountId,
    origin,
    isReplicated,
    roles: [roles.api, roles.worker, ...replicationRoles].map(({ arn }) => arn),
  })
  const { key, bucket, queue } = ledger
  const cdn = settings.cdn ? createCdn({ place, bucket }) : undefined
  const logGroups = createLogGroups({ place, key, days: settings.logDays })
  const redis = createRedis({ place, network, groups, key, settings, logGroup: logGroups.redis })
  const secrets = createSecrets({ place, key, redis, shared, cdn })
  createWebFirewall({ place, loadBalancer, settings: settings.firewall, logGroup: logGroups.firewall })

  const common = {
    ...settings.environment,
    BUCKET: bucket.name,
    ...(isReplicated && { BUCKET_REPLICATED: 'true' }),
    EVENTS_QUEUE_URL: queue.queue.url,
    DEAD_LETTER_QUEUE_URL: queue.deadLetters.url,
    METRICS_STAGE: place.stage,
    // The container's file system is read-only except for /tmp.
    NODE_COMPILE_CACHE: '/tmp/compiled',
    // glibc keeps freed memory in one arena per thread, and sharp and Node have many threads. No effect on jemalloc.
    MALLOC_ARENA_MAX: '2',
  }
  const roleDeps = (tier: Tier): RoleDeps => ({
    place,
    role: roles[tier],
    accountId,
    bucket,
    queue,
    key,
    cdn,
    image: images[tier],
    logGroup: logGroups[tier],
    groupName: place.name(tier),
  })
  const access = { api: grantToApi(roleDeps('api')), worker: grantToWorkers(roleDeps('worker')) }
  // The bucket stands for its policy, and the notification for the queue's.
  const bootNeeds = (tier: Tier) =>
    network.routes.apply((routes) => [
      ...routes,
      ...endpoints,
      ...groups.rules,
      access[tier].rights,
      bucket,
      ledger.notification,
    ])
  const api = createApiTier({
    place,
    network,
    groups,
    loadBalancer,
    settings: settings.api,
    profile: access.api.profile,
    bootNeeds: bootNeeds('api'),
    imageUri: images.api.uri,
    logGroup: logGroups.api,
    environment: {
      ...common,
      PUBLIC_ORIGIN: origin,
      // The certificate covers the region's own name as well.
      ...(domain && { ALLOWED_HOSTS: allowedHosts(regionalName(domain, place), settings) }),
      TRUSTED_PROXIES: network.cidr,
      SECRETS_VERSION: secrets.versions.api,
      ...(cdn && { CDN_ORIGIN: cdn.origin, CDN_KEY_PAIR_ID: cdn.keyPairId }),
    },
  })
  const worker = createWorkerTier({
    place,
    network,
    groups,
    settings: settings.worker,
    profile: access.worker.profile,
    bootNeeds: bootNeeds('worker'),
    imageUri: images.worker.uri,
    logGroup: logGroups.worker,
    environment: {
      ...common,
      SECRETS_VERSION: secrets.versions.worker,
      ...(cdn && { CDN_DISTRIBUTION_ID: cdn.id }),
    },
  })

  const topic = createAlarmTopic({ place, key, accountId, email: settings.email })
  const alarms = createAlarms({ place, topic, loadBalancer, queue, redis, workers: worker.group, settings })
  createRollout({ ...api.rollout, rollbackAlarms: [apiErrorsAlarm(place)], after: alarms })
  createRollout({ ...worker.rollout, rollbackAlarms: [], after: alarms })
  recordScalingEvents({ place, groups: [api.group, worker.group], logGroup: logGroups.scaling })
  const dashboard = createDashboard({
    place,
    loadBalancer,
    queue,
    redis,
    groups: { api: api.group, worker: worker.group },
    scalingLog: logGroups.scaling,
  })
  return { place, ledger, topic, dashboard, origin, healthCheck }
}

/** Returns the region's own name and those that the settings add. */
function allowedHosts(ownName: string, { environment }: Settings): string {
  return [ownName, environment['ALLOWED_HOSTS']].filter(Boolean).join(',')
}
