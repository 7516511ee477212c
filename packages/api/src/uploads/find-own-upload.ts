import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { isUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { StoredUpload } from '@millrace/shared/uploads/upload-records.ts'
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { RequestOwner } from '../identity/request-owner.ts'

/** The id in a path. It is any string, because an invalid id is a 404 like an unknown one. */
export const UploadParams = Type.Object({ id: Type.String({ description: 'UUIDv7' }) })

/** Finds uploads of the owner who sent the request. */
export function createFindOwnUpload(deps: { owner: RequestOwner; lookup: UploadLookup }) {
  const { owner, lookup } = deps

  /** @throws AppError `upload_not_found`, also if the upload belongs to another owner */
  return async function findOwnUpload(request: FastifyRequest, id: string): Promise<StoredUpload> {
    const ownerId = isUploadId(id) ? await owner.find(request) : undefined
    const stored = ownerId && (await lookup.find({ owner: ownerId, id }))
    if (!stored) throw new AppError('upload_not_found')
    return stored
  }
}

export type FindOwnUpload = ReturnType<typeof createFindOwnUpload>
