import { importQueueName } from '@millrace/shared/jobs/import-upload-job.ts'
import { uploadQueueName } from '@millrace/shared/jobs/process-upload-job.ts'
import { scrubSecrets } from '@millrace/shared/service/scrub-secrets.ts'
import { webhookQueueName } from '@millrace/shared/webhooks/delivery-queue.ts'
import { Queue } from 'bullmq'
import Fastify from 'fastify'
import type { Redis } from 'ioredis'

/** What each queue is for, as the page says it. */
const queueDescriptions = {
  [uploadQueueName]: 'Inspects uploads and renders their variants',
  [importQueueName]: 'Downloads files that were announced by their URL',
  [webhookQueueName]: 'Sends events to webhooks',
}

/** How often the page asks for the queues, in seconds. Each time costs some twenty Redis commands for a queue. */
const refreshSeconds = 5

/** What the board sends for a request. */
export type BoardResponse = { status: number; contentType: string; body: Buffer | string }

/**
 * Bull Board, the page of BullMQ's queues. It is loaded with the first request for it, as a small app of its own that gets the
 * requests from the API's routes, after these have authorized them.
 *
 * @param deps.redis the queues' connection; it is not closed here
 * @param deps.basePath the path of the page as browsers see it
 */
export function createQueueBoard(deps: { redis: Redis; prefix: string; basePath: string }) {
  let loading: ReturnType<typeof load> | undefined

  async function load() {
    const [{ createBullBoard }, { BullMQAdapter }, { FastifyAdapter }] = await Promise.all([
      import('@bull-board/api'),
      import('@bull-board/api/bullMQAdapter'),
      import('@bull-board/fastify'),
    ])
    const queues = Object.entries(queueDescriptions).map(([name, description]) => {
      // Nothing is written by looking.
      const queue = new Queue(name, { connection: deps.redis, prefix: deps.prefix, skipMetasUpdate: true })
      // Without a listener, BullMQ prints the connection's errors, which are already logged where it is created.
      queue.on('error', () => undefined)
      return { queue, adapter: new BullMQAdapter(queue, { description }) }
    })
    const serverAdapter = new FastifyAdapter()
    serverAdapter.setBasePath(deps.basePath)
    createBullBoard({
      queues: queues.map(({ adapter }) => adapter),
      serverAdapter,
      options: {
        uiConfig: {
          boardTitle: 'Millrace queues',
          hideDocsLink: true,
          // Its icon has a style of its own, which the policy forbids.
          hideRedisDetails: true,
          // Redis' list of its clients has thousands of entries in a large fleet. `GET /admin/cluster` has the workers.
          showWorkers: false,
          pollingInterval: { forceInterval: refreshSeconds },
        },
      },
    })
    const app = Fastify()
    await app.register(serverAdapter.registerPlugin())
    await app.ready()
    return { app, queues: queues.map(({ queue }) => queue) }
  }

  return {
    /**
     * Lets the board respond to a request.
     * @param request.path below that of the page, with its query; `/` is the page
     */
    async respond(request: { method: 'GET' | 'HEAD' | 'PUT'; path: string }): Promise<BoardResponse> {
      loading ??= load().catch((error: unknown) => {
        // The next request tries again.
        loading = undefined
        throw error
      })
      const { app } = await loading
      const response = await app.inject({ method: request.method, url: request.path })
      const contentType = String(response.headers['content-type'] ?? 'text/plain')
      const body = contentType.startsWith('text/html')
        ? withoutForeignParts(response.body)
        : contentType.startsWith('application/json')
          ? withoutSecrets(response.body)
          : response.rawPayload
      return { status: response.statusCode, contentType, body }
    },

    async close(): Promise<void> {
      const loaded = await loading?.catch(() => undefined)
      await loaded?.app.close()
      for (const queue of loaded?.queues ?? []) await queue.close()
    },
  }
}

export type QueueBoard = ReturnType<typeof createQueueBoard>

/**
 * Removes what the page would load from other servers (its font), and what a strict content security policy forbids: the styles
 * of the animation that is shown until the scripts have loaded.
 */
function withoutForeignParts(html: string): string {
  return html
    .replaceAll(/<link[^>]*https?:[^>]*>/g, '')
    .replaceAll(/<style>[^<]*<\/style>/g, '')
    .replaceAll(/ style="[^"]*"/g, '')
}

/** Removes secrets from the texts of a JSON body: a failed job has the message of its error, and its stack. */
function withoutSecrets(json: string): string {
  if (json === '') return json
  return JSON.stringify(
    JSON.parse(json, (_, value: unknown) => (typeof value === 'string' ? scrubSecrets(value) : value)),
  )
}
