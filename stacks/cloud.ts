import { createBudget } from './budget.ts'
import { createDevCommands, devOrigin } from './dev.ts'
import { findZone } from './domain.ts'
import { watchDomain } from './domain-alarm.ts'
import { createImage, type Image } from './image.ts'
import { createLedger } from './ledger.ts'
import { createPlace, type Place } from './place.ts'
import { createRegion } from './region.ts'
import { createReplicationRole, replicateLedgers } from './replication.ts'
import { createSessionKeys } from './secrets.ts'
import { needsJwtSecret, type Settings } from './settings.ts'

/**
 * Creates a stage: everything on AWS for `sst deploy`, only bucket and queue for `sst dev`.
 *
 * @returns the outputs that SST prints at the end
 */
export function createCloud(settings: Settings) {
  const { stage } = $app
  const { permissionsBoundary } = settings
  if (permissionsBoundary) {
    // Of roles that SST creates, too.
    $transform(aws.iam.Role, (args) => {
      args.permissionsBoundary = permissionsBoundary
    })
  }
  const [home, ...others] = settings.regions
  const homePlace = createPlace({ stage, region: home, isHome: true })
  const { accountId } = aws.getCallerIdentityOutput({}, homePlace.options)
  const sessionKeys = createSessionKeys(settings.sessionKeys)

  if ($dev) {
    // SST removes resources that this run does not create: everything except the bucket and the queue.
    if (settings.keep)
      throw new Error(
        `\`sst dev\` would remove most resources of stage "${stage}", which is protected. Use a stage of your own.`,
      )
    const { bucket, queue } = createLedger({
      place: homePlace,
      settings,
      accountId,
      origin: devOrigin,
      isReplicated: false,
      roles: undefined,
    })
    createDevCommands({
      region: home,
      bucketName: bucket.name,
      queueUrl: queue.queue.url,
      deadLetterQueueUrl: queue.deadLetters.url,
      sessionKeys,
      allowedOrigins: settings.environment['ALLOWED_ORIGINS'],
      presets: settings.environment['PRESETS'],
    })
    return { url: devOrigin, bucket: bucket.name }
  }

  const places = [homePlace, ...others.map((region) => createPlace({ stage, region, isHome: false }))]
  const apiImages = createImage({ places, tier: 'api', instanceType: settings.api.instanceType })
  const workerImages = createImage({ places, tier: 'worker', instanceType: settings.worker.instanceTypes[0] })
  // Set by `npx sst secret set ApiKeys …`. The default is a comma, an empty list, because SSM refuses empty values.
  const apiKeys = new sst.Secret('ApiKeys', ',').value
  // Without a default: a deploy that needs it stops and names it.
  const jwtSecret = needsJwtSecret(settings.environment) ? new sst.Secret('JwtSecret').value : undefined
  // A comma is an empty list here too.
  const otlpHeaders = settings.environment['OTEL_EXPORTER_OTLP_ENDPOINT']
    ? new sst.Secret('OtlpHeaders', ',').value
    : undefined
  const zoneId = settings.domain && findZone(settings.domain).zoneId

  const copies =
    places.length > 1 ? places.map((place) => ({ place, role: createReplicationRole(place) })) : []
  const regions = places.map((place) =>
    createRegion({
      place,
      settings,
      accountId,
      zoneId,
      images: { api: imageIn(apiImages, place), worker: imageIn(workerImages, place) },
      secrets: { sessionKeys, apiKeys, jwtSecret, otlpHeaders },
      replicationRoles: copies.map(({ role }) => role),
    }),
  )
  replicateLedgers(
    copies.flatMap(({ role }, index) => {
      const region = regions[index]
      return region
        ? [{ place: region.place, bucket: region.ledger.bucket, key: region.ledger.key, role }]
        : []
    }),
  )
  watchDomain({ regions, accountId, email: settings.email })
  const [first] = regions
  if (!first) throw new Error('There is no region.')
  createBudget({ place: homePlace, topic: first.topic, limitUsd: settings.budgetUsd })
  return {
    url: first.origin,
    bucket: first.ledger.bucket.name,
    dashboard: $interpolate`https://${home}.console.aws.amazon.com/cloudwatch/home?region=${home}#dashboards/dashboard/${first.dashboard.dashboardName}`,
  }
}

function imageIn(images: Map<string, Image>, place: Place): Image {
  const image = images.get(place.region)
  if (!image) throw new Error(`There is no image in ${place.region}.`)
  return image
}
