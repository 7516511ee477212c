import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { HeadObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { lightenS3 } from '@millrace/shared/connections/lighten-s3.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('light client for S3')
let server: Server
let endpoint: string
let received: IncomingHttpHeaders[]

test.before(async () => {
  server = createServer((request, response) => {
    received.push(request.headers)
    response.writeHead(200, { etag: '"e"', 'content-length': '0' }).end()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  assert.ok(address && typeof address === 'object')
  endpoint = `http://127.0.0.1:${address.port}`
})
test.before.each(() => {
  received = []
})
test.after(() => server.close())

const head = (s3: S3Client) => s3.send(new HeadObjectCommand({ Bucket: 'any', Key: 'any' }))

/** A client that counts the signers which it creates. @param failures how many of the first ones fail */
function countingClient(failures = 0) {
  let access = 0
  const s3 = new S3Client({
    endpoint,
    region: 'us-east-1',
    cacheMiddleware: true,
    // They have ended at once, as those of a role do after some hours.
    credentials: async () => ({
      accessKeyId: `key${++access}`,
      secretAccessKey: 'secret',
      sessionToken: `token${access}`,
      expiration: new Date(0),
    }),
  })
  const create = s3.config.signer
  let created = 0
  s3.config.signer = async (scheme) => {
    created += 1
    if (created <= failures) throw new Error('There is no region.')
    return create(scheme)
  }
  return { s3: lightenS3(s3), created: () => created }
}

test('all requests of a client have one signer, which reads the credentials for each', async () => {
  const { s3, created } = countingClient()
  for (let request = 0; request < 3; request++) await head(s3)
  s3.destroy()
  assert.is(created(), 1)
  const keys = received.map(({ authorization }) => /Credential=(key\d+)\//.exec(authorization ?? '')?.[1])
  assert.is(new Set(keys).size, 3, keys.join())
  const tokens = received.map((headers) => headers['x-amz-security-token'])
  assert.equal(
    tokens,
    keys.map((key) => key?.replace('key', 'token')),
  )
})

test('a signer that could not be created is created for the next request', async () => {
  const { s3, created } = countingClient(1)
  const error = await head(s3).catch((thrown: unknown) => thrown)
  assert.match(String(error), /no region/)
  await head(s3)
  s3.destroy()
  assert.is(created(), 2)
})

test('requests have the name of the service as their user agent, and no list of features', async () => {
  const { s3 } = countingClient()
  await head(s3)
  s3.destroy()
  const [{ 'user-agent': userAgent, 'x-amz-user-agent': features } = {}] = received
  assert.equal([userAgent, features], ['millrace (aws-sdk-js)', undefined])
})

test.run()
