import { buildCloud, bundleConfig } from '../support/mock-cloud.ts'
import { createCloudCache } from './cloud-cache.ts'

await bundleConfig()
const { provide, save } = createCloudCache(process.env)

/** The content of `.env.production` for two regions. */
const twoRegionsEnvironment = {
  MILLRACE_REGIONS: 'us-east-1,eu-west-1',
  MILLRACE_DOMAIN: 'media.example.com',
  MILLRACE_EMAIL: 'ops@example.com',
  MILLRACE_BUDGET_USD: '900',
  MILLRACE_INSTANT_RETRIEVAL_DAYS: '30',
  MILLRACE_DEEP_ARCHIVE_DAYS: '365',
}

/** A developer's stage under `sst dev`, with a frontend of its own. */
export const sstDev = await provide('sstDev', () =>
  buildCloud({
    stage: 'ada',
    dev: true,
    environment: { MILLRACE_ALLOWED_ORIGINS: 'http://localhost:5173' },
  }),
)
/** A developer's stage, deployed. */
export const dev = await provide('dev', () => buildCloud({ stage: 'ada' }))
/** One region, with domain, CloudFront, frontends on other origins and a collector of traces. */
export const staging = await provide('staging', () =>
  buildCloud({
    stage: 'staging',
    environment: {
      MILLRACE_DOMAIN: 'staging.example.com',
      MILLRACE_CDN: 'true',
      MILLRACE_ALLOWED_ORIGINS: 'https://app.example.com, https://*.Example.org',
      MILLRACE_OTLP_ENDPOINT: 'https://otlp.example.com',
    },
  }),
)
export const production = await provide('production', () => buildCloud({ stage: 'production' }))
export const twoRegions = await provide('twoRegions', () =>
  buildCloud({ stage: 'production', environment: twoRegionsEnvironment }),
)

export const deployed = { dev, staging, production, twoRegions }
export const all = { sstDev, ...deployed }
save(all)
