import { GetObjectCommand, NoSuchKey, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { Owner } from '../uploads/owner.ts'
import { Arrival, Findings, type Upload, UploadError, UploadIntent, Variant } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { UploadId } from '../uploads/upload-id.ts'
import { manifestKey } from './object-keys.ts'

/**
 * The commit point of an upload: once its manifest is in S3, the upload is finished. The manifest contains
 * the findings, the variants, the recipe version and the arrival. So the record in Redis can be rebuilt from
 * it, and finished work is not repeated.
 */
export const Manifest = Type.Object({
  version: Type.Literal(1),
  id: UploadId,
  owner: Owner,
  outcome: Type.Union([Type.Literal('ready'), Type.Literal('rejected'), Type.Literal('failed')]),
  intent: UploadIntent,
  arrival: Arrival,
  recipe: Type.String({ description: 'version of the recipe: identifies the preset and the renderer' }),
  findings: Findings,
  variants: Type.Array(Variant),
  error: Type.Optional(UploadError),
  createdAt: Type.String(),
  finishedAt: Type.String(),
})
export type Manifest = Static<typeof Manifest>

const manifestValidator = Compile(Manifest)

/** Returns the record of a finished upload, rebuilt from its manifest. */
export function uploadFromManifest(manifest: Manifest): Upload {
  return {
    id: manifest.id,
    owner: manifest.owner,
    state: manifest.outcome,
    intent: manifest.intent,
    arrival: manifest.arrival,
    findings: manifest.findings,
    variants: manifest.variants,
    ...(manifest.error && { error: manifest.error }),
    createdAt: manifest.createdAt,
    updatedAt: manifest.finishedAt,
  }
}

/**
 * Reads and writes manifests.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createManifests({ s3, bucket }: { s3: S3Client; bucket: string }) {
  return {
    /** Reads a manifest. Returns undefined if the upload is not finished. */
    async read(address: UploadAddress): Promise<Manifest | undefined> {
      const text = await readObject(manifestKey(address))
      if (text === undefined) return undefined
      return manifestValidator.Parse(JSON.parse(text))
    },

    /** Commits an upload's outcome. Overwrites an earlier manifest if the work was repeated. */
    async write(manifest: Manifest): Promise<void> {
      await s3.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: manifestKey(manifest),
          Body: JSON.stringify(manifest),
          ContentType: 'application/json',
        }),
      )
    },
  }

  async function readObject(key: string): Promise<string | undefined> {
    try {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
      return await Body?.transformToString()
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined
      throw error
    }
  }
}

export type Manifests = ReturnType<typeof createManifests>
