import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Originals } from '@millrace/shared/ledger/originals.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { create as createContentDisposition } from 'content-disposition'
import type { CdnSigner } from '../signing/sign-cdn-url.ts'
import type { SignedUrl, UrlSigner } from '../signing/sign-url.ts'
import { servedType } from './served-type.ts'

/** URLs that are signed in the same window are identical, so that browsers can use their cache. */
const windowMs = 5 * 60 * 1000
/**
 * Seconds from the start of the window: a URL is valid for 10 to 15 minutes after it was returned, unless its credentials end
 * earlier.
 */
const lifeSeconds = 15 * 60
/**
 * What S3 answers with a variant. A shared cache that looks into TLS must not keep what its URL may no longer be used for. The
 * object's own header allows it, for CloudFront, which checks the signature of each request.
 */
const s3CacheControl = 'private, max-age=31536000, immutable'

/** Who reads a file, and how. */
export type Reader = {
  /** Whether a script of a page of another origin reads it. */
  byScript?: boolean
  /** A signature of S3 includes the method. Default: GET. URLs of CloudFront are for both. */
  method?: 'GET' | 'HEAD'
}

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
     * @throws AppError `upload_not_ready`, `variant_not_found`
     */
    async variant(upload: Upload, name: string, reader: Reader = {}): Promise<SignedUrl> {
      if (upload.state !== 'ready') throw new AppError('upload_not_ready')
      const variant = upload.variants.find((candidate) => candidate.name === name)
      if (!variant) throw new AppError('variant_not_found')
      const query = queryOf(reader)
      if (!cdn) return sign(variant.key, { ...query, 'response-cache-control': s3CacheControl }, reader)
      const endsAt = expiresAt()
      return { url: cdn.sign(variant.key, endsAt, query), expiresAt: endsAt }
    },

    /**
     * Returns a URL that downloads the original under its filename. Browsers never show it as a page of the
     * bucket.
     *
     * The URL serves exactly the inspected bytes. In a versioned bucket it names their version. Otherwise it
     * is only signed while S3 still has the same bytes, because the upload form can replace them until it
     * expires.
     *
     * @throws AppError `upload_not_ready`
     */
    async original(upload: Upload, reader: Reader = {}): Promise<SignedUrl> {
      const { arrival, intent, findings } = upload
      if (upload.state !== 'ready' || !arrival) throw new AppError('upload_not_ready')
      if (!arrival.versionId) {
        const present = await originals.find(upload)
        if (present?.arrival.etag !== arrival.etag) throw new AppError('upload_not_ready')
      }
      const query = {
        ...queryOf(reader),
        ...(arrival.versionId && { versionId: arrival.versionId }),
        'response-content-disposition': createContentDisposition(intent.filename),
        'response-content-type': servedType(findings.detectedType),
      }
      return sign(originalKey(upload), query, reader)
    },
  }

  async function sign(
    key: string,
    query: Record<string, string>,
    { method = 'GET' }: Reader,
  ): Promise<SignedUrl> {
    return signer.sign({ method, key, query, expiresInSeconds: lifeSeconds, signedAt: signedAt() })
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
function queryOf({ byScript = false }: Reader): Record<string, string> {
  return byScript ? { 'x-read-by': 'script' } : {}
}

export type DownloadSigner = ReturnType<typeof createDownloadSigner>
