/** The clouds that the tests check: each is a stage with its settings, as `buildCloud` takes them. */
export const cloudOptions = {
  /** A developer's stage under `sst dev`, with a frontend of its own. */
  sstDev: {
    stage: 'ada',
    dev: true,
    environment: { MILLRACE_ALLOWED_ORIGINS: 'http://localhost:5173' },
  },
  /** A developer's stage, deployed. */
  dev: { stage: 'ada' },
  /** One region, with domain, CloudFront, frontends on other origins and a collector of traces. */
  staging: {
    stage: 'staging',
    environment: {
      MILLRACE_DOMAIN: 'staging.example.com',
      MILLRACE_CDN: 'true',
      MILLRACE_OPERATORS: 'arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/*',
      MILLRACE_PERMISSIONS_BOUNDARY: 'arn:aws:iam::123456789012:policy/MillraceBoundary-staging',
      MILLRACE_ALLOWED_ORIGINS: 'https://app.example.com, https://*.Example.org',
      MILLRACE_OTLP_ENDPOINT: 'https://otlp.example.com',
    },
  },
  production: { stage: 'production' },
  /** One region that is not us-east-1, where Route 53's metrics are. */
  irish: {
    stage: 'production',
    environment: {
      MILLRACE_REGIONS: 'eu-west-1',
      MILLRACE_DOMAIN: 'media.example.ie',
      MILLRACE_EMAIL: 'ops@example.com',
    },
  },
  /** The content of `.env.production` for two regions. */
  twoRegions: {
    stage: 'production',
    environment: {
      MILLRACE_REGIONS: 'us-east-1,eu-west-1',
      MILLRACE_DOMAIN: 'media.example.com',
      MILLRACE_EMAIL: 'ops@example.com',
      MILLRACE_BUDGET_USD: '900',
      MILLRACE_INSTANT_RETRIEVAL_DAYS: '30',
      MILLRACE_DEEP_ARCHIVE_DAYS: '365',
    },
  },
}

export type CloudName = keyof typeof cloudOptions
