import type { UploadState } from '@millrace/shared/upload.ts'

/** One variant; `url` is a path here that redirects to a short-lived signed one. Sizes in pixels and bytes. */
export type Variant = {
  name: string
  url: string
  contentType: string
  width: number
  height: number
  size: number
}

/** An upload as the API tells of it. `size` in bytes, `placeholder` a thumbhash in base64, times ISO 8601. */
export type Upload = {
  id: string
  state: UploadState
  filename: string
  contentType: string
  detectedType?: string
  size: number
  sha256?: string
  width?: number
  height?: number
  placeholder?: string
  preset: string
  variants: Variant[]
  error?: { code: string; message: string }
  metadata?: Record<string, string>
  createdAt: string
  updatedAt: string
  expiresAt?: string
}

/** What is announced before any byte is sent. */
export type Intent = { filename: string; contentType: string; size: number }

export type SignedPart = { partNumber: number; url: string }
export type ReceivedPart = { partNumber: number; etag: string; size: number }

/** One signed form for the whole file. */
export type FormTransport = { kind: 'form'; url: string; fields: Record<string, string> }
/** `partSize` in bytes; the last part is what remains. `parts` are the first ones, signed. */
export type MultipartTransport = {
  kind: 'multipart'
  partSize: number
  partCount: number
  parts: SignedPart[]
}

/** The answer to an announcement: how the bytes get to S3. */
export type Announced = {
  id: string
  state: UploadState
  expiresAt: string
  transport: FormTransport | MultipartTransport
}

export type UploadPage = { uploads: Upload[]; nextCursor?: string }
export type Session = { views: number; user: string | null; createdAt: string; servedBy: string }

/** The API said no. `code` and the sentence come from its problem+json (RFC 9457). */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem'
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, detail: string) {
    super(detail)
    this.status = status
    this.code = code
  }
}

/**
 * The Millrace API as this page uses it. Every call throws an ApiProblem where the API refuses, and a
 * TypeError where it cannot be reached.
 *
 * @param request `fetch`, or one that behaves like it
 */
export function createApi(request: typeof fetch) {
  return {
    session: (): Promise<Session> => call('/session'),

    list: (cursor?: string): Promise<UploadPage> =>
      call(cursor === undefined ? '/uploads' : `/uploads?${new URLSearchParams({ cursor })}`),

    find: (id: string): Promise<Upload> => call(`/uploads/${id}`),

    announce: (intent: Intent, signal: AbortSignal): Promise<Announced> =>
      call('/uploads', { body: intent, signal }),

    async signParts(id: string, partNumbers: number[], signal: AbortSignal): Promise<SignedPart[]> {
      const answer: { parts: SignedPart[] } = await call(`/uploads/${id}/parts`, {
        body: { partNumbers },
        signal,
      })
      return answer.parts
    },

    async receivedParts(id: string, signal: AbortSignal): Promise<ReceivedPart[]> {
      const answer: { parts: ReceivedPart[] } = await call(`/uploads/${id}/parts`, { signal })
      return answer.parts
    },

    complete: (id: string, parts: Omit<ReceivedPart, 'size'>[], signal: AbortSignal): Promise<Upload> =>
      call(`/uploads/${id}/complete`, { body: { parts }, signal }),
  }

  async function call<Answer>(path: string, given: { body?: unknown; signal?: AbortSignal } = {}) {
    const response = await request(path, {
      ...(given.signal && { signal: given.signal }),
      ...(given.body !== undefined && {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(given.body),
      }),
    })
    if (!response.ok) throw await problemOf(response)
    const answer: Answer = await response.json()
    return answer
  }
}

export type Api = ReturnType<typeof createApi>

async function problemOf(response: Response): Promise<ApiProblem> {
  const isProblem = response.headers.get('content-type')?.startsWith('application/problem+json')
  // Something between us and the API may answer in its own words.
  if (!isProblem) return new ApiProblem(response.status, 'unknown', `The server answered ${response.status}.`)
  const problem: { code: string; detail: string; errors?: { field: string; message: string }[] } =
    await response.json()
  const fields = problem.errors?.map(({ field, message }) => `${field} ${message}`).join('; ')
  return new ApiProblem(
    response.status,
    problem.code,
    fields ? `${problem.detail} (${fields})` : problem.detail,
  )
}
