import { FileTypeParser } from 'file-type'
import { type BoundedFile, createBoundedFile, type TypeSource } from './bounded-file.ts'
import { compoundType } from './compound-type.ts'
import { isIsoAudio, isoImageType } from './iso-media-type.ts'
import { markupType } from './markup-type.ts'
import { isMatroskaAudio } from './matroska-type.ts'
import { hasAacFrames } from './mpeg-frames.ts'
import { plainTextType } from './plain-text-type.ts'
import { isAnimatedPng } from './png-type.ts'
import { decodeText, encodingOf, hasBinaryBytes, hasUtf8Mark } from './text-encoding.ts'
import { hasTiffSignature, tiffType } from './tiff-type.ts'
import { hasId3Tag, isSupported } from './weak-signatures.ts'
import { zipType } from './zip-type.ts'

/** How many of a file's first bytes are read to detect its type. file-type's documentation recommends 4,100. */
export const typeHeadBytes = 4100
/** A root element may come after a long comment or doctype. */
const markupBytes = 64 * 1024
/** Of a long text, so much is checked at its end, and of one longer than `middleOfTextBytes` in the middle. */
const textSampleBytes = 4096
const middleOfTextBytes = 64 * 1024
/** PDF 1.7, appendix H, note 13: readers accept other bytes before the header within so many. */
const pdfHeaderBytes = 1024

/**
 * What showed a type: the first bytes (`signature`), the inner structure of a container, the root element of XML or HTML
 * (`markup`), or that the file is valid text.
 */
export type DetectedType = { mediaType: string; foundBy: 'signature' | 'container' | 'markup' | 'text' }

/** Names of file-type that differ from the usual ones. */
const usualNames = new Map([
  ['video/mp1s', 'video/mpeg'],
  ['video/mp2p', 'video/mpeg'],
])
/** Formats that are text. A text is none of the others, even if it begins with their signature, such as "BMW". */
const textFormats =
  /^(text\/.*|application\/(pdf|postscript|eps|rtf|pgp-encrypted|x-ms-regedit|x-deb|x-unix-archive|x-cpio)|model\/stl)$/
/** In a shorter file than this, the signature may be all there is. */
const minTextBytes = 12
/** Types of files with tracks, and the type of such a file without a picture track. */
const audioTypes = new Map([
  ['video/mp4', 'audio/mp4'],
  ['video/3gpp', 'audio/3gpp'],
  ['video/3gpp2', 'audio/3gpp2'],
  ['video/webm', 'audio/webm'],
  ['video/matroska', 'audio/matroska'],
])

/**
 * Detects a file's type from its bytes. The file name and the declared type are ignored. Most types need the first
 * `typeHeadBytes` bytes only; further parts are read where the type depends on them, within the limits of
 * `createBoundedFile`.
 *
 * @returns undefined if the type is unknown
 * @throws the error of `source.readRange`, and no other: a file that confuses a detector has an unknown type
 */
export async function detectType(source: TypeSource): Promise<DetectedType | undefined> {
  const file = createBoundedFile(source)
  const head = source.head.subarray(0, typeHeadBytes)
  try {
    return await detect(head, file)
  } catch {
    if (file.failure) throw file.failure.error
    return undefined
  }
}

/** Detects the type of a file that is in memory, like `detectType`. */
export async function detectMediaType(bytes: Uint8Array): Promise<string | undefined> {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const detected = await detectType({ size: head.length, head, readRange: async () => Buffer.alloc(0) })
  return detected?.mediaType
}

async function detect(head: Buffer, file: BoundedFile): Promise<DetectedType | undefined> {
  if (head.length === 0) return undefined
  const markup = await detectMarkup(head, file)
  if (markup) return { mediaType: markup, foundBy: 'markup' }
  const detected = await detectSignature(head, file)
  const isText = hasUtf8Mark(head) || looksLikeText(head)
  if (detected && (!isText || textFormats.test(detected.mediaType))) return detected
  if (await isPdfAfterOtherBytes(head, file)) return { mediaType: 'application/pdf', foundBy: 'signature' }
  const text = await detectText(head, file)
  return text === undefined ? undefined : { mediaType: text, foundBy: 'text' }
}

/** No signature that text may begin with has a byte above ASCII. A JPEG may have a comment as long as the head. */
function looksLikeText(head: Buffer): boolean {
  return head.length >= minTextBytes && (head[0] ?? 0) < 0x80 && !hasBinaryBytes(head)
}

/** Detects by signatures, and looks into the containers that begin with a common one. */
async function detectSignature(head: Buffer, file: BoundedFile): Promise<DetectedType | undefined> {
  const start = head.toString('latin1', 0, 4)
  // A tar file begins with a file name, which may look like any signature. POSIX.1-1988: "ustar" at 257.
  if (/^ustar[\0 ]/.test(head.toString('latin1', 257, 263))) return bySignature('application/x-tar')
  // file-type inflates gzip files to name those with a tar file within. They have the same media type.
  if (start.startsWith('\x1f\x8b\x08')) return supported('application/gzip')
  if (start === 'PK\x03\x04') {
    const type = await zipType(head, file)
    if (type !== undefined) return byContainer(type)
  }
  if (hasTiffSignature(head)) {
    const type = await tiffType(head, file)
    return type === 'image/tiff' ? bySignature(type) : byContainer(type)
  }
  if (hasId3Tag(head)) return bySignature(await typeAfterId3(head, file))
  const image = await isoImageType(head, file)
  if (image) return byContainer(image)
  const type = await fileTypeOf(head)
  if (type === undefined) return undefined
  if (type === 'application/x-cfb') return byContainer((await compoundType(file)) ?? type)
  if (type === 'image/png') return bySignature((await isAnimatedPng(file)) ? 'image/apng' : type)
  const audioType = audioTypes.get(type)
  if (audioType === undefined) return supported(type)
  const isAudio = /webm|matroska/.test(type) ? await isMatroskaAudio(file) : await isIsoAudio(file)
  return byContainer(isAudio ? audioType : type)

  async function supported(mediaType: string): Promise<DetectedType | undefined> {
    return (await isSupported(mediaType, head, file)) ? bySignature(mediaType) : undefined
  }
}

