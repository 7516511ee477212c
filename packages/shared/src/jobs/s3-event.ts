import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * The fields that Millrace reads of an S3 event (Amazon S3 User Guide, "Event message structure"). Versions 2.x only add
 * fields.
 */
const S3Event = Type.Object({
  Records: Type.Array(
    Type.Object({
      eventName: Type.String({ description: 'such as ObjectCreated:Put' }),
      s3: Type.Object({
        bucket: Type.Object({ name: Type.String() }),
        object: Type.Object({
          key: Type.String({ description: 'URL-encoded as in HTML forms' }),
          versionId: Type.Optional(Type.String({ description: 'if the bucket is versioned' })),
        }),
      }),
    }),
  ),
})
type S3Event = Static<typeof S3Event>

const s3Event = Compile(S3Event)

/** S3 sends this once when notifications are configured ("How to enable event notifications"). */
const s3TestEvent = Compile(Type.Object({ Event: Type.Literal('s3:TestEvent') }))

/** An object that was created: its decoded key, and its version if the bucket is versioned. */
export type CreatedObject = { key: string; versionId?: string }

/**
 * Parses the body of an SQS message.
 *
 * @returns the created objects; empty for other events (a test event, a removal, another bucket);
 *   undefined if the body is not an S3 event
 */
export function parseS3Event(body: string | undefined, bucket: string): CreatedObject[] | undefined {
  const event = parseJson(body ?? '')
  if (s3TestEvent.Check(event)) return []
  if (!s3Event.Check(event)) return undefined
  return event.Records.filter(
    (record) => record.eventName.startsWith('ObjectCreated:') && record.s3.bucket.name === bucket,
  ).map((record) => {
    const { versionId } = record.s3.object
    return { key: decodeKey(record), ...(versionId && { versionId }) }
  })
}

function decodeKey({ s3 }: S3Event['Records'][number]): string {
  try {
    return decodeURIComponent(s3.object.key.replaceAll('+', ' '))
  } catch {
    // Not encoded by S3's rules. Unchanged, it is not the key of an original.
    return s3.object.key
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
