import { setTimeout as delay } from 'node:timers/promises'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { type Check, error, type Finding, ok, skipped } from './finding.ts'

/** A white PNG of one pixel (PNG 1.2, checked by its own CRCs). */
const smallPng = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg==',
  'base64',
)
/** How long the image may take, in ms, and how often its state is read. */
const uploadTimeoutMs = 30_000
const pollMs = 250

const Readiness = Compile(
  Type.Object({ status: Type.String(), checks: Type.Optional(Type.Record(Type.String(), Type.String())) }),
)
const Upload = Compile(
  Type.Object({
    id: Type.String(),
    state: Type.String(),
    error: Type.Optional(Type.Union([Type.Null(), Type.Object({ message: Type.String() })])),
    variants: Type.Optional(Type.Array(Type.Object({ name: Type.String(), url: Type.String() }))),
  }),
)
const Problem = Compile(Type.Object({ code: Type.String(), detail: Type.Optional(Type.String()) }))

/**
 * The checks of the API: it answers, it is ready, and one small image goes all the way through.
 *
 * @param deps.origin of the API, with its path; undefined: it is not known
 * @param deps.apiKey sends the image; undefined: a session of its own does, if strangers may upload
 */
export function apiChecks(deps: { origin: string | undefined; apiKey: string | undefined }): Check[] {
  const { origin } = deps
  if (origin === undefined) {
    return [
      {
        name: 'api',
        run: async () => [
          skipped('The API was not asked: its address is not known (PUBLIC_ORIGIN or --origin).'),
        ],
      },
    ]
  }
  return [
    { name: 'api', run: (signal) => readinessFindings(origin, signal) },
    { name: 'upload', run: (signal) => uploadFindings({ ...deps, origin }, signal) },
  ]
}

async function readinessFindings(origin: string, signal: AbortSignal): Promise<Finding[]> {
  const response = await fetch(`${origin}/ready`, { signal }).catch((failure: unknown) => failure)
  if (!(response instanceof Response)) {
    return [error(`The API does not answer at ${origin}.`, 'Start it, or correct PUBLIC_ORIGIN.')]
  }
  const body: unknown = await response.json().catch(() => undefined)
  if (!Readiness.Check(body)) {
    return [error(`${origin} is not Millrace's API (status ${response.status}).`, 'Correct PUBLIC_ORIGIN.')]
  }
  if (response.ok) return [ok('The API is ready.')]
  const failed = Object.entries(body.checks ?? {}).flatMap(([name, state]) => (state === 'ok' ? [] : [name]))
  return [
    error(
      `The API is ${body.status}${failed.length > 0 ? `: it cannot use ${failed.join(', ')}` : ''}.`,
      'The findings about these services say why; otherwise look into the API’s log.',
    ),
  ]
}

async function uploadFindings(
  deps: { origin: string; apiKey: string | undefined },
  signal: AbortSignal,
): Promise<Finding[]> {
  const api = openCaller(deps, signal)
  const sent = await api.send('POST', '/upload?filename=doctor.png', smallPng)
  const body: unknown = await sent.json().catch(() => undefined)
  if (sent.status === 401 && deps.apiKey === undefined) {
    return [skipped('No image was sent: uploads need an API key here. Set MILLRACE_API_KEY.')]
  }
  if (!Upload.Check(body)) return [refusalFinding('The API refused a small image', sent.status, body)]
  try {
    return [await followUpload(api, body.id)]
  } finally {
    await api.send('DELETE', `/uploads/${body.id}`)
  }
}

type Caller = ReturnType<typeof openCaller>

/** Follows the image until it is finished, and loads a variant as a browser would. */
async function followUpload(api: Caller, id: string): Promise<Finding> {
  const startedAt = performance.now()
  for (;;) {
    const response = await api.send('GET', `/uploads/${id}`)
    const upload: unknown = await response.json().catch(() => undefined)
    if (!Upload.Check(upload)) return refusalFinding('The upload could not be read', response.status, upload)
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    if (upload.state === 'ready') {
      const [variant] = upload.variants ?? []
      const loaded = variant && (await api.load(variant.url))
      if (loaded && !loaded.ok) {
        return error(
          `A small image became ready, but its variant cannot be loaded (status ${loaded.status}).`,
          'Check the address of S3 or of the CDN for clients (S3_PUBLIC_ENDPOINT, CDN_ORIGIN).',
        )
      }
      return ok(`A small image went through in ${seconds} s.`)
    }
    if (upload.state === 'rejected' || upload.state === 'failed') {
      return error(
        `A small image was ${upload.state}: ${upload.error?.message ?? 'no reason was given'}.`,
        'Look into the workers’ log.',
      )
    }
    if (performance.now() - startedAt > uploadTimeoutMs) {
      return error(
        `A small image is still ${upload.state} after ${uploadTimeoutMs / 1000} s.`,
        'Check that workers run and that the queue of events reaches them.',
      )
    }
    await delay(pollMs)
  }
}

function refusalFinding(what: string, status: number, body: unknown): Finding {
  const reason = Problem.Check(body) ? `${body.code}: ${body.detail ?? ''}` : `status ${status}`
  return error(`${what} (${reason}).`, 'The message says why; docs/security.md lists all limits.')
}

/** Requests of one caller: an API key, or a session whose cookie is kept. */
function openCaller(deps: { origin: string; apiKey: string | undefined }, signal: AbortSignal) {
  const { origin, apiKey } = deps
  let cookie: string | undefined
  const headers = () => ({
    ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
    ...(cookie !== undefined && { cookie }),
  })

  return {
    async send(method: string, path: string, body?: Buffer<ArrayBuffer>): Promise<Response> {
      const response = await fetch(`${origin}${path}`, {
        method,
        signal,
        headers: { ...headers(), ...(body && { 'content-type': 'image/png' }) },
        ...(body && { body }),
      })
      const [first] = response.headers.getSetCookie()
      cookie = first?.split(';')[0] ?? cookie
      return response
    },
    /** Loads a variant's address: a path of the API, which redirects to S3, or a signed URL. */
    load(url: string): Promise<Response> {
      const address = new URL(url, origin)
      return fetch(address, {
        signal,
        ...(address.origin === new URL(origin).origin && { headers: headers() }),
      })
    },
  }
}
