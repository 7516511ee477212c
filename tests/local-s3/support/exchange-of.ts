import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { createS3Exchange, type S3Exchange } from '@millrace/local-s3/protocol/s3-exchange.ts'

/** A request as it is sent: the path and the query are percent-encoded. */
export type SentRequest = { method: string; path: string; headers: Record<string, string> }

/** Parses a request without a connection, for tests of the signature alone. */
export function exchangeOf({ method, path, headers }: SentRequest): S3Exchange {
  const request = new IncomingMessage(new Socket())
  // HTTP has no white space around a value, and one byte for each character.
  const headersDistinct = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name.toLowerCase(),
      [Buffer.from(value.trim()).toString('latin1')],
    ]),
  )
  Object.assign(request, { method, url: path, headersDistinct })
  const exchange = createS3Exchange(request, new ServerResponse(request), false)
  exchange.parse()
  return exchange
}
