import { promisify } from 'node:util'
import { inflateRaw } from 'node:zlib'
import type { BoundedFile } from './bounded-file.ts'

const inflate = promisify(inflateRaw)

/** The comment at the end of a ZIP file has at most 65,535 bytes. Most have none. */
const tailBytes = [4 * 1024, 22 + 65_535]
const maxDirectoryBytes = 512 * 1024
const maxEntryBytes = 128 * 1024
const maxInflatedBytes = 512 * 1024
/** Each chunk is a trip to the thread pool. The default is 16 KiB. */
const inflateChunkBytes = 64 * 1024
const endSignature = Buffer.from('PK\x05\x06', 'latin1')

/** A file in a ZIP file: how it is compressed (0: stored, 8: deflated), its bytes, and where its local header starts. */
type Entry = { method: number; compressedBytes: number; headerAt: number }

/** Types whose names in documents differ from the names in use. The names in documents are in lower case here. */
const officialNames = new Map([
  ['application/vnd.ms-package.3dmanufacturing-3dmodel+xml', 'model/3mf'],
  ['application/vnd.ms-visio.drawing', 'application/vnd.visio'],
  [
    'application/vnd.ms-word.template.macroenabledtemplate',
    'application/vnd.ms-word.template.macroenabled.12',
  ],
])
/** What an OpenDocument or EPUB file may say in its entry `mimetype`. Others are not believed. */
const mimetypeEntry =
  /^(application\/(epub\+zip|vnd\.oasis\.opendocument\.[a-z-]{1,40}|vnd\.sun\.xml\.[a-z.]{1,40})|image\/openraster)$/

/**
 * Returns the type of a file in a ZIP container, whatever the order of its entries: Office Open XML by the content type of
 * its main part, OpenDocument and EPUB by their entry `mimetype`, Java archives and Android packages by entries that they
 * must have. All entries are listed at the end of the file (APPNOTE.TXT, 4.3).
 *
 * @param head the first bytes
 * @returns `application/zip` if it is none of these; undefined if the list of entries cannot be read
 */
export async function zipType(head: Buffer, file: BoundedFile): Promise<string | undefined> {
  const first = readFirstEntry(head)
  if (first) {
    // These two are mostly the first entry. Then the head is enough.
    if (first.name === 'mimetype') return typeOfMimetype(first.data)
    const type = typeOfContentTypes(await inflated(first.method, first.data))
    if (type) return type
  }
  const entries = await readEntries(file)
  if (!entries) return undefined
  const contentTypes = entries.get('[Content_Types].xml')
  if (contentTypes) {
    const type = typeOfContentTypes(await readEntry(file, contentTypes))
    if (type) return type
  }
  const mimetype = entries.get('mimetype')
  if (mimetype) return typeOfMimetype(await readEntry(file, mimetype))
  return typeOfNames([...entries.keys()]) ?? 'application/zip'
}

function typeOfMimetype(data: Buffer | undefined): string {
  const name = data?.toString('latin1').trim()
  return name !== undefined && mimetypeEntry.test(name) ? name : 'application/zip'
}

/**
 * Office Open XML (ECMA-376, part 2, 10.1.2): the main part of a document has a content type that ends in `.main+xml`, of
 * a binary workbook in `.main`.
 */
