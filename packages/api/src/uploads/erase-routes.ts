import type { EraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import type { IsErased } from '@millrace/shared/lifecycle/is-erased.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { isUnreadable } from '@millrace/shared/service/stored-json.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { isUploadId } from '@millrace/shared/uploads/upload-id.ts'
import Type from 'typebox'
import type { Api } from '../http/api.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import { UploadParams } from './find-own-upload.ts'

export const Receipt = Type.Object(
  {
    id: Type.String({ description: 'UUIDv7' }),
    erased: Type.Array(
      Type.Object({
        key: Type.String({ description: 'object key in S3' }),
        versions: Type.Integer({ description: 'number of erased versions of this object' }),
      }),
    ),
    verifiedAt: Type.String({ description: 'ISO 8601; when a listing of the bucket verified the erasure' }),
  },
  { title: 'Receipt' },
)

/** `DELETE /uploads/{id}`: erases an upload with its variants and its manifest. */
export function eraseRoutes(
  api: Api,
  deps: { owner: RequestOwner; lookup: UploadLookup; isErased: IsErased; eraseUpload: EraseUpload },
): void {
  const { owner, lookup, isErased, eraseUpload } = deps

  api.delete(
    '/uploads/:id',
    {
      config: { sendsNoFile: true },
      schema: { params: UploadParams, response: { 200: Receipt } },
    },
    async (request) => {
      const { id } = request.params
      const ownerId = isUploadId(id) ? await owner.find(request) : undefined
      if (!ownerId) throw new AppError('upload_not_found')
      const address = { owner: ownerId, id }
      // An erased upload may be erased again, to finish an interrupted erasure or to get a receipt.
      const exists = (await isFound(address)) || (await isErased(address))
      if (!exists) throw new AppError('upload_not_found')
      return eraseUpload(address)
    },
  )

  /** Whether the upload exists, also in a form that only another version can read. */
  async function isFound(address: UploadAddress): Promise<boolean> {
    try {
      return (await lookup.find(address)) !== undefined
    } catch (error) {
      if (isUnreadable(error)) return true
      throw error
    }
  }
}
