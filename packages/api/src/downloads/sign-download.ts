import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Originals } from '@millrace/shared/ledger/originals.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { create as createContentDisposition } from 'content-disposition'
import type { CdnSigner } from '../signing/sign-cdn-url.ts'
import type { UrlSigner } from '../signing/sign-url.ts'
import { servedType } from './served-type.ts'

/** URLs signed within the same window are the same, so that browsers find in their cache what they have. */
const windowMs = 5 * 60 * 1000
/** Seconds from the window's begin: a URL lives 10 to 15 minutes from when it is handed out. */
const lifeSeconds = 15 * 60
/** How long a redirect may be kept, in seconds: its URL lives longer. */
export const redirectLifeSeconds = 5 * 60

/**
 * Signs downloads. No byte is served before inspection has passed: only an upload that is `ready` has any.
 *
 * @param deps.cdn signs variants, where CloudFront delivers them; it can't read originals
 */
export function createDownloadSigner(deps: {
  signer: UrlSigner
  originals: Originals
  cdn?: CdnSigner | undefined
}) {
  const { signer, originals, cdn } = deps

  return {
    /**
     * @returns a URL of a variant
     * @throws AppError `upload_not_ready`, `variant_not_found`
     */
    async variant(upload: Upload, name: string): Promise<string> {
      if (upload.state !== 'ready') throw new AppError('upload_not_ready')
      const variant = upload.variants.find((candidate) => candidate.name === name)
      if (!variant) throw new AppError('variant_not_found')
      return cdn ? cdn.sign(variant.key, expiresAt()) : sign(variant.key, {})
    },

    /**
     * The very bytes that were inspected: by their version where the bucket keeps versions; otherwise only
     * while they are what S3 has, since the form that sent them could send others until it expires.
     *
     * @returns a URL that downloads the original under its name, never shows it as a page of the bucket
     * @throws AppError `upload_not_ready`
     */
    async original(upload: Upload): Promise<string> {
      const { arrival, intent, findings } = upload
      if (upload.state !== 'ready' || !arrival) throw new AppError('upload_not_ready')
      if (!arrival.versionId) {
        const present = await originals.find(upload)
        if (present?.arrival.etag !== arrival.etag) throw new AppError('upload_not_ready')
      }
      return sign(originalKey(upload), {
        ...(arrival.versionId && { versionId: arrival.versionId }),
        'response-content-disposition': createContentDisposition(intent.filename),
        'response-content-type': servedType(findings.detectedType),
      })
    },
  }

  function sign(key: string, query: Record<string, string>): Promise<string> {
    return signer.sign({ method: 'GET', key, query, expiresInSeconds: lifeSeconds, signedAt: signedAt() })
  }

  function signedAt(): Date {
    return new Date(Math.floor(Date.now() / windowMs) * windowMs)
  }

  function expiresAt(): Date {
    return new Date(signedAt().getTime() + lifeSeconds * 1000)
  }
}

export type DownloadSigner = ReturnType<typeof createDownloadSigner>
