import { buildCloud, bundleConfig } from '../support/mock-cloud.ts'

await bundleConfig()

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
export const sstDev = await buildCloud({
  stage: 'ada',
  dev: true,
  environment: { MILLRACE_ALLOWED_ORIGINS: 'http://localhost:5173' },
})
/** A developer's stage, deployed. */
export const dev = await buildCloud({ stage: 'ada' })
/** One region, with domain, CloudFront, frontends on other origins, a collector of traces and bounded roles. */
export const staging = await buildCloud({
  stage: 'staging',
  environment: {
    MILLRACE_DOMAIN: 'staging.example.com',
    MILLRACE_CDN: 'true',
    MILLRACE_OPERATORS: 'arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/*',
    MILLRACE_ALLOWED_ORIGINS: 'https://app.example.com, https://*.Example.org',
    MILLRACE_OTLP_ENDPOINT: 'https://otlp.example.com',
    MILLRACE_PERMISSIONS_BOUNDARY: 'arn:aws:iam::123456789012:policy/MillraceBoundary-staging',
  },
})
export const production = await buildCloud({ stage: 'production' })
export const twoRegions = await buildCloud({ stage: 'production', environment: twoRegionsEnvironment })

/** One region that is not us-east-1, where Route 53's metrics are. */
export const irish = await buildCloud({
  stage: 'production',
  environment: {
    MILLRACE_REGIONS: 'eu-west-1',
    MILLRACE_DOMAIN: 'media.example.ie',
    MILLRACE_EMAIL: 'ops@example.com',
  },
})

export const deployed = { dev, staging, production, twoRegions }
export const all = { sstDev, ...deployed }