function bySignature(mediaType: string): DetectedType {
  return { mediaType, foundBy: 'signature' }
}

function byContainer(mediaType: string): DetectedType {
  return { mediaType, foundBy: 'container' }
}

/** Without parameters, such as `audio/ogg; codecs=opus`, in lower case: presets name types so. */
async function fileTypeOf(head: Buffer): Promise<string | undefined> {
  const mediaType = (await new FileTypeParser().fromBuffer(head))?.mime.replace(/;.*$/, '').toLowerCase()
  // XML has been looked for before. file-type believes its declaration alone.
  if (mediaType === undefined || mediaType === 'application/xml') return undefined
  return usualNames.get(mediaType) ?? mediaType
}

/** Mostly MP3. Other audio files have such a tag too, against their specifications. */
async function typeAfterId3(head: Buffer, file: BoundedFile): Promise<string> {
  const [a = 0, b = 0, c = 0, d = 0] = head.subarray(6, 10)
  const end = 10 + (a << 21) + (b << 14) + (c << 7) + d
  if (end + 8 > head.length) return 'audio/mpeg'
  if (head.toString('latin1', end, end + 4) === 'fLaC') return 'audio/flac'
  return (await hasAacFrames(file, end)) ? 'audio/aac' : 'audio/mpeg'
}

async function detectMarkup(head: Buffer, file: BoundedFile): Promise<string | undefined> {
  const { encoding, markBytes } = encodingOf(head)
  const isWhole = file.size <= head.length
  let text = markupText(head.subarray(markBytes))
  if (!text?.trimStart().startsWith('<')) return undefined
  let found = markupType(text, isWhole ? text : '')
  if (found.wantsMore && !isWhole) {
    text = markupText(await file.read(markBytes, markupBytes))
    if (text === undefined) return undefined
    found = markupType(text, '')
  }
  if (found.mediaType !== undefined || isWhole) return found.mediaType
  const end = markupText(await file.read(file.size - (file.size % 2) - 256, 256 + (file.size % 2)))
  return end === undefined ? undefined : markupType(text, end).mediaType

  /** XML may have another encoding of one byte a character. All that matters here is ASCII. */
  function markupText(bytes: Buffer): string | undefined {
    if (encoding !== 'utf-8') return decodeText(bytes, encoding, { cutStart: true, cutEnd: true })
    return hasBinaryBytes(bytes) ? undefined : bytes.toString('latin1')
  }
}

/** Some bytes, such as those of a mail or of a printer, come before the header. The end must be that of a PDF too. */
async function isPdfAfterOtherBytes(head: Buffer, file: BoundedFile): Promise<boolean> {
  if (!/%PDF-\d\.\d/.test(head.toString('latin1', 0, pdfHeaderBytes))) return false
  const end = (await file.read(file.size - 2048, 2048)).toString('latin1')
  return /startxref\s+\d+\s+%%EOF/.test(file.size <= head.length ? head.toString('latin1') : end)
}

/**
 * Detects valid text: in the encoding that the file names, in UTF-8, or in Windows-1252, as Excel writes CSV.
 */
async function detectText(head: Buffer, file: BoundedFile): Promise<string | undefined> {
  const { encoding, markBytes } = encodingOf(head)
  const type = await typeOfSamples(head, file, { encoding, markBytes })
  if (type !== undefined || encoding !== 'utf-8' || markBytes > 0) return type
  const older = await typeOfSamples(head, file, { encoding: 'windows-1252', markBytes: 0 })
  // JSON is always in UTF-8 (RFC 8259, 8.1).
  return older === 'application/json' ? 'text/plain' : older
}

/** Checks samples of a text: start, middle and end. @returns undefined if one of them is not valid text */
async function typeOfSamples(
  head: Buffer,
  file: BoundedFile,
  { encoding, markBytes }: ReturnType<typeof encodingOf>,
): Promise<string | undefined> {
  const isWhole = file.size <= head.length
  const start = decodeText(head.subarray(markBytes), encoding, { cutStart: false, cutEnd: !isWhole })
  if (start === undefined) return undefined
  if (isWhole) return plainTextType(start, start, true)
  const middle = file.size > middleOfTextBytes ? await sample(Math.floor(file.size / 2)) : ''
  if (middle === undefined) return undefined
  const end = await sample(Math.max(head.length, file.size - textSampleBytes))
  return end === undefined ? undefined : plainTextType(start, end, false)

  async function sample(position: number): Promise<string | undefined> {
    // Characters of UTF-16 begin at even positions.
    const at = position - (position % 2)
    const bytes = await file.read(at, textSampleBytes + (position % 2))
    if (bytes.length === 0) return undefined
    return decodeText(bytes, encoding, { cutStart: true, cutEnd: at + bytes.length < file.size })
  }
}
