import type { Announcements } from '@millrace/shared/ledger/announcements.ts'
import { unquoted } from '@millrace/shared/ledger/originals.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { partBytes } from '@millrace/shared/parts/part-plan.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { OpenMultipart, Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { MultipartUploads, Part } from './multipart-uploads.ts'

/** How often a completion is tried if parts change meanwhile. */
const attempts = 2

/** Completes multipart uploads: makes one object of the parts that a client sent, and adds its job. */
export function createCompleteUpload(deps: {
  lookup: UploadLookup
  multipartUploads: MultipartUploads
  receiveUpload: ReceiveUpload
  announcements: Pick<Announcements, 'delete'>
}) {
  const { lookup, multipartUploads, receiveUpload, announcements } = deps

  /**
   * Completes an upload. A repeated call changes nothing, so a client that did not receive the response can
   * send the request again.
   *
   * @param claimedParts the parts that the client sent, by its own account
   * @throws AppError `upload_not_found`, `upload_not_multipart`, or `parts_mismatch` if the parts in S3 do
   *   not match the claimed parts or the announced file
   */
  return async function completeUpload(address: UploadAddress, claimedParts: ClaimedPart[]): Promise<Upload> {
    const found = await lookup.find(address)
    if (!found) throw new AppError('upload_not_found')
    const { upload } = found
    if (upload.state !== 'awaiting') return upload
    if (!upload.multipart) throw new AppError('upload_not_multipart')
    await completeParts(upload, upload.multipart, claimedParts)
    // If it was not open any more, another request has just completed it, or it was aborted and S3 has no
    // object.
    const received = await receiveUpload(address)
    if (!received)
      throw new AppError('parts_mismatch', { message: 'S3 has deleted the parts of this upload.' })
    // Not before: until here, a repeated request may need it. If it fails, the announcement expires.
    await announcements.delete(address).catch(() => undefined)
    return received.upload
  }

  /**
   * Completes the multipart upload, if it is still open. A client may overwrite a part between the listing and the
   * completion. Then the parts are listed and checked again, which names the part that differs.
   */
  async function completeParts(
    upload: Upload,
    multipart: OpenMultipart,
    claimedParts: ClaimedPart[],
  ): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const storedParts = await multipartUploads.list(upload, multipart)
      if (!storedParts) return
      checkParts(upload.intent.size, multipart, storedParts, claimedParts)
      if ((await multipartUploads.complete(upload, multipart, storedParts)) !== 'changed') return
    }
    throw new AppError('parts_mismatch', {
      message: 'Parts of this upload were overwritten while it was completed.',
    })
  }
}

export type CompleteUpload = ReturnType<typeof createCompleteUpload>

type ClaimedPart = { partNumber: number; etag: string }

/**
 * Compares the parts in S3 with the announced size and the claimed parts.
 *
 * @throws AppError `parts_mismatch` with the first 10 differences
 */
function checkParts(
  size: number,
  plan: OpenMultipart,
  storedParts: Part[],
  claimedParts: ClaimedPart[],
): void {
  const { partCount } = plan
  const claimedEtags = new Map(claimedParts.map(({ partNumber, etag }) => [partNumber, unquoted(etag)]))
  const storedByNumber = new Map(storedParts.map((part) => [part.partNumber, part]))
  const problems: string[] = []
  for (let partNumber = 1; partNumber <= partCount && problems.length < 10; partNumber++) {
    const part = storedByNumber.get(partNumber)
    const expectedSize = partBytes(plan, size, partNumber)
    if (!part) problems.push(`part ${partNumber} is missing`)
    else if (part.size !== expectedSize)
      problems.push(`part ${partNumber} has ${part.size} bytes, not ${expectedSize}`)
    else if (claimedEtags.get(partNumber) !== part.etag)
      problems.push(`part ${partNumber} has a different etag`)
  }
  if (storedParts.length > partCount || claimedEtags.size !== partCount) {
    problems.push(
      `the file has ${partCount} parts; S3 has ${storedParts.length}, the request lists ${claimedEtags.size}`,
    )
  }
  if (problems.length > 0) throw new AppError('parts_mismatch', { message: `${problems.join('; ')}.` })
}
