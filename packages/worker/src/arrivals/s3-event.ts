import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * What S3 sends to a queue (Amazon S3 User Guide, "Event message structure"), as far as it is needed.
 * Versions 2.x differ in what they add only.
 */
const S3Event = Type.Object({
  Records: Type.Array(
    Type.Object({
      eventName: Type.String({ description: 'such as ObjectCreated:Put' }),
      s3: Type.Object({
        bucket: Type.Object({ name: Type.String() }),
        object: Type.Object({ key: Type.String({ description: 'URL-encoded, the way of HTML forms' }) }),
      }),
    }),
  ),
})
type S3Event = Static<typeof S3Event>

const s3Event = Compile(S3Event)

/** S3 sends this once when notifications are set up ("How to enable event notifications"). */
const s3TestEvent = Compile(Type.Object({ Event: Type.Literal('s3:TestEvent') }))

/**
 * Reads the body of a message.
 *
 * @returns the keys of created objects, decoded; none where it tells of something else
 *   (a test event, a removal, another bucket); undefined where it is no S3 event at all
 */
export function parseS3Event(body: string | undefined, bucket: string): string[] | undefined {
  const event = parseJson(body ?? '')
  if (s3TestEvent.Check(event)) return []
  if (!s3Event.Check(event)) return undefined
  return event.Records.filter(
    (record) => record.eventName.startsWith('ObjectCreated:') && record.s3.bucket.name === bucket,
  ).map((record) => decodeKey(record))
}

function decodeKey({ s3 }: S3Event['Records'][number]): string {
  try {
    return decodeURIComponent(s3.object.key.replaceAll('+', ' '))
  } catch {
    // Not encoded as S3 encodes: taken as it is, it is the key of no original.
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
