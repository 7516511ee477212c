import Type from 'typebox'
import type { Api } from '../http/api.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { EraseOwnUpload } from './erase-own-upload.ts'
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
export function eraseRoutes(api: Api, deps: { owner: RequestOwner; eraseOwnUpload: EraseOwnUpload }): void {
  const { owner, eraseOwnUpload } = deps

  api.delete(
    '/uploads/:id',
    {
      config: { sendsNoFile: true },
      schema: { params: UploadParams, response: { 200: Receipt } },
    },
    async (request) => eraseOwnUpload(await owner.find(request), request.params.id),
  )
}
