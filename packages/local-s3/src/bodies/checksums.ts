import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { Crc32cJs, Crc64NvmeJs } from '@aws-sdk/checksums/crc'
import { S3Error } from '../protocol/s3-error.ts'

/** S3's names of the checksum algorithms that this server knows, with the length of their digests in bytes. */
const algorithms = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const
const digestBytes = { crc32: 4, crc32c: 4, crc64nvme: 8, sha1: 20, sha256: 32 }

export type ChecksumAlgorithm = (typeof algorithms)[number]
export type ChecksumType = 'FULL_OBJECT' | 'COMPOSITE'

/** A checksum as S3 stores it: `value` is base64, for a composite one with `-<parts>` appended. */
export type Checksum = { algorithm: ChecksumAlgorithm; type: ChecksumType; value: string }

/**
 * Reads the name of an algorithm as headers and XML write it (`CRC32`, `crc32`).
 *
 * @throws S3Error InvalidRequest when S3 has no such algorithm, or this server does not know it
 */
export function checksumAlgorithm(name: string): ChecksumAlgorithm {
  const found = algorithms.find((algorithm) => algorithm === name.toLowerCase())
  if (found === undefined)
    throw new S3Error(
      'InvalidRequest',
      'Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]',
    )
  return found
}

/** Returns the name of the XML element of a checksum, for example `ChecksumCRC32`. */
export function checksumElement(algorithm: ChecksumAlgorithm): string {
  return `Checksum${algorithm.toUpperCase()}`
}

/** Returns the XML element of a checksum with its value, or nothing. */
export function checksumElements(
  checksum: Pick<Checksum, 'algorithm' | 'value'> | undefined,
): Record<string, string> {
  return checksum === undefined ? {} : { [checksumElement(checksum.algorithm)]: checksum.value }
}

/** Returns the response headers of an object's checksum, or nothing. */
export function checksumHeaders(checksum: Checksum | undefined): Record<string, string> {
  if (checksum === undefined) return {}
  return { [`x-amz-checksum-${checksum.algorithm}`]: checksum.value, 'x-amz-checksum-type': checksum.type }
}

/**
 * Finds the one `x-amz-checksum-<algorithm>` among headers.
 *
 * @param headers lower-case names
 * @returns the expected checksum in base64, or `undefined` when there is none
 * @throws S3Error InvalidRequest when there are several, or the value is not that algorithm's base64
 */
