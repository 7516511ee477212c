import { EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

const Values = Type.Array(Type.Number(), { minItems: 1, maxItems: 150 })
const Datum = Type.Object(
  {
    MetricName: Type.String(),
    Unit: Type.String(),
    Dimensions: Type.Array(Type.Object({ Name: Type.String(), Value: Type.String() })),
    Timestamp: Type.Number({ description: 'seconds since 1970' }),
    StorageResolution: Type.Literal(1),
    Value: Type.Optional(Type.Number()),
    Values: Type.Optional(Values),
    Counts: Type.Optional(Values),
  },
  { additionalProperties: false },
)
const PutMetricData = Type.Object(
  { Namespace: Type.String(), MetricData: Type.Array(Datum, { minItems: 1, maxItems: 1000 }) },
  { additionalProperties: false },
)
type PutMetricData = Static<typeof PutMetricData>

export type CloudWatchServer = Awaited<ReturnType<typeof startCloudWatchServer>>

/** Starts a local CloudWatch that accepts PutMetricData as the SDK sends it (AWS JSON 1.0, signed, compressed or not). */
export async function startCloudWatchServer() {
  const requestBody = Compile(PutMetricData)
  const puts: PutMetricData[] = []
  const requests = new EventEmitter()
  let status = 200
  const server = createServer(async (incoming, response) => {
    try {
      const { headers } = incoming
      const rawBody = await buffer(incoming)
      const body = headers['content-encoding'] === 'gzip' ? gunzipSync(rawBody) : rawBody
      if (headers['x-amz-target'] !== 'GraniteServiceVersion20100801.PutMetricData') throw new Error('target')
      if (headers['content-type'] !== 'application/x-amz-json-1.0') throw new Error('type')
      if (!/^AWS4-HMAC-SHA256 .*\/monitoring\/aws4_request/.test(headers.authorization ?? '')) {
        throw new Error('unsigned')
      }
      const put = requestBody.Parse(JSON.parse(body.toString()))
      if (status === 200) puts.push(put)
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' })
      response.end(status === 200 ? '{}' : '{"__type":"InternalServiceFault"}')
    } catch (error) {
      requests.emit('error', error)
      response.writeHead(400).end()
    }
    requests.emit('put')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    puts,
    /** Sets the status of the next responses. */
    respondWith(next: 200 | 500) {
      status = next
    },
    /** Waits for the next request, whatever its response. @throws if the request is invalid */
    nextRequest: () => once(requests, 'put'),
    /** Waits for a put with an index of at least `from` that matches. @returns its index */
    async until(matches: (values: Map<string, number[]>) => boolean, from = 0): Promise<number> {
      for (let next = from; ; next++) {
        while (next >= puts.length) await once(requests, 'put')
        const put = puts[next]
        if (put && matches(valuesOf(put))) return next
      }
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Returns the values of each metric. Each value is repeated by its count. */
export function valuesOf({ MetricData: data }: PutMetricData): Map<string, number[]> {
  return new Map(
    data.map(({ MetricName, Value, Values = [], Counts }) => [
      MetricName,
      Value === undefined
        ? Values.flatMap((value, index) => Array.from({ length: Counts?.[index] ?? 1 }, () => value))
        : [Value],
    ]),
  )
}
