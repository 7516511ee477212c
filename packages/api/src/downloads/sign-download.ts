import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Originals } from '@millrace/shared/ledger/originals.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { create as createContentDisposition } from 'content-disposition'
import type { CdnSigner } from '../signing/sign-cdn-url.ts'
import type { UrlSigner } from '../signing/sign-url.ts'
import { servedType } from './served-type.ts'

/** URLs that are signed in the same window are identical, so that browsers can use their cache. */
const windowMs = 5 * 60 * 1000
/** Seconds from the start of the window: a URL is valid for 10 to 15 minutes after it was returned. */
const lifeSeconds = 15 * 60
/** How long a redirect may be cached, in seconds. It is shorter than its URL is valid. */
export const redirectLifeSeconds = 5 * 60

/**
 * Creates a signer of downloads. Only uploads in state `ready` can be downloaded, so no byte is served before
 * inspection passed.
 *
 * @param deps.cdn signs URLs of variants, if CloudFront delivers them. CloudFront cannot read originals
 */
export function createDownloadSigner(deps: {
  signer: UrlSigner
  originals: Originals
  cdn?: CdnSigner | undefined
}) {
  const { signer, originals, cdn } = deps

  return {
    /**
     * Returns a URL of a variant.
     *
     * @param options.byScript whether a script of a page of another origin reads it
     * @throws AppError `upload_not_ready`, `variant_not_found`
     */
    async variant(upload: Upload, name: string, options: { byScript?: boolean } = {}): Promise<string> {
      if (upload.state !== 'ready') throw new AppError('upload_not_ready')
      const variant = upload.variants.find((candidate) => candidate.name === name)
      if (!variant) throw new AppError('variant_not_found')
      // Reprocessing overwrites a variant under the same key, and CloudFront keeps what it has for a year.
      const version = variant.sha256?.slice(0, 16)
      const query = queryOf(options)
      if (!cdn) return sign(variant.key, query)
      return cdn.sign(variant.key, expiresAt(), { ...(version !== undefined && { v: version }), ...query })
    },

    /**
     * Returns a URL that downloads the original under its filename. Browsers never show it as a page of the
     * bucket.
     *
     * The URL serves exactly the inspected bytes. In a versioned bucket it names their version. Otherwise it
     * is only signed while S3 still has the same bytes, because the upload form can replace them until it
     * expires.
     *
     * @param options.byScript as for variants
     * @throws AppError `upload_not_ready`
     */
    async original(upload: Upload, options: { byScript?: boolean } = {}): Promise<string> {
      const { arrival, intent, findings } = upload
      if (upload.state !== 'ready' || !arrival) throw new AppError('upload_not_ready')
      if (!arrival.versionId) {
        const present = await originals.find(upload)
        if (present?.arrival.etag !== arrival.etag) throw new AppError('upload_not_ready')
      }
      return sign(originalKey(upload), {
        ...queryOf(options),
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

/**
 * Browsers keep S3's response to an `<img>`, which has no CORS headers, and would use it for a script as well, which then
 * could not read it. So scripts get another URL. S3 ignores the parameter (S3 User Guide, "Logging requests": custom
 * access log information begins with `x-`).
 */
function queryOf({ byScript = false }: { byScript?: boolean }): Record<string, string> {
  return byScript ? { 'x-read-by': 'script' } : {}
}

export type DownloadSigner = ReturnType<typeof createDownloadSigner>
