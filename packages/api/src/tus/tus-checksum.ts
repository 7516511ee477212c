import { createHash } from 'node:crypto'
import { AppError } from '@millrace/shared/service/app-error.ts'

/** The supported algorithms, as `Tus-Checksum-Algorithm` lists them. tus requires sha1. */
export const checksumAlgorithms = ['sha1', 'sha256', 'md5']

/** Computes the digest of a request's bytes. `verify` compares it with the digest that the client sent. */
export type ChunkChecksum = { update(bytes: Buffer): void; verify(): void }

/**
 * Reads `Upload-Checksum`: an algorithm, and a digest in base64 (tus 1.0.0, "Checksum").
 *
 * @returns undefined if the request has no checksum
 * @throws AppError `invalid_request`
 */
export function readChecksum(header: string | string[] | undefined): ChunkChecksum | undefined {
  if (header === undefined) return undefined
  const [algorithm = '', digest = '', ...rest] = String(header).split(' ')
  if (!checksumAlgorithms.includes(algorithm) || !/^[A-Za-z0-9+/]+={0,2}$/.test(digest) || rest.length > 0) {
    throw new AppError('invalid_request', {
      message: `Upload-Checksum must be "<algorithm> <digest in base64>"; allowed algorithms: ${checksumAlgorithms.join(', ')}.`,
    })
  }
  const hash = createHash(algorithm)
  return {
    update: (bytes) => void hash.update(bytes),
    /** @throws AppError `chunk_checksum_mismatch` */
    verify() {
      if (hash.digest('base64') !== digest) throw new AppError('chunk_checksum_mismatch')
    },
  }
}
