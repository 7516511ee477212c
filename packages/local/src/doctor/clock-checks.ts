import { HeadBucketCommand, type S3Client } from '@aws-sdk/client-s3'
import { type Check, error, type Finding, ok, warning } from './finding.ts'

/** AWS refuses signatures that are older than 15 min (S3, RequestTimeTooSkewed). In ms. */
const refusedMs = 15 * 60 * 1000
/** Above this, signed URLs and forms live noticeably shorter than they promise. In ms. */
const noticeableMs = 60_000

/** The check of this machine's clock against S3's, by the header `Date` of a response. */
export function clockChecks(deps: { s3: S3Client; bucket: string }): Check[] {
  return [
    {
      name: 'clock',
      async run(abortSignal) {
        const startedAt = Date.now()
        const date = await dateOfS3(deps, abortSignal)
        if (date === undefined) throw new Error('S3 sent no Date')
        return [clockFinding('S3', Date.parse(date), startedAt)]
      },
    },
  ]
}

/** @param at the other clock's time, in ms since 1970 @param startedAt when the request was sent, by this machine */
export function clockFinding(whose: string, at: number, startedAt: number): Finding {
  const now = Date.now()
  // The answer was given at some time between. `Date` and Redis' first number have whole seconds.
  const skewMs = at < startedAt - 1_000 ? at - startedAt : Math.max(0, at - now)
  const size = Math.abs(skewMs)
  const text = `This machine's clock differs from that of ${whose} by ${Math.round(size / 1000)} s`
  const remedy = 'Synchronize the clock (NTP), for example with `timedatectl set-ntp true`.'
  if (size >= refusedMs / 3) return error(`${text}: AWS refuses signatures from 15 min on.`, remedy)
  if (size >= noticeableMs) return warning(`${text}: signed URLs end early or late.`, remedy)
  return ok(`This machine's clock agrees with that of ${whose}.`)
}

/** The SDK reads the header, but does not return it. A response that refuses the request has it as well. */
async function dateOfS3({ s3, bucket }: { s3: S3Client; bucket: string }, abortSignal: AbortSignal) {
  let date: string | undefined
  const command = new HeadBucketCommand({ Bucket: bucket })
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const { response } = result
      if (typeof response === 'object' && response !== null && 'headers' in response) {
        const { headers } = response
        if (typeof headers === 'object' && headers !== null && 'date' in headers) date = String(headers.date)
      }
      return result
    },
    // Before the deserializer, which throws for a refusal.
    { step: 'deserialize', priority: 'low', name: 'readDate' },
  )
  try {
    await s3.send(command, { abortSignal })
  } catch (failure) {
    if (date === undefined) throw failure
  }
  return date
}
