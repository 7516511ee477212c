import { ListObjectsV2Command, paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { createJsonObjects } from '../ledger/json-objects.ts'
import {
  parseUserErasureKey,
  receiptKey,
  receiptsPrefix,
  userErasureKey,
  userErasuresPrefix,
} from '../ledger/object-keys.ts'
import { Owner } from '../uploads/owner.ts'
import { UploadId } from '../uploads/upload-id.ts'

/** The erasure of a user. It does not contain the user's id: that is erased as well. */
export const UserErasure = Type.Object({
  version: Type.Literal(1),
  id: Type.String({ description: 'UUIDv7' }),
  owner: Owner,
  startedAt: Type.String({ description: 'ISO 8601' }),
  finishedAt: Type.Optional(Type.String({ description: 'ISO 8601; absent while it runs' })),
  uploads: Type.Integer(),
  versions: Type.Integer(),
  bytes: Type.Integer(),
  countedUpTo: Type.Union([UploadId, Type.Literal('')], {
    description: 'the newest upload that the counts include',
  }),
})
export type UserErasure = Static<typeof UserErasure>

const userErasure = Compile(UserErasure)

/**
 * Stores the erasures of users in S3, running and finished ones, so that any instance can continue one.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createUserErasures({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const { read, write, delete: remove } = createJsonObjects({ s3, bucket }, userErasure)

  return {
    /** Returns the running erasure of a user. */
    running: (owner: string): Promise<UserErasure | undefined> => read(userErasureKey(owner)),

    /** Returns a finished erasure. */
    finished: (owner: string, id: string): Promise<UserErasure | undefined> => read(receiptKey(owner, id)),

    /** Returns the last finished erasure of a user. */
    async lastFinished(owner: string): Promise<UserErasure | undefined> {
      const pages = paginateListObjectsV2(
        { client: s3 },
        { Bucket: bucket, Prefix: `${receiptsPrefix}${owner}/` },
      )
      let last: string | undefined
      for await (const { Contents = [] } of pages) last = Contents.at(-1)?.Key ?? last
      return last === undefined ? undefined : read(last)
    },

    /** Records that an erasure runs, and what it has counted. */
    async save(erasure: UserErasure): Promise<void> {
      await write(userErasureKey(erasure.owner), erasure)
    },

    /** Records the receipt of an erasure, which runs no more. */
    async finish(erasure: UserErasure): Promise<void> {
      await write(receiptKey(erasure.owner, erasure.id), erasure)
      await remove(userErasureKey(erasure.owner))
    },

    /** Returns the owners whose erasure runs, or was interrupted; at most a thousand of them. */
    async allRunning(): Promise<string[]> {
      const { Contents = [] } = await s3.send(
        new ListObjectsV2Command({ Bucket: bucket, Prefix: userErasuresPrefix }),
      )
      return Contents.flatMap(({ Key = '' }) => parseUserErasureKey(Key) ?? [])
    },
  }
}

export type UserErasures = ReturnType<typeof createUserErasures>
