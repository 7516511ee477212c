import { GetObjectCommand, NoSuchKey, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { Owner } from '../uploads/owner.ts'
import { Arrival, Findings, type Upload, UploadError, UploadIntent, Variant } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { UploadId } from '../uploads/upload-id.ts'
import { manifestKey } from './object-keys.ts'

/**
 * The commit point of an upload: once its manifest is in S3, the upload is finished. It says what was found,
 * what was made, by which recipe and out of which bytes, so that the record in Redis can be had back from it
 * and so that work that was done is not done again.
 */
export const Manifest = Type.Object({
  version: Type.Literal(1),
  id: UploadId,
  owner: Owner,
  outcome: Type.Union([Type.Literal('ready'), Type.Literal('rejected'), Type.Literal('failed')]),
  intent: UploadIntent,
  arrival: Arrival,
  recipe: Type.String({ description: 'of the preset and the renderer' }),
  findings: Findings,
  variants: Type.Array(Variant),
  error: Type.Optional(UploadError),
  createdAt: Type.String(),
  finishedAt: Type.String(),
})
export type Manifest = Static<typeof Manifest>

const manifest = Compile(Manifest)

/** The record that a manifest stands for. */
export function uploadFromManifest(found: Manifest): Upload {
  return {
    id: found.id,
    owner: found.owner,
    state: found.outcome,
    intent: found.intent,
    arrival: found.arrival,
    findings: found.findings,
    variants: found.variants,
    ...(found.error && { error: found.error }),
    createdAt: found.createdAt,
    updatedAt: found.finishedAt,
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
    /** @returns the manifest, or undefined where the upload is not finished */
    async read(address: UploadAddress): Promise<Manifest | undefined> {
      const text = await readObject(manifestKey(address))
      if (text === undefined) return undefined
      return manifest.Parse(JSON.parse(text))
    },

    /** Commits an upload's outcome. Written over an earlier one when the work is done again. */
    async write(made: Manifest): Promise<void> {
      await s3.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: manifestKey(made),
          Body: JSON.stringify(made),
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
