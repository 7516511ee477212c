import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createAllowedOrigins } from '@millrace/shared/network/allowed-origins.ts'
import type { Api } from '../http/api.ts'
import type { Signing } from '../signing/signing.ts'
import type { Uploads } from '../uploads/uploads.ts'
import { downloadRoutes } from './download-routes.ts'
import { createDownloadSigner } from './sign-download.ts'

/** Adds the redirects to signed URLs of originals and variants. */
export function registerDownloads(
  scope: Api,
  deps: {
    config: { allowedOrigins: string[]; publicOrigin: string }
    lifecycle: Pick<Lifecycle, 'originals'>
    uploads: Pick<Uploads, 'findOwnUpload'>
    signing: Pick<Signing, 'signer' | 'cdn'>
  },
): void {
  const { signer, cdn } = deps.signing
  const { originals } = deps.lifecycle
  downloadRoutes(scope, {
    findOwnUpload: deps.uploads.findOwnUpload,
    sameSitePages: createAllowedOrigins(deps.config).hasSameSite,
    signDownload: createDownloadSigner({ signer, originals, cdn }),
  })
}
