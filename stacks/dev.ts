import { apiPort } from './security-groups.ts'

/** The port of the Redis that `sst dev` starts. Not 6379, where another Redis may be running. */
const redisPort = 6390

/** The origin of the API that `sst dev` runs. */
export const devOrigin = `http://localhost:${apiPort}`

/**
 * Registers the processes that `sst dev` runs on the developer's machine: Redis, API and worker. They use the stage's
 * real bucket and queue, with the developer's own credentials. A changed file restarts the services.
 */
export function createDevCommands(options: {
  region: string
  bucketName: $util.Input<string>
  queueUrl: $util.Input<string>
  deadLetterQueueUrl: $util.Input<string>
  sessionKeys: $util.Input<string>
  /** As in .env.example; undefined: no other origins. */
  allowedOrigins: string | undefined
  /** JSON of the project's presets. */
  presets: string | undefined
}) {
  const { region, bucketName, queueUrl, deadLetterQueueUrl, sessionKeys, allowedOrigins, presets } = options
  const environment = {
    AWS_REGION: region,
    REDIS_URL: `redis://127.0.0.1:${redisPort}`,
    BUCKET: bucketName,
    EVENTS_QUEUE_URL: queueUrl,
    DEAD_LETTER_QUEUE_URL: deadLetterQueueUrl,
    ...(presets !== undefined && { PRESETS: presets }),
  }
  const service = (main: string) => `node packages/local/run.mjs ${main}`
  new sst.x.DevCommand('Redis', {
    dev: {
      title: 'Redis',
      // Debian's name of the program; Valkey installs the same name.
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
      ANONYMOUS_UPLOADS: 'on',
      ...(allowedOrigins !== undefined && { ALLOWED_ORIGINS: allowedOrigins }),
    },
  })
  new sst.x.DevCommand('Worker', {
    dev: { title: 'Worker', command: service('packages/worker/src/main.ts'), autostart: true },
    environment,
  })
}
