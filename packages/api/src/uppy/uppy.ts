import type { Api } from '../http/api.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { Signing } from '../signing/signing.ts'
import type { Uploads } from '../uploads/uploads.ts'
import { uppyRoutes } from './uppy-routes.ts'

/** Adds the routes that Uppy's S3 plugin calls, in their own Fastify scope. */
export function registerUppy(
  scope: Api,
  deps: {
    uploads: Pick<
      Uploads,
      'findOwnUpload' | 'admitUpload' | 'multipartUploads' | 'completeUpload' | 'eraseUpload'
    >
    signing: Pick<Signing, 'signForm' | 'signatureLifeMs'>
    owner: RequestOwner
    config: { publicOrigin: string; publicPath: string }
  },
): void {
  const { uploads, signing, owner, config } = deps
  scope.register(async (uppyScope: Api) =>
    uppyRoutes(uppyScope, {
      ...uploads,
      owner,
      signForm: signing.signForm,
      signatureLifeMs: signing.signatureLifeMs,
      publicUrl: `${config.publicOrigin}${config.publicPath}`,
    }),
  )
}
