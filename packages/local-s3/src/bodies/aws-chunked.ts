import { createHash } from 'node:crypto'
import { S3Error } from '../protocol/s3-error.ts'
import { signaturesEqual, type VerifiedSignature } from '../signing/signature-v4.ts'

/** Smallest chunk that S3 accepts, except for the last one (bytes). */
const minChunkBytes = 8192
/** Longest chunk header or trailer line (bytes). */
const maxLineBytes = 2048
const emptyHash = createHash('sha256').digest('hex')

/**
 * Decodes an `aws-chunked` body (S3 API reference, "Signature calculations for the Authorization header:
 * transferring payload in multiple chunks"). If the chunks are signed, it verifies their signatures.
 *
 * @param source the body as sent
 * @param signature the request's verified signature; its `payload` selects one of the three forms
 * @param onTrailer receives each trailing header, lower-case name and value, after its signature was verified
 * @returns the decoded bytes; they are valid only if the iteration ends without an error
 * @throws S3Error IncompleteBody, InvalidChunkSizeError, MalformedTrailerError, SignatureDoesNotMatch
 */
export async function* decodeAwsChunked(
  source: AsyncIterable<Buffer>,
  signature: VerifiedSignature,
  onTrailer: (name: string, value: string) => void,
): AsyncGenerator<Buffer> {
  const reader = createReader(source)
  try {
    yield* decode(reader, signature, onTrailer)
  } finally {
    await reader.close()
  }
}

async function* decode(
  reader: ReturnType<typeof createReader>,
  signature: VerifiedSignature,
  onTrailer: (name: string, value: string) => void,
): AsyncGenerator<Buffer> {
  const signed = signature.payload.startsWith('STREAMING-AWS4-HMAC-SHA256-PAYLOAD')
  const hasTrailer = signature.payload.endsWith('-TRAILER')
  let previous = signature.signature
  let lastSize = Number.POSITIVE_INFINITY

  function verify(kind: string, hashes: string[], received: string | undefined) {
    const stringToSign = [kind, signature.amzDate, signature.scope, previous, ...hashes].join('\n')
    const computed = signature.sign(stringToSign)
    if (received === undefined || !signaturesEqual(computed, received)) {
      throw new S3Error('SignatureDoesNotMatch', undefined, { StringToSign: stringToSign })
    }
    previous = computed
  }

  while (true) {
    const header = /^([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(await reader.line())
    if (header === null) throw new S3Error('IncompleteBody', 'The chunk header is malformed.')
    const size = Number.parseInt(header[1] ?? '', 16)
    const hash = signed ? createHash('sha256') : undefined
    if (size > 0) {
      if (lastSize < minChunkBytes) throw new S3Error('InvalidChunkSizeError')
      for await (const piece of reader.bytes(size)) {
        hash?.update(piece)
        yield piece
      }
      if ((await reader.line()) !== '')
        throw new S3Error('IncompleteBody', 'A chunk is longer than its header says.')
    }
    if (hash !== undefined) verify('AWS4-HMAC-SHA256-PAYLOAD', [emptyHash, hash.digest('hex')], header[2])
    lastSize = size
    if (size === 0) break
  }

  if (hasTrailer) {
    const trailers: [string, string][] = []
    let trailerSignature: string | undefined
    for (let line = await reader.line(); line !== ''; line = await reader.line()) {
      const colon = line.indexOf(':')
      if (colon <= 0 || trailers.length >= 16) throw new S3Error('MalformedTrailerError')
      const name = line.slice(0, colon).trim().toLowerCase()
      const value = line.slice(colon + 1).trim()
      if (name === 'x-amz-trailer-signature') trailerSignature = value
      else trailers.push([name, value])
    }
    if (signed) {
      const canonical = trailers.map(([name, value]) => `${name}:${value}\n`).join('')
      const hash = createHash('sha256').update(canonical).digest('hex')
      verify('AWS4-HMAC-SHA256-TRAILER', [hash], trailerSignature)
    }
    for (const [name, value] of trailers) onTrailer(name, value)
  } else if ((await reader.line()) !== '') {
    throw new S3Error('IncompleteBody')
  }
  if (!(await reader.atEnd())) throw new S3Error('IncompleteBody', 'There are bytes after the last chunk.')
}

/** Reads lines that end in CRLF, and numbers of bytes, from a stream of buffers. */
function createReader(source: AsyncIterable<Buffer>) {
  const iterator = source[Symbol.asyncIterator]()
  let pending: Buffer = Buffer.alloc(0)

  /** Reads the next buffer; `false` at the end of the source. */
  async function fill(): Promise<boolean> {
    const next = await iterator.next()
    if (next.done) return false
    pending = pending.length === 0 ? next.value : Buffer.concat([pending, next.value])
    return true
  }

  return {
    async line(): Promise<string> {
      for (;;) {
        const end = pending.indexOf('\r\n')
        if (end > maxLineBytes || (end < 0 && pending.length > maxLineBytes)) {
          throw new S3Error('IncompleteBody', 'A chunk header is too long.')
        }
        if (end >= 0) {
          const line = pending.toString('latin1', 0, end)
          pending = pending.subarray(end + 2)
          return line
        }
        if (!(await fill())) {
          // SDKs may leave out the blank line that ends the trailers.
          if (pending.length === 0) return ''
          throw new S3Error('IncompleteBody')
        }
      }
    },
    async *bytes(count: number): AsyncGenerator<Buffer> {
      let left = count
      while (left > 0) {
        if (pending.length === 0 && !(await fill())) throw new S3Error('IncompleteBody')
        const piece = pending.subarray(0, left)
        pending = pending.subarray(piece.length)
        left -= piece.length
        if (piece.length > 0) yield piece
      }
    },
    /** Closes the source, also before its end. */
    async close() {
      await iterator.return?.()
    },
    async atEnd(): Promise<boolean> {
      return pending.length === 0 && !(await fill())
    },
  }
}
