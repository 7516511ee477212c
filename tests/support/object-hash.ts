import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3'

/** Returns the SHA-256 of an object's bytes, which are not collected. */
export async function sha256OfObject(
  s3: S3Client,
  object: { Bucket: string; Key: string | undefined },
): Promise<string> {
  const { Body } = await s3.send(new GetObjectCommand(object))
  if (!(Body instanceof Readable)) throw new Error('S3 sent no stream.')
  const hash = createHash('sha256')
  for await (const chunk of Body) hash.update(chunk)
  return hash.digest('hex')
}
