import type { EraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { isUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
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
        versions: Type.Integer({ description: 'number of erased versions' }),
      }),
    ),
    verifiedAt: Type.String({ description: 'ISO 8601; the time at which a listing found nothing left' }),
  },
  { title: 'Receipt' },
)

/** `DELETE /uploads/{id}`: erases an upload and all that was made of it. */
export function eraseRoutes(
  api: Api,
  deps: { owner: RequestOwner; lookup: UploadLookup; records: UploadRecords; eraseUpload: EraseUpload },
): void {
  const { owner, lookup, records, eraseUpload } = deps

  api.delete(
    '/uploads/:id',
    { schema: { params: UploadParams, response: { 200: Receipt } } },
    async (request) => {
      const { id } = request.params
      const asking = isUploadId(id) ? await owner.find(request) : undefined
      if (!asking) throw new AppError('upload_not_found')
      const address = { owner: asking, id }
      // One that was erased before may be erased again, to finish what broke off or to have a receipt.
      const isKnown = (await lookup.find(address)) || (await records.isErased(address))
      if (!isKnown) throw new AppError('upload_not_found')
      return eraseUpload(address)
    },
  )
}
