import { createHash } from 'node:crypto'
import { GetObjectCommand, type S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { paginateMultipartUploads, paginateObjectVersions } from '@millrace/shared/ledger/pages.ts'
import sharp from 'sharp'
import { isObject } from './decent-client.ts'
import { inParallel } from './in-parallel.ts'

/** One version of an object. `versionId` and `etag` without quotes. */
export type StoredVersion = {
  key: string
  versionId: string
  etag: string
  size: number
  lastModifiedMs: number
  isLatest: boolean
}

/** What a manifest says, read without the product's schema: the check must understand what a later version writes. */
export type ManifestEvidence = {
  outcome: string
  code: string | undefined
  arrivalVersionId: string | undefined
  /** Identifies the bytes that the manifest describes. */
  arrivalEtag: string | undefined
  filename: string
  sha256: string | undefined
  variants: { name: string; key: string; width: number; height: number; size: number }[]
}

/** A variant in S3 as a decoder sees it. `problem`: it cannot be decoded. */
export type VariantEvidence = StoredVersion & { width: number; height: number; problem?: string }

/** Everything that S3 has of one upload. */
export type LedgerUpload = {
  id: string
  owner: string
  /** Versions of the original, newest first. */
  originals: StoredVersion[]
  /** The bytes that S3 serves as the original now, if any. */
  current: { version: StoredVersion; sha256: string; filename: string } | undefined
  /** Versions of the manifest, newest first. */
  manifests: { version: StoredVersion; content: ManifestEvidence }[]
  /** Current objects under the upload's prefix of variants, by key. */
  variants: Map<string, VariantEvidence>
  /** Its other keys with versions or delete markers, and open multipart uploads. */
  remains: string[]
  /** Whether S3 has an erasure marker. */
  isMarked: boolean
}

const objectsAtOnce = 16
/** The prefixes of what an erasure deletes. A later version may have other prefixes, which are not judged. */
const dataPrefixes = new Set(['originals', 'manifests', 'variants', 'unfinished'])
/** `erased/` today; `erasures/` in the design. */
const markerPrefixes = new Set(['erased', 'erasures'])

/**
 * Reads everything that S3 has of all uploads: it lists all versions, downloads originals and manifests, and decodes
 * variants. Variants with the same etag (the MD5 of their bytes) are decoded once.
 * @returns the uploads by id, and keys with a known prefix that belong to no upload
 */
export async function readLedger({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const uploads = new Map<string, LedgerUpload>()
  const unknownKeys: string[] = []
  const manifestVersions: { upload: LedgerUpload; version: StoredVersion }[] = []
  const variantVersions: { upload: LedgerUpload; version: StoredVersion }[] = []

  /** Returns the upload of a key: `{prefix}/{owner}/{id}`, then nothing, `.json` or more path. */
  const uploadOf = (key: string) => {
    const [prefix, owner, name = ''] = key.split('/')
    const id = name.replace(/\.json$/, '')
    if (owner === undefined || !/^[0-9a-f-]{36}$/.test(id)) return undefined
    const found: LedgerUpload = uploads.get(id) ?? {
      ...{ id, owner, originals: [], current: undefined, manifests: [], variants: new Map(), remains: [] },
      isMarked: false,
    }
    uploads.set(id, found)
    return { prefix: prefix ?? '', upload: found }
  }

  for await (const page of paginateObjectVersions({ client: s3 }, { Bucket: bucket, Prefix: '' })) {
    for (const {
      Key: key = '',
      VersionId = '',
      ETag = '',
      Size = 0,
      LastModified,
      IsLatest,
    } of page.Versions ?? []) {
      const found = uploadOf(key)
      if (!found) {
        if (dataPrefixes.has(key.split('/')[0] ?? '')) unknownKeys.push(key)
        continue
      }
      const { prefix, upload } = found
      const version: StoredVersion = {
        ...{ key, versionId: VersionId, etag: ETag.replaceAll('"', ''), size: Size },
        lastModifiedMs: LastModified?.getTime() ?? 0,
        isLatest: IsLatest === true,
      }
      if (prefix === 'originals') upload.originals.push(version)
      else if (prefix === 'manifests') manifestVersions.push({ upload, version })
      else if (prefix === 'variants' && version.isLatest) variantVersions.push({ upload, version })
      else if (markerPrefixes.has(prefix)) upload.isMarked = true
      else if (dataPrefixes.has(prefix)) upload.remains.push(key)
    }
    for (const { Key: key = '' } of page.DeleteMarkers ?? []) {
      const found = uploadOf(key)
      if (found && dataPrefixes.has(found.prefix)) found.upload.remains.push(`${key} (deleted)`)
    }
  }
  for await (const page of paginateMultipartUploads({ client: s3 }, { Bucket: bucket, Prefix: '' })) {
    for (const { Key: key = '' } of page.Uploads ?? []) uploadOf(key)?.upload.remains.push(`${key} (parts)`)
  }

  /** Downloads a version. @returns undefined if it was erased since it was listed */
  const get = async ({ key, versionId }: StoredVersion) => {
    const command = new GetObjectCommand({ Bucket: bucket, Key: key, VersionId: versionId })
    const object = await s3.send(command).catch(ignoreMissing)
    if (!object) return undefined
    if (!object.Body) throw new Error(`S3 sent ${key} without a body.`)
    return { bytes: Buffer.from(await object.Body.transformToByteArray()), metadata: object.Metadata ?? {} }
  }

  await inParallel(objectsAtOnce, uploads.values(), async (upload) => {
    const version = upload.originals.find(({ isLatest }) => isLatest)
    if (!version) return
    const object = await get(version)
    if (!object) return
    const { bytes, metadata } = object
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    upload.current = { version, sha256, filename: decodeURIComponent(metadata['filename'] ?? '') }
  })
  await inParallel(objectsAtOnce, manifestVersions, async ({ upload, version }) => {
    const object = await get(version)
    if (object) upload.manifests.push({ version, content: readManifest(JSON.parse(object.bytes.toString())) })
  })
  const decoded = new Map<string, Promise<Decoded | undefined>>()
  await inParallel(objectsAtOnce, variantVersions, async ({ upload, version }) => {
    const decoding =
      decoded.get(version.etag) ?? get(version).then((object) => object && decode(object.bytes))
    decoded.set(version.etag, decoding)
    const picture = await decoding
    if (picture) upload.variants.set(version.key, { ...version, ...picture })
  })
  for (const { manifests } of uploads.values()) {
    // Downloads end in any order.
    manifests.sort((a, b) => Number(b.version.isLatest) - Number(a.version.isLatest))
  }
  return { uploads, unknownKeys }
}

export type Ledger = Awaited<ReturnType<typeof readLedger>>

type Decoded = Pick<VariantEvidence, 'width' | 'height' | 'problem'>

async function decode(bytes: Buffer): Promise<Decoded> {
  try {
    const { info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true })
    return { width: info.width, height: info.height }
  } catch (error) {
    return { width: 0, height: 0, problem: error instanceof Error ? error.message : String(error) }
  }
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404) return undefined
  throw error
}

/** Reads the parts of a manifest that are judged. */
export function readManifest(value: unknown): ManifestEvidence {
  const manifest = objectOf(value)
  const code = objectOf(manifest['error'])['code']
  const { versionId, etag } = objectOf(manifest['arrival'])
  const sha256 = objectOf(manifest['findings'])['sha256']
  const variants = Array.isArray(manifest['variants']) ? manifest['variants'] : []
  return {
    outcome: String(manifest['outcome']),
    code: typeof code === 'string' ? code : undefined,
    arrivalVersionId: typeof versionId === 'string' ? versionId : undefined,
    arrivalEtag: typeof etag === 'string' ? etag : undefined,
    filename: String(objectOf(manifest['intent'])['filename']),
    sha256: typeof sha256 === 'string' ? sha256 : undefined,
    variants: variants.map(objectOf).map(({ name, key, width, height, size }) => ({
      name: String(name),
      key: String(key),
      width: Number(width),
      height: Number(height),
      size: Number(size),
    })),
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {}
}
