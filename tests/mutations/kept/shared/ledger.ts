// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are texts of files, which contain template strings
import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/shared/src/ledger'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'ledger: a first write replaces what another process wrote',
    file: `${room}/json-objects.ts`,
    before: "expected ? { IfMatch: expected.etag } : { IfNoneMatch: '*' }",
    after: 'expected ? { IfMatch: expected.etag } : {}',
    effect: 'Of two outcomes of one upload, the later one wins, although the first was published.',
    tests: ['shared/ledger/conditional-writes.test.ts'],
  },
  {
    name: 'ledger: a replacing write does not compare',
    file: `${room}/json-objects.ts`,
    before: "expected ? { IfMatch: expected.etag } : { IfNoneMatch: '*' }",
    after: "expected ? {} : { IfNoneMatch: '*' }",
    effect: 'Of two changes at the same time, one is lost.',
    tests: ['shared/ledger/conditional-writes.test.ts'],
  },
  {
    name: 'ledger: a manifest is written whatever S3 has',
    file: `${room}/manifest.ts`,
    before: 'objects.writeIf(manifestKey(manifest), manifest, expected)',
    after: 'objects.write(manifestKey(manifest), manifest).then(() => expected !== null)',
    effect: 'A worker that was suspended replaces the outcome of another one.',
    tests: ['shared/ledger/conditional-writes.test.ts'],
  },
  {
    name: 'ledger: an edit is written whatever S3 has',
    file: `${room}/edits.ts`,
    before: 'objects.writeIf(editKey(address), edit, expected)',
    after: 'objects.write(editKey(address), edit).then(() => expected !== null)',
    effect: 'Of two people who change an upload at the same time, one loses the change.',
    tests: ['shared/ledger/conditional-writes.test.ts'],
  },
  {
    name: 'metadata: the limit is ten times that of S3',
    file: `${room}/object-metadata.ts`,
    before: 'export const objectMetadataLimitBytes = 2048',
    after: 'export const objectMetadataLimitBytes = 20480',
    effect: 'Announcements are accepted whose forms S3 refuses.',
    tests: ['api/announcing/check-intent.test.ts'],
  },
  {
    name: 'same second: versions are listed newest first',
    file: `${room}/original-versions.ts`,
    before: 'return versions.reverse()',
    after: 'return versions',
    effect: 'Of two files of one second, the first one is served.',
    tests: ['shared/lifecycle/sent-within-a-second.test.ts'],
  },
  {
    name: 'keys: the key of an edit is no key',
    file: `${room}/object-keys.ts`,
    before: "return parse(key, editsPrefix, '.json')",
    after: "return parse(key, editsPrefix, '')",
    effect: 'Edits of another region never arrive.',
    tests: ['shared/ledger/object-keys.test.ts'],
  },
  {
    name: 'keys: the listing of a tenant’s events ends before them',
    file: `${room}/object-keys.ts`,
    before: 'return `${outboxPrefix}${tenantKey}0`',
    after: 'return `${outboxPrefix}${tenantKey}-`',
    effect: 'Events of a tenant are skipped, and its webhooks hear nothing.',
    tests: ['shared/ledger/object-keys.test.ts'],
  },
  {
    name: 'keys: webhooks move to another prefix',
    file: `${room}/object-keys.ts`,
    before: "export const webhooksPrefix = 'webhooks/'",
    after: "export const webhooksPrefix = 'hooks/'",
    effect: 'After an update, all webhooks of all tenants are gone.',
    tests: ['shared/ledger/object-keys.test.ts'],
  },
  {
    name: 'listings: a page ends at objects that are none',
    file: `${room}/list-parsed-keys.ts`,
    before: 'if (found.length >= limit) {',
    after: 'if (found.length >= 0) {',
    effect: 'A folder of the console of S3 hides the keys of a tenant.',
    tests: ['api/credentials/stored-keys.test.ts'],
  },
]
