import { apiPort } from './security-groups.ts'

/** The origin of the API that `sst dev` runs. */
export const devOrigin = `http://localhost:${apiPort}`

/**
 * Registers what `sst dev` runs on the developer's machine (packages/local/src/dev.ts): Redis, API, console and worker. They use
 * the stage's real bucket and queue, with the developer's own credentials. REDIS_URL in the developer's environment names a
 * Redis to use; otherwise one is started, and installed if there is none.
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
  new sst.x.DevCommand('Millrace', {
    dev: {
      title: 'Millrace',
      command: 'node packages/local/run.mjs packages/local/src/dev-main.ts',
      autostart: true,
    },
    environment: {
      AWS_REGION: region,
      BUCKET: bucketName,
      EVENTS_QUEUE_URL: queueUrl,
      DEAD_LETTER_QUEUE_URL: deadLetterQueueUrl,
      PORT: String(apiPort),
      PUBLIC_ORIGIN: devOrigin,
      SESSION_KEYS: sessionKeys,
      ANONYMOUS_UPLOADS: 'on',
      ...(allowedOrigins !== undefined && { ALLOWED_ORIGINS: allowedOrigins }),
      ...(presets !== undefined && { PRESETS: presets }),
    },
  })
}
