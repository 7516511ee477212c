import { ListPartsCommand, NoSuchUpload, type S3Client } from '@aws-sdk/client-s3'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { OpenMultipart, type Upload, UploadIntent } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { createJsonObjects } from './json-objects.ts'
import { announcementKey, originalKey } from './object-keys.ts'

/** What S3 itself does not know of an open multipart upload. Times in ISO 8601. */
const Announcement = Type.Object({
  version: Type.Literal(1),
  intent: UploadIntent,
  multipart: OpenMultipart,
  createdAt: Type.String(),
  expiresAt: Type.String(),
})

const announcementValidator = Compile(Announcement)

/** An awaiting upload whose parts the client sends to S3. */
export type AnnouncedParts = Upload & Required<Pick<Upload, 'multipart' | 'expiresAt'>>

/**
 * Stores the announcements of uploads in parts, which may take days: if Redis lost the record, the client can still list,
 * sign and complete its parts. Other ways to upload have no announcement. A form and a direct upload are short and are
 * repeated, and the record of a tus upload contains which of its parts failed their checksum.
 *
 * Cost: one PUT for each file in parts, 0.005 USD for 1,000 (S3 Standard, us-east-1, 2026; AWS charges nothing for the
 * deletion). It is one request more than the two, and one for each part, that such a file takes anyway. A lookup that
 * finds neither record, manifest nor original takes a GET more (0.0004 USD for 1,000).
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createAnnouncements({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const objects = createJsonObjects({ s3, bucket }, announcementValidator)

  /** @throws AppError `unreadable_record` if another version wrote the announcement in another form */
  async function read(address: UploadAddress): Promise<AnnouncedParts | undefined> {
    const announced = await objects.read(announcementKey(address))
    if (!announced) return undefined
    const { intent, multipart, createdAt, expiresAt } = announced
    return {
      id: address.id,
      owner: address.owner,
      state: 'awaiting',
      intent,
      multipart,
      findings: {},
      variants: [],
      createdAt,
      updatedAt: createdAt,
      expiresAt,
    }
  }

  return {
    /** Stores what the record of an awaiting upload contains. */
    async write(upload: AnnouncedParts): Promise<void> {
      const { intent, multipart, createdAt, expiresAt } = upload
      await objects.write(announcementKey(upload), { version: 1, intent, multipart, createdAt, expiresAt })
    },

    /**
     * Reads an announcement. Its upload may be complete or expired meanwhile.
     * @returns the awaiting upload, or undefined if there is no announcement
     * @throws AppError `unreadable_record` if another version wrote the announcement in another form
     */
    read,

    /** Whether the multipart upload of an announcement is still open, neither completed nor aborted. */
    async isOpen(announced: AnnouncedParts): Promise<boolean> {
      try {
        await s3.send(
          new ListPartsCommand({
            Bucket: bucket,
            Key: originalKey(announced),
            UploadId: announced.multipart.uploadId,
            MaxParts: 1,
          }),
        )
        return true
      } catch (error) {
        if (error instanceof NoSuchUpload) return false
        throw error
      }
    },

    /**
     * Deletes an announcement, if there is one. In a versioned bucket, the version stays until the lifecycle rule of
     * `unfinished/` deletes it; erasing the upload deletes it at once.
     */
    async delete(address: UploadAddress): Promise<void> {
      await objects.delete(announcementKey(address))
    },
  }
}

export type Announcements = ReturnType<typeof createAnnouncements>
