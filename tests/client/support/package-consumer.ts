// A file of somebody who has installed the package, as TypeScript checks it. It is copied into a folder that has nothing else.
import {
  ApiProblem,
  type Client,
  createClient,
  type ListFilter,
  type Upload,
  verifyWebhook,
  type WebhookEvent,
} from '@millrace/client'

const millrace: Client = createClient({
  origin: 'https://media.example',
  getToken: async () => 'token',
  fetch: (request) => fetch(request),
})

export async function sendFile(file: Blob, signal: AbortSignal): Promise<string[]> {
  const { id } = await millrace.upload(file, { signal, metadata: { album: 'summer' } })
  const upload: Upload = await millrace.waitUntilFinished(id, { onProgress: ({ step }) => step })
  // @ts-expect-error: no such state
  if (upload.state === 'done') return []
  return upload.variants.map(({ url }) => url)
}

export async function findFirst(filter: ListFilter): Promise<string | undefined> {
  for await (const { filename } of millrace.list(filter)) return filename
  // @ts-expect-error: no such state
  millrace.list({ state: ['done'] })
  const { data, error } = await millrace.api.GET('/uploads/{id}', { params: { path: { id: 'a' } } })
  // @ts-expect-error: no such route
  await millrace.api.GET('/files')
  return data?.filename ?? error?.code
}

export function describe(body: string, headers: Headers): string {
  const event: WebhookEvent = verifyWebhook(body, headers, ['secret'])
  if (event.type === 'upload.ready') return String(event.data.variants.length)
  if (event.type === 'upload.rejected') return event.data.error.code
  // @ts-expect-error: after a deletion nobody knows the name
  if (event.type === 'upload.deleted') return event.data.filename
  return event.data.state
}

export const isMissing = (error: unknown) => error instanceof ApiProblem && error.code === 'upload_not_found'
