import { once } from 'node:events'
import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { connectStreamingS3 } from '@millrace/shared/service/connections.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('connections')

test('the streaming S3 client reuses its connection and sends no Expect header', async () => {
  let connections = 0
  const expectHeaders: (string | undefined)[] = []
  const server = createServer((request, response) => {
    expectHeaders.push(request.headers.expect)
    request.resume().on('end', () => response.end())
  })
  server.on('connection', () => connections++)
  server.on('checkContinue', () => assert.unreachable('The client sent Expect: 100-continue.'))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  assert.ok(address && typeof address === 'object')
  const s3 = connectStreamingS3({
    endpoint: `http://127.0.0.1:${address.port}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
  })
  try {
    const size = 3 * 1024 ** 2
    for (const Key of ['one', 'two', 'three']) {
      const Body = Readable.from([Buffer.alloc(size)])
      await s3.send(new PutObjectCommand({ Bucket: 'any', Key, Body, ContentLength: size }))
    }
    assert.is(connections, 1)
    assert.equal(expectHeaders, [undefined, undefined, undefined])
  } finally {
    s3.destroy()
    server.close()
  }
})

test.run()
