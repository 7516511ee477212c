import { AppError } from '@millrace/shared/service/app-error.ts'
import { UploadId } from '@millrace/shared/uploads/upload-id.ts'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import type { Api } from '../http/api.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { EraseOwnUpload } from '../uploads/erase-own-upload.ts'
import { Receipt } from '../uploads/erase-routes.ts'

/** What `POST /upload` has responded, as far as it names uploads. */
const Sent = Type.Object({ id: UploadId })
const Response = Compile(
  Type.Union([UploadId, Sent, Type.Object({ uploads: Type.Array(Sent, { minItems: 1 }) })]),
)

const Reverted = Type.Object(
  { receipts: Type.Array(Receipt, { description: 'in the order of the uploads' }) },
  { title: 'Reverted' },
)

/**
 * `DELETE /upload`: erases the uploads of a response of `POST /upload`, which is the body. FilePond sends back what it got when a
 * file is removed.
 */
export function revertRoutes(api: Api, deps: { owner: RequestOwner; eraseOwnUpload: EraseOwnUpload }): void {
  const { owner, eraseOwnUpload } = deps

  api.register(async (scope: Api) => {
    // Browsers send text as text/plain, whatever is in it.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, String(body)))

    scope.delete(
      '/upload',
      { config: { sendsNoFile: true }, schema: { response: { 200: Reverted } } },
      async (request) => {
        const ids = idsOf(request.body)
        const ownerId = await owner.find(request)
        const receipts = []
        for (const id of ids) receipts.push(await eraseOwnUpload(ownerId, id))
        return { receipts }
      },
    )
  })
}

/** @throws AppError `invalid_request` */
function idsOf(body: unknown): string[] {
  const text = String(body ?? '').trim()
  const value = /^["{]/.test(text) ? parseJson(text) : text
  if (!Response.Check(value)) {
    throw new AppError('invalid_request', {
      message: 'The body must be the id of an upload, or a response of POST /upload.',
    })
  }
  if (typeof value === 'string') return [value]
  return 'uploads' in value ? value.uploads.map(({ id }) => id) : [value.id]
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
