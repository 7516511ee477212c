import { type Checksum, checksumElement, checksumOfParts } from '../bodies/checksums.ts'
import { S3Error } from '../protocol/s3-error.ts'
import { childElements, childText, parseXmlBody } from '../protocol/xml.ts'
import type { MultipartUpload, UploadedPart } from '../storage/multipart-upload-table.ts'

/** Every part but the last must have at least 5 MiB. */
const minPartBytes = 5 * 1024 * 1024
const maxParts = 10_000

/**
 * Reads the list of parts that a CompleteMultipartUpload names and holds it against the parts that were sent.
 *
 * @param xml the request's document
 * @param sent the upload's parts
 * @returns the named parts in order
 * @throws S3Error MalformedXML, InvalidPart, InvalidPartOrder, EntityTooSmall, InvalidRequest
 */
export function completedParts(
  xml: Buffer,
  upload: MultipartUpload,
  sent: readonly UploadedPart[],
): UploadedPart[] {
  const byNumber = new Map(sent.map((part) => [part.number, part]))
  const named = childElements(parseXmlBody(xml, 'CompleteMultipartUpload'), 'Part')
  if (named.length === 0 || named.length > maxParts) throw new S3Error('MalformedXML')
  const { algorithm, type } = upload.description.parts
  let previous = 0
  const parts = named.map((element) => {
    const numberText = childText(element, 'PartNumber') ?? ''
    const etag = childText(element, 'ETag')?.trim().replaceAll('"', '')
    if (!/^\d{1,5}$/.test(numberText) || etag === undefined) throw new S3Error('MalformedXML')
    const number = Number(numberText)
    if (number <= previous) throw new S3Error('InvalidPartOrder', undefined, { UploadId: upload.id })
    previous = number
    const part = byNumber.get(number)
    const invalid = new S3Error('InvalidPart', undefined, {
      UploadId: upload.id,
      PartNumber: numberText,
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
    if (
      algorithm !== undefined &&
      type === 'COMPOSITE' &&
      childText(element, checksumElement(algorithm)) === undefined
    ) {
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
 * The checksum of the completed object, held against what the client states.
 *
 * @param stated the request's `x-amz-checksum-<algorithm>`, base64, a composite one with or without `-<parts>`
 * @param statedType the request's `x-amz-checksum-type`
 * @returns `undefined` for an upload that was created without an algorithm
 * @throws S3Error InvalidRequest, BadDigest
 */
export async function objectChecksum(
  upload: MultipartUpload,
  parts: readonly UploadedPart[],
  stated: string | undefined,
  statedType: string | undefined,
): Promise<Checksum | undefined> {
  const { algorithm, type } = upload.description.parts
  if (statedType !== undefined && statedType !== type) {
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
  if (stated !== undefined && stated !== value && stated !== value.replace(/-\d+$/, '')) {
    throw new S3Error('BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`)
  }
  return { algorithm, type, value }
}
