import { createHash } from 'node:crypto'
import { type Checksum, checksumElement, checksumOfParts } from '../bodies/checksums.ts'
import { S3Error } from '../protocol/s3-error.ts'
import { childElements, childText, parseXmlBody, type XmlElement } from '../protocol/xml.ts'
import type { MultipartUpload, UploadedPart } from '../storage/multipart-upload-table.ts'

/** Smallest size of a part, except for the last one (bytes). */
const minPartBytes = 5 * 1024 * 1024
const maxParts = 10_000

/**
 * Reads the list of parts of a CompleteMultipartUpload and checks it against the uploaded parts.
 *
 * @param xml the request's document
 * @param uploaded the upload's parts
 * @returns the listed parts in order
 * @throws S3Error MalformedXML, InvalidPart, InvalidPartOrder, EntityTooSmall, InvalidRequest
 */
export function completedParts(
  xml: Buffer,
  upload: MultipartUpload,
  uploaded: readonly UploadedPart[],
): UploadedPart[] {
  const byNumber = new Map(uploaded.map((part) => [part.number, part]))
  const listed = listedParts(xml)
  const { algorithm, type } = upload.description.parts
  const isComposite = algorithm !== undefined && type === 'COMPOSITE'
  let previous = 0
  const parts = listed.map(({ element, number, etag }, index) => {
    // With composite checksums the numbers have no gaps (S3 API reference, "CompletedPart").
    if (number <= previous || (isComposite && number !== index + 1))
      throw new S3Error('InvalidPartOrder', undefined, { UploadId: upload.id })
    previous = number
    const part = byNumber.get(number)
    const invalid = new S3Error('InvalidPart', undefined, {
      UploadId: upload.id,
      PartNumber: String(number),
      ETag: etag,
    })
    if (part === undefined || part.etag !== etag) throw invalid
    for (const child of childElements(element)) {
      if (!child.name.startsWith('Checksum')) continue
      const matches =
        part.checksum !== undefined &&
        child.name === checksumElement(part.checksum.algorithm) &&
        child.text === part.checksum.value
      if (!matches) throw invalid
    }
    if (isComposite && childText(element, checksumElement(algorithm)) === undefined) {
      throw new S3Error(
        'InvalidRequest',
        `The upload was created using a ${algorithm} checksum. The complete request must include the checksum for each part. It was missing for part ${number} in the request.`,
      )
    }
    return part
  })
  for (const part of parts.slice(0, -1)) {
    if (part.size < minPartBytes) {
      throw new S3Error('EntityTooSmall', undefined, {
        ProposedSize: String(part.size),
        MinSizeAllowed: String(minPartBytes),
        PartNumber: String(part.number),
        ETag: part.etag,
      })
    }
  }
  return parts
}

/**
 * Reads the list of parts of a CompleteMultipartUpload.
 *
 * @returns etags without quotes
 * @throws S3Error MalformedXML
 */
function listedParts(xml: Buffer): { element: XmlElement; number: number; etag: string }[] {
  const elements = childElements(parseXmlBody(xml, 'CompleteMultipartUpload'), 'Part')
  if (elements.length === 0 || elements.length > maxParts) throw new S3Error('MalformedXML')
  return elements.map((element) => {
    const number = childText(element, 'PartNumber') ?? ''
    const etag = childText(element, 'ETag')?.trim().replaceAll('"', '')
    if (!/^\d{1,5}$/.test(number) || etag === undefined) throw new S3Error('MalformedXML')
    return { element, number: Number(number), etag }
  })
}

/**
 * Returns the etag of the object that a CompleteMultipartUpload asks for, without quotes.
 * @throws S3Error MalformedXML
 */
export function requestedEtag(xml: Buffer): string {
  const parts = listedParts(xml)
  const md5 = createHash('md5')
  // A client can send an etag that is not hex. `Buffer.from` cuts it off, `update` would throw.
  for (const { etag } of parts) md5.update(Buffer.from(etag, 'hex'))
  return `${md5.digest('hex')}-${parts.length}`
}

/**
 * Computes the checksum of the completed object and checks it against the client's.
 *
 * @param expected the request's `x-amz-checksum-<algorithm>`: base64; a composite one with or without `-<parts>`
 * @param expectedType the request's `x-amz-checksum-type`
 * @returns `undefined` if the upload was created without an algorithm
 * @throws S3Error InvalidRequest, BadDigest
 */
export async function objectChecksum(
  upload: MultipartUpload,
  parts: readonly UploadedPart[],
  expected: string | undefined,
  expectedType: string | undefined,
): Promise<Checksum | undefined> {
  const { algorithm, type } = upload.description.parts
  if (expectedType !== undefined && expectedType !== type) {
    throw new S3Error(
      'InvalidRequest',
      `The upload was created using the ${type} checksum mode. The complete request must use the same checksum mode.`,
    )
  }
  if (algorithm === undefined || type === undefined) return undefined
  const value = await checksumOfParts(
    algorithm,
    type,
    parts.map((part) => ({ value: part.checksum?.value ?? '', size: part.size })),
  )
  if (expected !== undefined && expected !== value && expected !== value.replace(/-\d+$/, '')) {
    throw new S3Error('BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`)
  }
  return { algorithm, type, value }
}