export function readChecksumHeader(
  headers: Readonly<Record<string, string>>,
): { algorithm: ChecksumAlgorithm; value: string } | undefined {
  const stated = Object.keys(headers).filter(
    (name) =>
      name.startsWith('x-amz-checksum-') &&
      !['x-amz-checksum-algorithm', 'x-amz-checksum-mode', 'x-amz-checksum-type'].includes(name),
  )
  const name = stated[0]
  if (name === undefined) return undefined
  if (stated.length > 1) {
    throw new S3Error(
      'InvalidRequest',
      'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    )
  }
  const algorithm = checksumAlgorithm(name.slice('x-amz-checksum-'.length))
  const value = headers[name] ?? ''
  if (!isChecksum(algorithm, value)) {
    throw new S3Error('InvalidRequest', `Value for ${name} header is invalid.`)
  }
  return { algorithm, value }
}

/** Whether `value` is base64 of as many bytes as the algorithm yields. */
export function isChecksum(algorithm: ChecksumAlgorithm, value: string): boolean {
  return isBase64Of(digestBytes[algorithm], value)
}

/** Whether `value` is canonical base64 of exactly `bytes` bytes. */
export function isBase64Of(bytes: number, value: string): boolean {
  const decoded = Buffer.from(value, 'base64')
  return decoded.length === bytes && decoded.toString('base64') === value
}

/** A running checksum: feed it with `update`, then take the raw digest once. */
export type ChecksumStream = { update(chunk: Buffer): void; digest(): Promise<Buffer> }

/** Starts a checksum. CRC32, SHA-1 and SHA-256 are Node's own; the others are the AWS SDK's. */
export function createChecksum(algorithm: ChecksumAlgorithm): ChecksumStream {
  if (algorithm === 'sha1' || algorithm === 'sha256') {
    const hash = createHash(algorithm)
    return { update: (chunk) => void hash.update(chunk), digest: async () => hash.digest() }
  }
  if (algorithm === 'crc32') {
    let crc = 0
    return {
      update(chunk) {
        crc = crc32(chunk, crc)
      },
      async digest() {
        const digest = Buffer.alloc(4)
        digest.writeUInt32BE(crc)
        return digest
      },
    }
  }
  const running = algorithm === 'crc32c' ? new Crc32cJs() : new Crc64NvmeJs()
  return { update: (chunk) => running.update(chunk), digest: async () => Buffer.from(await running.digest()) }
}

/** Reflected generator polynomials of the CRCs, as RFC 3720 and the NVMe specification give them. */
const polynomials = {
  crc32: { bits: 32n, polynomial: 0xedb88320n },
  crc32c: { bits: 32n, polynomial: 0x82f63b78n },
  crc64nvme: { bits: 64n, polynomial: 0x9a6c9329ac4bc9b5n },
} as const

/** Product of two reflected polynomials modulo the generator (the method of zlib's crc32_combine, 1.2.12 and later). */
function multiplyModulo(a: bigint, b: bigint, bits: bigint, polynomial: bigint): bigint {
  let product = 0n
  let factor = b
  for (let mask = 1n << (bits - 1n); mask > 0n; mask >>= 1n) {
    if (a & mask) product ^= factor
    factor = factor & 1n ? (factor >> 1n) ^ polynomial : factor >> 1n
  }
  return product
}

/** The CRC of two byte runs joined, from their CRCs and the second one's length. */
function combineCrc(
  first: bigint,
  second: bigint,
  secondBytes: number,
  bits: bigint,
  polynomial: bigint,
): bigint {
  // x^(8·secondBytes) by squaring; in reflected order x^0 is the highest bit, x^8 is eight places below.
  let power = 1n << (bits - 1n - 8n)
  let shift = 1n << (bits - 1n)
  for (let length = BigInt(secondBytes); length > 0n; length >>= 1n) {
    if (length & 1n) shift = multiplyModulo(shift, power, bits, polynomial)
    power = multiplyModulo(power, power, bits, polynomial)
  }
  return multiplyModulo(shift, first, bits, polynomial) ^ second
}

/**
 * The checksum of an object made of parts.
 *
 * @param algorithm the upload's algorithm
 * @param type COMPOSITE: digest of the parts' digests, `-<parts>` appended; FULL_OBJECT: as if computed over all bytes
 * @param parts each part's base64 checksum and size in bytes, in order
 * @throws S3Error InvalidRequest when FULL_OBJECT is asked of a hash, which cannot be combined
 */
export async function checksumOfParts(
  algorithm: ChecksumAlgorithm,
  type: ChecksumType,
  parts: readonly { value: string; size: number }[],
): Promise<string> {
  if (type === 'COMPOSITE') {
    const running = createChecksum(algorithm)
    for (const part of parts) running.update(Buffer.from(part.value, 'base64'))
    return `${(await running.digest()).toString('base64')}-${parts.length}`
  }
  if (algorithm === 'sha1' || algorithm === 'sha256') {
    throw new S3Error(
      'InvalidRequest',
      `The FULL_OBJECT checksum type cannot be used with the ${algorithm} checksum algorithm.`,
    )
  }
  const { bits, polynomial } = polynomials[algorithm]
  let crc = 0n
  for (const part of parts) {
    const value = BigInt(`0x${Buffer.from(part.value, 'base64').toString('hex')}`)
    crc = combineCrc(crc, value, part.size, bits, polynomial)
  }
  return Buffer.from(crc.toString(16).padStart(Number(bits) / 4, '0'), 'hex').toString('base64')
}
