import type { BodyDigests } from '../bodies/request-body.ts'
import type { ContentFiles } from '../storage/content-files.ts'
import type { NewObject, ObjectTable, ObjectVersion } from '../storage/object-table.ts'

/** Bytes to store. `digests` is called after the last chunk; it may reject bytes that do not match the request. */
export type ObjectSource = {
  chunks: AsyncIterable<Buffer>
  digests: () => BodyDigests | Promise<BodyDigests>
}

/**
 * Writes an object's bytes to a content file, then commits the object with its digests. After an error the file
 * is deleted.
 *
 * @param object `etag` replaces the MD5 of the bytes
 * @returns the committed version, and the MD5 in hex
 * @throws S3Error what the source and `commit` throw
 */
export async function writeObject(
  { objects, files }: { objects: ObjectTable; files: ContentFiles },
  source: ObjectSource,
  object: Omit<NewObject, 'content' | 'etag' | 'uploadId'> & { etag?: string | undefined },
): Promise<{ version: ObjectVersion; md5: string }> {
  const content = await files.write(source.chunks)
  try {
    const { md5, checksum } = await source.digests()
    const version = await objects.commit({
      ...object,
      etag: object.etag ?? md5,
      description: {
        ...object.description,
        ...(checksum === undefined ? {} : { checksum: { ...checksum, type: 'FULL_OBJECT' } }),
      },
      content: [content],
    })
    return { version, md5 }
  } catch (error) {
    await files.discard([content.contentId])
    throw error
  }
}
