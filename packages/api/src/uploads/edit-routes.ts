import { intentFields } from '@millrace/shared/uploads/intent-fields.ts'
import { UploadMetadata } from '@millrace/shared/uploads/upload.ts'
import Type from 'typebox'
import { stampedNames } from '../credentials/stamped-metadata.ts'
import type { Api } from '../http/api.ts'
import type { EditUpload } from './edit-upload.ts'
import { type FindOwnUpload, UploadParams } from './find-own-upload.ts'
import { UploadView, type ViewUpload } from './upload-view.ts'

const [namePattern = ''] = Object.keys(UploadMetadata.patternProperties)

const EditRequest = Type.Object(
  {
    filename: Type.Optional(intentFields.filename),
    metadata: Type.Optional(
      Type.Record(
        Type.String({ pattern: namePattern }),
        Type.Union([Type.String({ maxLength: 256 }), Type.Null()]),
        {
          additionalProperties: false,
          description: 'fields to set; `null` deletes a field, and fields that are not named stay',
        },
      ),
    ),
  },
  { title: 'EditRequest', additionalProperties: false },
)

/** `PATCH /uploads/{id}`: changes filename and metadata of an upload in any state. */
export function editRoutes(
  api: Api,
  deps: { findOwnUpload: FindOwnUpload; editUpload: EditUpload; viewUpload: ViewUpload },
): void {
  const { findOwnUpload, editUpload, viewUpload } = deps

  api.patch(
    '/uploads/:id',
    {
      config: { sendsNoFile: true },
      schema: { params: UploadParams, body: EditRequest, response: { 200: UploadView } },
    },
    async (request) => {
      const { upload } = await findOwnUpload(request, request.params.id)
      const fixed = stampedNames(request.caller, upload.intent)
      return viewUpload(await editUpload(upload, request.body, fixed), request.caller?.user)
    },
  )
}
