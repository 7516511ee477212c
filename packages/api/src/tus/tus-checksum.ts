import { createHash } from 'node:crypto'
import { AppError } from '@millrace/shared/service/app-error.ts'

/** What chunks may be checked by, as `Tus-Checksum-Algorithm` lists them. Servers must know sha1. */
export const checksumAlgorithms = ['sha1', 'sha256', 'md5']

/** Adds up the bytes of a request, which says what they should come to. */
export type ChunkChecksum = { update(bytes: Buffer): void; verify(): void }

/**
 * Reads `Upload-Checksum`: an algorithm, and a digest in base64 (tus 1.0.0, "Checksum").
 *
 * @returns undefined where the request has none
 * @throws AppError `invalid_request`
 */
export function readChecksum(header: string | string[] | undefined): ChunkChecksum | undefined {
  if (header === undefined) return undefined
  const [algorithm = '', digest = '', ...more] = String(header).split(' ')
  if (!checksumAlgorithms.includes(algorithm) || !/^[A-Za-z0-9+/]+={0,2}$/.test(digest) || more.length > 0) {
    throw new AppError('invalid_request', {
      message: `Upload-Checksum must be one of ${checksumAlgorithms.join(', ')}, and a digest in base64.`,
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