function typeOfContentTypes(data: Buffer | undefined): string | undefined {
  const xml = data?.toString('utf8')
  const main =
    xml?.match(/ContentType\s*=\s*["']([a-z0-9./+-]{1,120})\.main(?:\+xml)?["']/i) ??
    xml?.match(/ContentType\s*=\s*["'](application\/vnd\.ms-package\.3dmanufacturing-3dmodel\+xml)["']/i)
  const name = main?.[1]?.toLowerCase()
  if (name === undefined || !name.startsWith('application/vnd.')) return undefined
  return officialNames.get(name) ?? (name.endsWith('.macroenabled') ? `${name}.12` : name)
}

function typeOfNames(names: string[]): string | undefined {
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name))
  if (has(/^AndroidManifest\.xml$/)) return 'application/vnd.android.package-archive'
  if (has(/^META-INF\/mozilla\.rsa$/)) return 'application/x-xpinstall'
  if (has(/^META-INF\/MANIFEST\.MF$/)) return 'application/java-archive'
  if (has(/^Index\/Document\.iwa$/)) {
    if (has(/^Index\/MasterSlide/)) return 'application/vnd.apple.keynote'
    return has(/^Index\/Tables\//) ? 'application/vnd.apple.numbers' : 'application/vnd.apple.pages'
  }
  return undefined
}

/** The first entry, if it is one that names the type and all of it is in the head. */
function readFirstEntry(head: Buffer): { name: string; method: number; data: Buffer } | undefined {
  const header = readLocalHeader(head)
  if (!header) return undefined
  const name = head.toString('latin1', 30, header.nameEnd)
  if (name !== 'mimetype' && name !== '[Content_Types].xml') return undefined
  // If the size is unknown, it follows the data, and is zero here.
  const end = header.dataStart + head.readUInt32LE(18)
  if (end === header.dataStart || end > head.length) return undefined
  return { name, method: head.readUInt16LE(8), data: head.subarray(header.dataStart, end) }
}

/** APPNOTE.TXT, 4.3.7. */
function readLocalHeader(bytes: Buffer): { nameEnd: number; dataStart: number } | undefined {
  if (bytes.length < 30 || bytes.readUInt32BE(0) !== 0x504b0304) return undefined
  const nameEnd = 30 + bytes.readUInt16LE(26)
  return { nameEnd, dataStart: nameEnd + bytes.readUInt16LE(28) }
}

async function readEntry(file: BoundedFile, entry: Entry): Promise<Buffer | undefined> {
  if (entry.compressedBytes > maxEntryBytes) return undefined
  const header = readLocalHeader(await file.read(entry.headerAt, 30 + entry.compressedBytes + 512))
  if (!header) return undefined
  const data = await file.read(entry.headerAt + header.dataStart, entry.compressedBytes)
  return data.length === entry.compressedBytes ? inflated(entry.method, data) : undefined
}

async function inflated(method: number, data: Buffer): Promise<Buffer | undefined> {
  if (method === 0) return data
  if (method !== 8) return undefined
  try {
    return await inflate(data, { maxOutputLength: maxInflatedBytes, chunkSize: inflateChunkBytes })
  } catch {
    return undefined
  }
}

/** Reads the list of entries, by name. */
async function readEntries(file: BoundedFile): Promise<Map<string, Entry> | undefined> {
  for (const length of tailBytes) {
    const tailAt = Math.max(0, file.size - length)
    const tail = await file.read(tailAt, length)
    const endAt = tail.lastIndexOf(endSignature)
    if (endAt >= 0 && endAt + 22 <= tail.length) return readDirectory(file, tailAt + endAt, tail, endAt)
  }
  return undefined
}

/** @param end the record at the end (APPNOTE.TXT, 4.3.16), which says where the list is */
async function readDirectory(file: BoundedFile, endInFile: number, tail: Buffer, endAt: number) {
  let bytes = tail.readUInt32LE(endAt + 12)
  let at = tail.readUInt32LE(endAt + 16)
  if (at === 0xffffffff || bytes === 0xffffffff) {
    // ZIP64 (4.3.14, 4.3.15): a locator of 20 bytes before the end says where a longer record is.
    const locator = await file.read(endInFile - 20, 20)
    if (locator.length < 20 || locator.readUInt32BE(0) !== 0x504b0607) return undefined
    const record = await file.read(Number(locator.readBigUInt64LE(8)), 56)
    if (record.length < 56 || record.readUInt32BE(0) !== 0x504b0606) return undefined
    bytes = Number(record.readBigUInt64LE(40))
    at = Number(record.readBigUInt64LE(48))
  }
  const directory = await file.read(at, Math.min(bytes, maxDirectoryBytes))
  if (bytes > 0 && directory.length === 0) return undefined
  const entries = new Map<string, Entry>()
  // 4.3.12: 46 bytes, then the name, extra fields and a comment.
  for (let i = 0; i + 46 <= directory.length && directory.readUInt32BE(i) === 0x504b0102; ) {
    const nameEnd = i + 46 + directory.readUInt16LE(i + 28)
    // Of two entries with one name the first counts, as for most readers.
    const name = directory.toString('latin1', i + 46, nameEnd)
    if (!entries.has(name)) {
      entries.set(name, {
        method: directory.readUInt16LE(i + 10),
        compressedBytes: directory.readUInt32LE(i + 20),
        headerAt: directory.readUInt32LE(i + 42),
      })
    }
    i = nameEnd + directory.readUInt16LE(i + 30) + directory.readUInt16LE(i + 32)
  }
  return entries
}
