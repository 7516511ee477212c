import { readChecksumHeader } from '../bodies/checksums.ts'
import { readForm } from '../bodies/multipart-form.ts'
import { digestStream, maxPutBytes } from '../bodies/request-body.ts'
import { maxKeyBytes } from '../protocol/object-keys.ts'
import { checkRequestHeaders } from '../protocol/request-headers.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import { verifyFormPolicy } from '../signing/form-policy.ts'
import { awsUriEncode, type SignatureV4 } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import type { ContentFiles } from '../storage/content-files.ts'
import { readObjectDescription } from '../storage/object-description.ts'
import type { ObjectTable } from '../storage/object-table.ts'
import { versionHeaders } from '../storage/version-ids.ts'
import { eventOrigin } from './event-origin.ts'
import { readFormTags } from './object-tags.ts'
import { writeObject } from './write-object.ts'

/** POST Object: a browser's form. Its signed policy authorizes it; the request itself is not signed. */
export function createPostObject(deps: {
  buckets: BucketTable
  objects: ObjectTable
  files: ContentFiles
  signatureV4: SignatureV4
  bodyTimeoutMs: number
}) {
  const { buckets, objects, files, signatureV4, bodyTimeoutMs } = deps

  return {
    /**
     * @throws S3Error those of form-policy.ts, multipart-form.ts and object-description.ts, EntityTooLarge,
     * EntityTooSmall, BadDigest
     */
    async postObject(exchange: S3Exchange) {
      const { bucket } = exchange
      buckets.require(bucket)
      checkRequestHeaders(exchange.headers, 'postObject')
      const form = await readForm(exchange, bodyTimeoutMs)
      try {
        const fields: Record<string, string> = {}
        for (const [name, value] of Object.entries(form.fields)) {
          fields[name] = name === 'policy' ? value : insertFilename(value, form.filename)
        }
        const { key } = fields
        if (key === undefined) {
          throw new S3Error(
            'InvalidArgument',
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
            { ArgumentName: 'key', ArgumentValue: '' },
          )
        }
        const { contentLengthRange } = verifyFormPolicy(signatureV4, fields, bucket, Date.now())
        checkRequestHeaders(fields, 'formFields')
        const tags = readFormTags(fields['tagging'])
        if (key === '')
          throw new S3Error('InvalidArgument', 'User key must have a length greater than 0.', {
            ArgumentName: 'key',
            ArgumentValue: '',
          })
        if (Buffer.byteLength(key) > maxKeyBytes)
          throw new S3Error('KeyTooLongError', undefined, { MaxSizeAllowed: String(maxKeyBytes) })
        const description = { ...readObjectDescription(fields), tags, tagCount: tags.length }
        const expected = readChecksumHeader(fields)
        const { min, max } = contentLengthRange ?? { min: 0, max: maxPutBytes }

        const source = digestStream(
          limitSize(form.file, min, Math.min(max, maxPutBytes)),
          expected?.algorithm,
        )
        const { version, md5 } = await writeObject(
          { objects, files },
          {
            chunks: source.chunks,
            async digests() {
              await form.ended
              const digests = await source.digests()
              if (expected !== undefined && digests.checksum?.value !== expected.value) {
                throw new S3Error(
                  'BadDigest',
                  `The ${expected.algorithm.toUpperCase()} you specified did not match the calculated checksum.`,
                )
              }
              return digests
            },
          },
          {
            bucket,
            key,
            description,
            condition: { ifNoneMatch: false, ifMatch: undefined },
            origin: eventOrigin(exchange, 'ObjectCreated:Post'),
          },
        )
        exchange.setHeaders(versionHeaders(version))
        sendResult(exchange, fields, key, md5)
      } catch (error) {
        form.abort()
        throw error
      }
    },
  }
}

/** Replaces the variable `${filename}`. S3 leaves it as it is if the file part has no file name. */
function insertFilename(value: string, filename: string | undefined): string {
  return filename === undefined ? value : value.replaceAll(/\$\{filename\}/g, () => filename)
}

/** @throws S3Error EntityTooLarge as soon as there are more than `max` bytes, EntityTooSmall at the end */
async function* limitSize(source: AsyncIterable<Buffer>, min: number, max: number): AsyncGenerator<Buffer> {
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > max) {
      throw new S3Error('EntityTooLarge', undefined, {
        ProposedSize: String(size),
        MaxSizeAllowed: String(max),
      })
    }
    yield chunk
  }
  if (size < min) {
    throw new S3Error('EntityTooSmall', undefined, {
      ProposedSize: String(size),
      MinSizeAllowed: String(min),
    })
  }
}

/** Responds as `success_action_redirect` or `success_action_status` requires, otherwise with 204. */
function sendResult(
  exchange: S3Exchange,
  fields: Readonly<Record<string, string>>,
  key: string,
  md5: string,
) {
  const { bucket } = exchange
  const etag = `"${md5}"`
  const location = `http://${exchange.headers['host']}/${bucket}/${awsUriEncode(key)}`
  const redirect = redirectTarget(fields['success_action_redirect'] ?? fields['redirect'])
  if (redirect !== undefined) {
    redirect.searchParams.set('bucket', bucket)
    redirect.searchParams.set('key', key)
    redirect.searchParams.set('etag', etag)
    exchange.send(303, { location: redirect.href, etag })
  } else if (fields['success_action_status'] === '201') {
    exchange.sendXml(
      201,
      'PostResponse',
      { Location: location, Bucket: bucket, Key: key, ETag: etag },
      { location, etag },
    )
  } else {
    exchange.send(fields['success_action_status'] === '200' ? 200 : 204, { location, etag })
  }
}

/** Parses a redirect address. S3 ignores one that it cannot parse. */
function redirectTarget(value: string | undefined): URL | undefined {
  if (value === undefined || !URL.canParse(value)) return undefined
  const url = new URL(value)
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined
}
