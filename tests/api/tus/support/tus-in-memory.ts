import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { readChecksum } from '@millrace/api/tus/tus-checksum.ts'
import { createReceiveChunk } from '@millrace/api/tus/tus-chunk.ts'
import type { TusBytes, TusParts, Unfinished } from '@millrace/api/tus/tus-parts.ts'
import { createTusUploads } from '@millrace/api/tus/tus-uploads.ts'
import { createPartBuffers } from '@millrace/shared/parts/part-buffers.ts'
import type { GrowingPlan } from '@millrace/shared/parts/part-plan.ts'
import { createSendParts } from '@millrace/shared/parts/send-parts.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'

/** What happens to a write of S3: its bytes are stored, are not, or are although the response is lost. */
export type WriteOutcome = 'stored' | 'refused' | 'response lost'

/**
 * One tus upload whose S3 and Redis are variables, so that thousands of requests take a second. S3's rules are kept: a
 * stream that ends early stores nothing, unfinished bytes are replaced only by who knows them, parts are never deleted.
 *
 * @param options.plan of parts that may be of some bytes only
 */
export function createTusInMemory({ size, plan }: { size: number; plan: GrowingPlan }) {
  const isOnePart = size <= plan.partBytes(1)
  const createdAt = new Date().toISOString()
  let upload: Upload = {
    id: '0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa',
    owner: 's-1',
    state: 'awaiting',
    intent: { filename: 'a', contentType: 'a/b', preset: 'default', size },
    tus: { metadata: '', ...(!isOnePart && { multipartId: 'multipart' }) },
    findings: {},
    variants: [],
    createdAt,
    updatedAt: createdAt,
  }
  const parts = new Map<number, Buffer>()
  let unfinished: (Unfinished & { bytes: Buffer }) | undefined
  let original: Buffer | undefined
  let writes = 0
  let outcomes: WriteOutcome[] = []

  /** Reads what a request sends, and stores it as the next outcome says. */
  async function write(part: TusBytes, signal: AbortSignal | undefined, store: (bytes: Buffer) => void) {
    const outcome = outcomes.shift() ?? 'stored'
    const bytes = await collect(part)
    await nextTurn()
    signal?.throwIfAborted()
    if (outcome === 'refused') throw new AppError('dependency_unavailable')
    store(bytes)
    if (outcome === 'response lost') throw new AppError('dependency_unavailable')
  }

  const tusParts: TusParts = {
    async send(_address, _multipartId, part, signal) {
      const { partNumber } = part
      await write(part, signal, (bytes) => parts.set(partNumber, bytes))
      return { partNumber, etag: `"${partNumber}"`, size: parts.get(partNumber)?.length ?? 0 }
    },
    async putOriginal(_address, _intent, bytes, signal) {
      await write({ partNumber: 1, bytes }, signal, (whole) => {
        original ??= whole
      })
    },
    async putUnfinished(_address, part, { replaces, signal }) {
      const etag = `"${++writes}"`
      await write(part, signal, (bytes) => {
        if (unfinished?.etag !== replaces?.etag) throw new AppError('upload_locked')
        unfinished = { partNumber: part.partNumber, size: bytes.length, etag, bytes }
      })
      return { partNumber: part.partNumber, size: unfinished?.size ?? 0, etag }
    },
    findUnfinished: async () => unfinished,
    async readUnfinished(_address, length) {
      if (!unfinished || unfinished.size < length) throw new AppError('conflict')
      return Readable.from([unfinished.bytes.subarray(0, length)])
    },
  }

  const tusUploads = createTusUploads({
    lookup: { find: async () => ({ upload, revision: 1 }) },
    admitUpload: async () => {
      throw new Error('The upload exists already.')
    },
    multipartUploads: {
      async list() {
        if (original) return undefined
        return [...parts]
          .sort(([a], [b]) => a - b)
          .map(([partNumber, { length }]) => ({ partNumber, etag: `"${partNumber}"`, size: length }))
      },
      async complete(_address, _multipart, completed) {
        original = Buffer.concat(completed.map(({ partNumber }) => parts.get(partNumber) ?? Buffer.alloc(0)))
        return 'completed'
      },
      abort: async () => undefined,
    },
    tusParts,
    unsizedUploads: { begin: () => ({}) },
    async receiveUpload() {
      if (!original) return undefined
      const { tus: _, ...rest } = upload
      upload = { ...rest, state: 'received', arrival: { etag: 'x', size: original.length } }
      return { upload, revision: 1, isCopy: false }
    },
    async eraseUnfinished() {
      unfinished = undefined
    },
  })

  const receiveChunk = createReceiveChunk({
    records: {
      async update(_address, change) {
        upload = change(upload) ?? upload
        return { upload, revision: 1 }
      },
    },
    tusUploads,
    tusParts,
    unsizedUploads: {
      limitOf: ({ intent }) => ({
        limitBytes: intent.size,
        exceeded: () => new AppError('upload_too_large'),
      }),
      reserve: async () => undefined,
    },
    sendParts: createSendParts({ buffers: createPartBuffers({ maxBytes: 1024 ** 2 }) }),
    isErased: async () => false,
    finishErasure: async () => [],
    planParts: () => plan,
    silenceMs: 0,
  })

  return {
    /** Returns the offset that HEAD tells, without the lock. */
    offset: async () => (await tusUploads.read(upload)).offset,

    /** Returns the bytes that S3 has, up to the offset. */
    async stored(): Promise<Buffer> {
      const progress = await tusUploads.read(upload)
      if (original) return original.subarray(0, progress.offset)
      const whole = progress.parts.map(({ partNumber }) => parts.get(partNumber) ?? Buffer.alloc(0))
      return Buffer.concat([...whole, unfinished?.bytes ?? Buffer.alloc(0)]).subarray(0, progress.offset)
    },

    original: () => original,
    hasUnfinished: () => unfinished !== undefined,

    /**
     * Handles a PATCH from the current offset.
     *
     * @param request.chunks what comes of the body; a client is silent after each
     * @param request.length its `Content-Length`. If less comes, the connection was cut
     * @param request.writes what happens to the writes of S3, in their order
     * @returns the new offset
     */
    async patch(request: {
      chunks: Buffer[]
      length: number
      checksum?: string | undefined
      writes?: WriteOutcome[]
    }): Promise<number> {
      const { chunks, length, checksum } = request
      outcomes = [...(request.writes ?? [])]
      const { signal } = new AbortController()
      const isCut = chunks.reduce((sum, chunk) => sum + chunk.length, 0) < length
      try {
        return await receiveChunk(await tusUploads.find(upload), {
          bytes: Readable.from(inTurns(chunks), { objectMode: false }),
          length,
          interruption: () => (isCut ? new AppError('invalid_request') : undefined),
          checksum: readChecksum(checksum),
          holder: { owner: upload.owner },
          signal,
          lost: signal,
        })
      } finally {
        outcomes = []
      }
    },
  }
}

/** The process gets to its timers between two chunks, so that a silence of the client is noticed. */
async function* inTurns(chunks: Buffer[]) {
  for (const chunk of chunks) {
    yield chunk
    for (let turn = 0; turn < 3; turn++) await nextTurn()
  }
}

/** Reads a body as S3 does. @throws Error if it is shorter or longer than declared */
async function collect(part: TusBytes): Promise<Buffer> {
  if (!('size' in part)) return Buffer.from(part.bytes)
  const chunks: Buffer[] = []
  for await (const chunk of part.bytes) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  if (bytes.length !== part.size) throw new Error(`The body has ${bytes.length} bytes, not ${part.size}.`)
  return bytes
}
