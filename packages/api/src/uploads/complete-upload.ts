import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { OpenMultipart, Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { MultipartUploads, Part } from './multipart-uploads.ts'

/** Makes one object of the parts that a client sent, and hands it on to the workers. */
export function createCompleteUpload(deps: {
  lookup: UploadLookup
  multipartUploads: MultipartUploads
  receiveUpload: ReceiveUpload
}) {
  const { lookup, multipartUploads, receiveUpload } = deps

  /**
   * Done again it changes nothing, so a client that lost the answer may simply repeat it.
   *
   * @param parts what the client believes to have sent
   * @throws AppError `upload_not_found`, `upload_not_multipart`, or `parts_mismatch` where S3 has other parts
   *   than the client says, or they do not make up the file that was announced
   */
  return async function completeUpload(
    address: UploadAddress,
    parts: { partNumber: number; etag: string }[],
  ): Promise<Upload> {
    const found = await lookup.find(address)
    if (!found) throw new AppError('upload_not_found')
    const { upload } = found
    if (upload.state !== 'awaiting') return upload
    if (!upload.multipart) throw new AppError('upload_not_multipart')
    const sent = await multipartUploads.list(address, upload.multipart)
    if (sent) {
      checkParts(upload.intent.size, upload.multipart, sent, parts)
      await multipartUploads.complete(address, upload.multipart, sent)
    }
    // Not open any more: somebody else completed it at this moment, or it was aborted and there is no object.
    const received = await receiveUpload(address)
    if (!received) throw new AppError('parts_mismatch', { message: 'S3 does not have these parts any more.' })
    return received.upload
  }
}

export type CompleteUpload = ReturnType<typeof createCompleteUpload>

function checkParts(
  size: number,
  { partSize, partCount }: OpenMultipart,
  sent: Part[],
  claimed: { partNumber: number; etag: string }[],
): void {
  const claimedEtags = new Map(claimed.map(({ partNumber, etag }) => [partNumber, etag.replaceAll('"', '')]))
  const sentByNumber = new Map(sent.map((part) => [part.partNumber, part]))
  const problems: string[] = []
  for (let partNumber = 1; partNumber <= partCount && problems.length < 10; partNumber++) {
    const part = sentByNumber.get(partNumber)
    const expected = partNumber < partCount ? partSize : size - partSize * (partCount - 1)
    if (!part) problems.push(`part ${partNumber} is missing`)
    else if (part.size !== expected)
      problems.push(`part ${partNumber} has ${part.size} bytes, not ${expected}`)
    else if (claimedEtags.get(partNumber) !== part.etag) problems.push(`part ${partNumber} has another etag`)
  }
  if (sent.length > partCount || claimedEtags.size !== partCount) {
    problems.push(
      `the file has ${partCount} parts; S3 has ${sent.length}, the request names ${claimedEtags.size}`,
    )
  }
  if (problems.length > 0) throw new AppError('parts_mismatch', { message: `${problems.join('; ')}.` })
}
