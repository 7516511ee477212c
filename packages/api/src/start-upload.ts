import { AppError } from '@millrace/shared/app-error.ts'
import {
  objectMetadataBytes,
  objectMetadataLimitBytes,
  toObjectMetadata,
} from '@millrace/shared/object-metadata.ts'
import type { Presets } from '@millrace/shared/preset.ts'
import type { UploadIntent } from '@millrace/shared/upload.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/upload-records.ts'
import { type MultipartUploads, multipartLifeMs, type PartUrl, partBatch } from './multipart-uploads.ts'
import { formLimitBytes } from './part-plan.ts'
import { type FormSigner, formLifeMs, type SignedForm } from './sign-form.ts'

/** How the client sends the bytes. */
export type Transport =
  | SignedForm
  | { kind: 'multipart'; partSize: number; partCount: number; parts: PartUrl[] }

/** An upload that was taken down. Its bytes are awaited until `expiresAt` (ISO 8601). */
export type StartedUpload = { id: string; state: 'awaiting'; expiresAt: string; transport: Transport }

/**
 * Takes an announced file down and says how to send it.
 *
 * @param deps.maxUploadBytes the largest file taken
 */
export function createStartUpload(deps: {
  records: UploadRecords
  presets: Presets
  signForm: FormSigner
  multipartUploads: MultipartUploads
  maxUploadBytes: number
}) {
  const { records, presets, signForm, multipartUploads, maxUploadBytes } = deps

  /**
   * The record is kept before anything is signed: bytes never arrive unannounced.
   *
   * @throws AppError `upload_too_large`, `preset_unknown`, or `invalid_request` where the notes are too long
   */
  return async function startUpload(owner: string, intent: UploadIntent): Promise<StartedUpload> {
    check(intent)
    const id = newUploadId()
    const address = { owner, id }
    const startedAtMs = uploadIdTimeMs(id)
    const inOneForm = intent.size <= formLimitBytes
    const multipart = inOneForm ? undefined : await multipartUploads.open(address, intent)
    const startedAt = new Date(startedAtMs).toISOString()
    const expiresAt = new Date(startedAtMs + (inOneForm ? formLifeMs : multipartLifeMs)).toISOString()
    await records.create({
      id,
      owner,
      state: 'awaiting',
      intent,
      ...(multipart && { multipart }),
      findings: {},
      variants: [],
      createdAt: startedAt,
      updatedAt: startedAt,
      expiresAt,
    })
    if (!multipart) return { id, state: 'awaiting', expiresAt, transport: await signForm(address, intent) }
    const { partSize, partCount } = multipart
    const firstParts = Array.from({ length: Math.min(partCount, partBatch) }, (_, index) => index + 1)
    const parts = await multipartUploads.sign(address, multipart, firstParts)
    return { id, state: 'awaiting', expiresAt, transport: { kind: 'multipart', partSize, partCount, parts } }
  }

  function check(intent: UploadIntent): void {
    if (intent.size > maxUploadBytes) {
      throw new AppError('upload_too_large', {
        message: `The file has ${intent.size} bytes; the limit is ${maxUploadBytes} bytes.`,
        limit: maxUploadBytes,
        fields: [{ field: 'size', message: `must be <= ${maxUploadBytes}` }],
      })
    }
    if (!presets.has(intent.preset)) {
      throw new AppError('preset_unknown', {
        message: `There is no preset "${intent.preset}". Known: ${[...presets.keys()].join(', ')}.`,
        fields: [{ field: 'preset', message: 'is not a known preset' }],
      })
    }
    if (objectMetadataBytes(toObjectMetadata(intent)) > objectMetadataLimitBytes) {
      throw new AppError('invalid_request', {
        message: `The file name and the metadata are too long: percent-encoded, S3 keeps ${objectMetadataLimitBytes} bytes of them with the file.`,
        fields: [{ field: 'metadata', message: 'is too long' }],
        limit: objectMetadataLimitBytes,
      })
    }
  }
}

export type StartUpload = ReturnType<typeof createStartUpload>
