import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { Crc32cJs, Crc64NvmeJs } from '@aws-sdk/checksums/crc'
import { S3Error } from '../protocol/s3-error.ts'

/** S3's names of the supported checksum algorithms, and the length of their digests in bytes. */
const algorithms = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const
const digestBytes = { crc32: 4, crc32c: 4, crc64nvme: 8, sha1: 20, sha256: 32 }

export type ChecksumAlgorithm = (typeof algorithms)[number]
export type ChecksumType = 'FULL_OBJECT' | 'COMPOSITE'

/** A checksum as S3 stores it: `value` is base64; a composite one ends in `-<number of parts>`. */
export type Checksum = { algorithm: ChecksumAlgorithm; type: ChecksumType; value: string }

/**
 * Parses the name of an algorithm from a header or XML (`CRC32`, `crc32`).
 *
 * @throws S3Error InvalidRequest if S3 has no such algorithm or this server does not support it
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
 * Reads the `x-amz-checksum-<algorithm>` header.
 *
 * @param headers lower-case names
 * @returns the expected checksum in base64, or `undefined` if there is none
 * @throws S3Error InvalidRequest if there are several, or the value is not base64 of the right length
 */
export function readChecksumHeader(
  headers: Readonly<Record<string, string>>,
): { algorithm: ChecksumAlgorithm; value: string } | undefined {
  const names = Object.keys(headers).filter(
    (name) =>
      name.startsWith('x-amz-checksum-') &&
      !['x-amz-checksum-algorithm', 'x-amz-checksum-mode', 'x-amz-checksum-type'].includes(name),
  )
  const name = names[0]
  if (name === undefined) return undefined
  if (names.length > 1) {
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

/** Whether `value` is base64 of as many bytes as the algorithm's digest has. */
export function isChecksum(algorithm: ChecksumAlgorithm, value: string): boolean {
  return isBase64Of(digestBytes[algorithm], value)
}

/** Whether `value` is canonical base64 of exactly `bytes` bytes. */
export function isBase64Of(bytes: number, value: string): boolean {
  const decoded = Buffer.from(value, 'base64')
  return decoded.length === bytes && decoded.toString('base64') === value
}

/** A checksum computed in steps: call `update` for each chunk, then `digest` once for the raw bytes. */
export type ChecksumStream = { update(chunk: Buffer): void; digest(): Promise<Buffer> }

/** Creates a checksum. CRC32, SHA-1 and SHA-256 come from Node, the others from the AWS SDK. */
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
  const checksum = algorithm === 'crc32c' ? new Crc32cJs() : new Crc64NvmeJs()
  return {
    update: (chunk) => checksum.update(chunk),
    digest: async () => Buffer.from(await checksum.digest()),
  }
}

/** Reflected generator polynomials of the CRCs, from RFC 3720 and the NVMe specification. */
const polynomials = {
  crc32: { bits: 32n, polynomial: 0xedb88320n },
  crc32c: { bits: 32n, polynomial: 0x82f63b78n },
  crc64nvme: { bits: 64n, polynomial: 0x9a6c9329ac4bc9b5n },
} as const

/**
 * Returns the product of two reflected polynomials modulo the generator (the method of zlib's crc32_combine, 1.2.12
 * and later).
 */
function multiplyModulo(a: bigint, b: bigint, bits: bigint, polynomial: bigint): bigint {
  let product = 0n
  let factor = b
  for (let mask = 1n << (bits - 1n); mask > 0n; mask >>= 1n) {
    if (a & mask) product ^= factor
    factor = factor & 1n ? (factor >> 1n) ^ polynomial : factor >> 1n
  }
  return product
}

/** Returns the CRC of two concatenated byte sequences from their CRCs and the length of the second. */
function combineCrc(
  first: bigint,
  second: bigint,
  secondBytes: number,
  bits: bigint,
  polynomial: bigint,
): bigint {
  // Computes x^(8·secondBytes) by squaring. In reflected order x^0 is the highest bit; x^8 is eight bits lower.
  let power = 1n << (bits - 1n - 8n)
  let shift = 1n << (bits - 1n)
  for (let length = BigInt(secondBytes); length > 0n; length >>= 1n) {
    if (length & 1n) shift = multiplyModulo(shift, power, bits, polynomial)
    power = multiplyModulo(power, power, bits, polynomial)
  }
  return multiplyModulo(shift, first, bits, polynomial) ^ second
}

/**
 * Computes the checksum of a multipart object from the checksums of its parts.
 *
 * @param algorithm the upload's algorithm
 * @param type COMPOSITE: digest of the parts' digests, with `-<number of parts>`; FULL_OBJECT: equal to the checksum
 * of all bytes
 * @param parts each part's base64 checksum and size in bytes, in order
 * @throws S3Error InvalidRequest for FULL_OBJECT with SHA-1 or SHA-256, which cannot be combined
 */
export async function checksumOfParts(
  algorithm: ChecksumAlgorithm,
  type: ChecksumType,
  parts: readonly { value: string; size: number }[],
): Promise<string> {
  if (type === 'COMPOSITE') {
    const checksum = createChecksum(algorithm)
    for (const part of parts) checksum.update(Buffer.from(part.value, 'base64'))
    return `${(await checksum.digest()).toString('base64')}-${parts.length}`
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
