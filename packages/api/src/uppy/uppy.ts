import type { Announcing } from '../announcing/announcing.ts'
import type { Api } from '../http/api.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { Signing } from '../signing/signing.ts'
import type { Uploads } from '../uploads/uploads.ts'
import { uppyRoutes } from './uppy-routes.ts'

/** Adds the routes that Uppy's S3 plugin calls, in their own Fastify scope. */
export function registerUppy(
  scope: Api,
  deps: {
    announcing: Pick<Announcing, 'admitUpload' | 'multipartUploads' | 'completeUpload'>
    uploads: Pick<Uploads, 'findOwnUpload' | 'eraseUpload'>
    signing: Pick<Signing, 'signForm' | 'signatureLifeMs'>
    owner: RequestOwner
    config: { publicOrigin: string; publicPath: string }
  },
): void {
  const { announcing, uploads, signing, owner, config } = deps
  scope.register(async (uppyScope: Api) =>
    uppyRoutes(uppyScope, {
      ...announcing,
      ...uploads,
      owner,
      signForm: signing.signForm,
      signatureLifeMs: signing.signatureLifeMs,
      publicUrl: `${config.publicOrigin}${config.publicPath}`,
    }),
  )
}
