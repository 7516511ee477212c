/**
 * Files with secrets, and state of tools, that people have in a checkout. None belongs in a build context: a layer would keep
 * it, and whoever pulls the image could read it. Paths are relative to the repository.
 */
export const plantedSecrets = [
  '.env',
  '.env.production',
  '.git/config',
  '.sst/stage',
  'packages/.env',
  'packages/api/.env',
  'packages/api/.env.example',
  'packages/api/.env.production',
  'packages/api/src/.env.local',
  'packages/api/src/http/.envrc',
  'packages/api/tls.pem',
  'packages/api/src/signing/private.key',
  'packages/api/.aws/credentials',
  'packages/api/.npmrc',
  'packages/client/.git/config',
  'packages/local/.millrace/s3/object',
  'packages/shared/id_ed25519',
  'packages/shared/src/backup.p12',
  'packages/worker/.sst/outputs.json',
  'packages/worker/cert.pfx',
  'packages/worker/dump.rdb',
  'packages/worker/debug.log',
  'packages/worker/node_modules/own/index.js',
]
