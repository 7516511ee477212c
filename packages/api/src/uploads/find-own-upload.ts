import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { isUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { StoredUpload } from '@millrace/shared/uploads/upload-records.ts'
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { RequestOwner } from '../identity/request-owner.ts'

/** The id in a path. Whatever is not an id names no upload: 404, like an unknown one. */
export const UploadParams = Type.Object({ id: Type.String({ description: 'UUIDv7' }) })

/** Finds the upload that a request is about, among those of who is asking. */
export function createFindOwnUpload(deps: { owner: RequestOwner; lookup: UploadLookup }) {
  const { owner, lookup } = deps

  /** @throws AppError `upload_not_found`, also where the upload is somebody else's */
  return async function findOwnUpload(request: FastifyRequest, id: string): Promise<StoredUpload> {
    const asking = isUploadId(id) ? await owner.find(request) : undefined
    const found = asking && (await lookup.find({ owner: asking, id }))
    if (!found) throw new AppError('upload_not_found')
    return found
  }
}

export type FindOwnUpload = ReturnType<typeof createFindOwnUpload>
