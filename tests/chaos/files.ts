import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { sampleImage, truncated } from '../worker/support/sample-images.ts'
import type { Random } from './random.ts'

/** How an upload of a file must end. */
export type ExpectedEnd = {
  outcome: 'ready' | 'rejected'
  /** The error code of a rejection. */
  code?: string
  /** Whether S3 keeps the bytes. Bytes that differ from what was announced are deleted. */
  keepsBytes: boolean
}

/** A file to upload. */
export type TestFile = {
  /** Files of one kind differ only in a comment, so their variants are the same. */
  kind: FileKind
  /** `{number}.{extension}`: identifies the upload in S3, whichever way it was sent. */
  filename: string
  bytes: Buffer<ArrayBuffer>
  contentType: string
  preset: 'default' | 'images'
  sha256: string
  /** The announced checksum, if any. It may be wrong on purpose. */
  declaredSha256?: string
  expected: ExpectedEnd
}

/** The file kinds of one part, and one kind whose files need several parts. */
export const fileKinds = [
  'jpeg',
  'wide-jpeg',
  'png',
  'truncated-jpeg',
  'text',
  'refused-text',
  'wrong-sha256',
  'large',
] as const
export type FileKind = (typeof fileKinds)[number]

/** More than one form may have (8 MiB), so it has two parts. In bytes. */
const largeBytes = 8 * 1024 * 1024 + 4_096

/** The presets of the services, as JSON for `PRESETS`. `images` refuses all other files. */
export const presetsJson = JSON.stringify([
  {
    name: 'images',
    accept: ['image/*'],
    variants: [{ name: 'small', fit: 'inside', width: 32, format: 'webp', quality: 70, effort: 0 }],
  },
])

/** Returns the upload's number in a file name, or undefined if the chaos run did not make the name. */
export function numberOfFilename(filename: string): number | undefined {
  const [, digits] = /^(\d{6})\.[a-z]+$/.exec(filename) ?? []
  return digits === undefined ? undefined : Number(digits)
}

/** Creates the factory of files. Each file has bytes of its own, so that a mix-up shows in its SHA-256. */
export async function createFiles() {
  const jpeg = await sampleImage('image/jpeg', 48, 32)
  const wideJpeg = await sampleImage('image/jpeg', 420, 40)
  const png = await sampleImage('image/png', 24, 24)
  const large = Buffer.alloc(largeBytes, 'millrace ')

  /** Makes a file. @param number identifies the upload */
  function make(kind: FileKind, number: number): TestFile {
    const digits = String(number).padStart(6, '0')
    const file = (
      bytes: Buffer<ArrayBuffer>,
      extension: string,
      contentType: string,
      rest: Partial<TestFile> = {},
    ): TestFile => ({
      kind,
      filename: `${digits}.${extension}`,
      bytes,
      contentType,
      preset: 'default',
      sha256: createHash('sha256').update(bytes).digest('hex'),
      expected: { outcome: 'ready', keepsBytes: true },
      ...rest,
    })
    switch (kind) {
      case 'jpeg':
        return file(withJpegComment(jpeg, digits), 'jpg', 'image/jpeg', { preset: 'images' })
      case 'wide-jpeg':
        return file(withJpegComment(wideJpeg, digits), 'jpg', 'image/jpeg')
      case 'png':
        return file(withPngText(png, digits), 'png', 'image/png', { preset: 'images' })
      case 'truncated-jpeg':
        return file(withJpegComment(truncated(wideJpeg), digits), 'jpg', 'image/jpeg', {
          expected: { outcome: 'rejected', code: 'image_corrupt', keepsBytes: true },
        })
      case 'text':
        return file(Buffer.from(`Text number ${digits}.`), 'txt', 'text/plain')
      case 'refused-text':
        return file(Buffer.from(`No image: ${digits}.`), 'txt', 'text/plain', {
          preset: 'images',
          expected: { outcome: 'rejected', code: 'type_not_allowed', keepsBytes: false },
        })
      case 'wrong-sha256':
        return file(withJpegComment(jpeg, digits), 'jpg', 'image/jpeg', {
          preset: 'images',
          declaredSha256: createHash('sha256').update('other bytes').digest('hex'),
          expected: { outcome: 'rejected', code: 'checksum_mismatch', keepsBytes: false },
        })
      case 'large': {
        const bytes = Buffer.from(large)
        bytes.write(digits)
        return file(bytes, 'bin', 'application/octet-stream')
      }
    }
  }

  return {
    make,
    /** Makes a file of a random kind; most are small images. */
    makeRandom(random: Random, number: number): TestFile {
      const kind = random.pick(commonKinds)
      const made = make(kind, number)
      // Half of the clients announce the checksum, so that a worker compares it.
      return made.declaredSha256 === undefined && random.chance(0.5)
        ? { ...made, declaredSha256: made.sha256 }
        : made
    },
  }
}

export type Files = Awaited<ReturnType<typeof createFiles>>

/** Kinds by their frequency. */
const commonKinds: FileKind[] = [
  ...Array<FileKind>(6).fill('jpeg'),
  ...Array<FileKind>(2).fill('wide-jpeg'),
  ...Array<FileKind>(2).fill('png'),
  'truncated-jpeg',
  'text',
  'refused-text',
  'wrong-sha256',
]

/** Inserts a comment after the first marker (JPEG, ITU T.81, B.2.4.5). */
function withJpegComment(jpeg: Buffer, comment: string): Buffer<ArrayBuffer> {
  const head = Buffer.from([0xff, 0xfe, 0, 0])
  head.writeUInt16BE(comment.length + 2, 2)
  return Buffer.concat([jpeg.subarray(0, 2), head, Buffer.from(comment), jpeg.subarray(2)])
}

/** Inserts a `tEXt` chunk after the header (PNG specification, 11.3.3.2): 8 bytes of signature, 25 of IHDR. */
function withPngText(png: Buffer, text: string): Buffer<ArrayBuffer> {
  const body = Buffer.from(`tEXtComment\0${text}`, 'latin1')
  const chunk = Buffer.alloc(body.length + 8)
  chunk.writeUInt32BE(body.length - 4, 0)
  body.copy(chunk, 4)
  chunk.writeUInt32BE(crc32(body), body.length + 4)
  return Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)])
}
