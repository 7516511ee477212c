import { buildCloud, bundleConfig } from '../support/mock-cloud.ts'

await bundleConfig()

/** What `.env.production` would say for several regions. */
const worldwide = {
  MILLRACE_REGIONS: 'us-east-1,eu-west-1',
  MILLRACE_DOMAIN: 'media.example.com',
  MILLRACE_EMAIL: 'ops@example.com',
  MILLRACE_BUDGET_USD: '900',
  MILLRACE_INSTANT_RETRIEVAL_DAYS: '30',
  MILLRACE_DEEP_ARCHIVE_DAYS: '365',
}

/** A developer's machine under `sst dev`. */
export const sstDev = await buildCloud({ stage: 'ada', dev: true })
/** A developer's stage, deployed. */
export const dev = await buildCloud({ stage: 'ada' })
/** With what is optional, but in one region. */
export const staging = await buildCloud({
  stage: 'staging',
  environment: { MILLRACE_DOMAIN: 'staging.example.com', MILLRACE_CDN: 'true' },
})
export const production = await buildCloud({ stage: 'production' })
export const world = await buildCloud({ stage: 'production', environment: worldwide })

export const deployed = { dev, staging, production, world }
export const all = { sstDev, ...deployed }
