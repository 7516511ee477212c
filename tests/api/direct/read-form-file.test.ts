import { PassThrough } from 'node:stream'
import { readFormFile } from '@millrace/api/direct/read-form-file.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('form file')
const contentType = 'multipart/form-data; boundary=b'

const codeOf = (reading: Promise<unknown>) =>
  reading.then(
    () => 'read',
    (error: unknown) => (error instanceof AppError ? error.code : String(error)),
  )

test('a form whose client has disconnected before it is read ends with an error', async () => {
  for (const error of [undefined, new Error('aborted')]) {
    const body = new PassThrough().on('error', () => undefined)
    body.destroy(error)
    assert.is(await codeOf(readFormFile(body, contentType)), 'invalid_request')
  }
})

test('a form whose client disconnects while it is read ends with an error', async () => {
  for (const error of [undefined, new Error('aborted')]) {
    const body = new PassThrough()
    const reading = codeOf(readFormFile(body, contentType))
    body.write('--b\r\ncontent-disposition: form-data; name="preset"\r\n\r\nx')
    body.destroy(error)
    assert.is.not(await reading, 'read')
  }
})

test.run()
