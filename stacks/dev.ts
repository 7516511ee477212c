/** Where the local Redis of `sst dev` listens; not where one usually does, which may be somebody's own. */
const redisPort = 6390
const apiPort = 3000

/** The page that `sst dev` serves. */
export const devOrigin = `http://localhost:${apiPort}`

/**
 * What `sst dev` runs on the developer's machine: Redis, API and worker, against the stage's real bucket and queue with
 * the developer's own rights. Changed files start the services anew.
 */
export function createDevCommands(options: {
  region: string
  bucketName: $util.Input<string>
  queueUrl: $util.Input<string>
  sessionKeys: $util.Input<string>
}) {
  const { region, bucketName, queueUrl, sessionKeys } = options
  const environment = {
    AWS_REGION: region,
    REDIS_URL: `redis://127.0.0.1:${redisPort}`,
    BUCKET: bucketName,
    EVENTS_QUEUE_URL: queueUrl,
  }
  const service = (main: string) => `node packages/local/run.mjs ${main}`
  new sst.x.DevCommand('Redis', {
    dev: {
      title: 'Redis',
      // Debian names it so; Valkey brings the same name along.
      command: `redis-server --port ${redisPort} --bind 127.0.0.1 --maxmemory-policy noeviction --save ""`,
      autostart: true,
    },
  })
  new sst.x.DevCommand('Api', {
    dev: { title: 'API', command: service('packages/api/src/main.ts'), autostart: true },
    environment: {
      ...environment,
      PORT: String(apiPort),
      PUBLIC_ORIGIN: devOrigin,
      SESSION_KEYS: sessionKeys,
    },
  })
  new sst.x.DevCommand('Worker', {
    dev: { title: 'Worker', command: service('packages/worker/src/main.ts'), autostart: true },
    environment,
  })
}
