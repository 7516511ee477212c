import type { BoundedFile } from './bounded-file.ts'

/**
 * Types by the class of the root entry, as its 16 bytes in hexadecimal. Office writes the class id's first three fields
 * in little-endian order.
 */
const typesByClass = new Map([
  [officeClass(0x00020900), 'application/msword'],
  [officeClass(0x00020906), 'application/msword'],
  [officeClass(0x00020810), 'application/vnd.ms-excel'],
  [officeClass(0x00020820), 'application/vnd.ms-excel'],
  ['108d81649b4fcf1186ea00aa00b929e8', 'application/vnd.ms-powerpoint'],
  [officeClass(0x00021a14), 'application/vnd.visio'],
  [officeClass(0x00021201), 'application/x-mspublisher'],
  [officeClass(0x000c1084), 'application/x-msi'],
  [officeClass(0x000c1086), 'application/x-msi'],
])

/** Types by the name of a stream or storage directly below the root. */
const typesByName = new Map([
  ['WordDocument', 'application/msword'],
  ['Workbook', 'application/vnd.ms-excel'],
  ['Book', 'application/vnd.ms-excel'],
  ['PowerPoint Document', 'application/vnd.ms-powerpoint'],
  ['VisioDocument', 'application/vnd.visio'],
  ['Quill', 'application/x-mspublisher'],
  ['__properties_version1.0', 'application/vnd.ms-outlook'],
])

const entryBytes = 128
const maxEntries = 256
/** Of the header's list of FAT sectors. Files with more have a second list, which is not followed. */
const maxFatSectors = 109

/**
 * Returns the type of a compound file ([MS-CFB], also OLE2 or "structured storage"): by its root's class, or by the names
 * directly below the root. A Word document may contain a whole workbook, so names further below do not count.
 *
 * @returns undefined if it is none of the known ones
 */
export async function compoundType(file: BoundedFile): Promise<string | undefined> {
  const header = await file.read(0, 512)
  if (header.length < 512) return undefined
  const sectorShift = header.readUInt16LE(30)
  if (sectorShift !== 9 && sectorShift !== 12) return undefined
  const sectorBytes = 2 ** sectorShift
  const sectors = [header.readUInt32LE(48)]

  const root = await readEntry(0)
  if (!root) return undefined
  const byClass = typesByClass.get(root.toString('hex', 80, 96))
  if (byClass) return byClass
  // The entries below the root are a binary tree of siblings.
  const queue = [root.readUInt32LE(76)]
  const seen = new Set<number>()
  for (const id of queue) {
    if (seen.has(id) || seen.size > maxEntries) continue
    seen.add(id)
    const entry = await readEntry(id)
    if (!entry) continue
    const type = typesByName.get(nameOf(entry))
    if (type) return type
    queue.push(entry.readUInt32LE(68), entry.readUInt32LE(72))
  }
  return undefined

  async function readEntry(id: number): Promise<Buffer | undefined> {
    const sector = await directorySector(Math.floor((id * entryBytes) / sectorBytes))
    if (sector === undefined) return undefined
    const entry = await file.read(offsetOf(sector) + ((id * entryBytes) % sectorBytes), entryBytes)
    return entry.length === entryBytes ? entry : undefined
  }

  /** Follows the directory's chain of sectors through the FAT ([MS-CFB], 2.3). */
  async function directorySector(index: number): Promise<number | undefined> {
    if (index >= (maxEntries * entryBytes) / 512) return undefined
    while (sectors.length <= index) {
      const last = sectors.at(-1) ?? 0
      const fatIndex = Math.floor(last / (sectorBytes / 4))
      if (fatIndex >= maxFatSectors) return undefined
      const fatSector = header.readUInt32LE(76 + fatIndex * 4)
      const next = await file.read(offsetOf(fatSector) + (last % (sectorBytes / 4)) * 4, 4)
      if (next.length < 4) return undefined
      sectors.push(next.readUInt32LE(0))
    }
    return sectors[index]
  }

  function offsetOf(sector: number): number {
    return (sector + 1) * sectorBytes
  }
}

/** [MS-CFB], 2.6.1: up to 32 UTF-16 characters, then their length in bytes with the final NUL. */
function nameOf(entry: Buffer): string {
  return entry.toString('utf16le', 0, Math.max(0, Math.min(64, entry.readUInt16LE(64)) - 2))
}

/** The class id {xxxxxxxx-0000-0000-C000-000000000046}. */
function officeClass(first: number): string {
  const bytes = Buffer.from('0000000000000000c000000000000046', 'hex')
  bytes.writeUInt32LE(first)
  return bytes.toString('hex')
}
