/** A room whose mistakes lose files, let somebody in, or waste. Its mutations are also generated. */
export type CriticalRoom = {
  /** A folder, or the beginning of a file's path. Relative to the repository's root. */
  sources: string
  /** Beginnings of the paths of the test files that may notice a mistake there, relative to tests/. */
  tests: readonly string[]
}

export const criticalRooms: readonly CriticalRoom[] = [
  { sources: 'packages/api/src/identity/', tests: ['api/identity/', 'api/tenants/', 'api/http/'] },
  { sources: 'packages/api/src/tenants/', tests: ['api/tenants/', 'api/identity/'] },
  { sources: 'packages/api/src/credentials/', tests: ['api/credentials/', 'api/identity/'] },
  { sources: 'packages/api/src/requests/', tests: ['api/requests/', 'api/http/', 'api/identity/'] },
  { sources: 'packages/api/src/http/', tests: ['api/http/', 'api/identity/'] },
  { sources: 'packages/api/src/streams/', tests: ['api/streams/', 'api/http/', 'api/events/'] },
  {
    sources: 'packages/api/src/announcing/',
    tests: ['api/announcing/', 'api/uploads/', 'api/identity/', 'api/signing/'],
  },
  {
    sources: 'packages/api/src/uploads/',
    tests: ['api/uploads/', 'api/announcing/', 'api/identity/', 'api/signing/'],
  },
  { sources: 'packages/api/src/limits/', tests: ['api/limits/', 'api/announcing/'] },
  { sources: 'packages/api/src/signing/', tests: ['api/signing/', 'api/announcing/'] },
  { sources: 'packages/api/src/direct/', tests: ['api/direct/', 'api/announcing/'] },
  { sources: 'packages/api/src/tus/', tests: ['api/tus/'] },
  { sources: 'packages/shared/src/quotas/', tests: ['shared/quotas/', 'api/announcing/'] },
  {
    sources: 'packages/shared/src/ledger/',
    tests: ['shared/ledger/', 'shared/uploads/', 'worker/arrivals/'],
  },
  { sources: 'packages/shared/src/parts/', tests: ['shared/parts/', 'api/direct/', 'api/tus/'] },
  {
    sources: 'packages/shared/src/erasure/',
    tests: ['shared/erasure/', 'shared/uploads/', 'worker/arrivals/', 'api/uploads/'],
  },
  {
    sources: 'packages/shared/src/uploads/',
    tests: ['shared/uploads/', 'api/uploads/', 'api/announcing/', 'api/listing/'],
  },
  {
    sources: 'packages/shared/src/lifecycle/',
    tests: ['shared/lifecycle/', 'worker/arrivals/', 'api/uploads/', 'api/announcing/'],
  },
  { sources: 'packages/shared/src/jobs/', tests: ['shared/jobs/', 'worker/jobs/'] },
  { sources: 'packages/shared/src/fleet/', tests: ['shared/fleet/', 'api/fleet/', 'worker/instance/'] },
  { sources: 'packages/shared/src/presets/', tests: ['shared/presets/', 'worker/images/'] },
  { sources: 'packages/worker/src/arrivals/', tests: ['worker/arrivals/'] },
  { sources: 'packages/worker/src/jobs/', tests: ['worker/jobs/', 'worker/processing/'] },
  { sources: 'packages/worker/src/processing/', tests: ['worker/processing/'] },
  { sources: 'packages/worker/src/images/', tests: ['worker/images/', 'worker/processing/'] },
  {
    sources: 'packages/worker/src/reconciliation/',
    tests: ['worker/reconciliation/', 'worker/withdrawals/'],
  },
  { sources: 'packages/local-s3/src/signing/', tests: ['local-s3/signing/', 'local-s3/protocol/'] },
  { sources: 'stacks/rollout/', tests: ['stacks/rollout'] },
  { sources: 'packages/simulator/src/scalers/', tests: ['simulator/', 'shared/fleet/'] },
]
