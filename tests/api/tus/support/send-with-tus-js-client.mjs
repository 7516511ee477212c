// Sends a file with tus-js-client, or continues what an earlier process has begun. Plain JavaScript, for Node 20.
//
//   node send-with-tus-js-client.mjs <endpoint> <token> <file> <file of upload URLs> [bytes]
//
// With `bytes`, the process stands still once it has sent so many, until it is killed. It prints a line for each response,
// with the method and the offset, and finally the upload's URL.
import { createReadStream } from 'node:fs'
import { FileUrlStorage, Upload } from 'tus-js-client'

const [endpoint, token, file, urls, stopAfter] = process.argv.slice(2)
const print = (line) => process.stdout.write(`${line}\n`)

/** Blocks the process once the connection has taken the bytes. The client reports them too rarely. */
function standStill(request) {
  if (!(request.getUnderlyingObject()?.socket?.bytesWritten > Number(stopAfter))) {
    setImmediate(standStill, request)
    return
  }
  print('stands still')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}

const upload = new Upload(createReadStream(file), {
  endpoint,
  headers: { authorization: `Bearer ${token}` },
  metadata: { filename: 'movie.bin', filetype: 'application/x-movie' },
  urlStorage: new FileUrlStorage(urls),
  onBeforeRequest(request) {
    if (stopAfter !== undefined && request.getMethod() === 'PATCH') setImmediate(standStill, request)
  },
  onAfterResponse: (request, response) =>
    print(`${request.getMethod()} ${response.getHeader('upload-offset') ?? ''}`.trim()),
  onSuccess: () => print(upload.url),
  onError(error) {
    throw error
  },
})
const [previous] = await upload.findPreviousUploads()
if (previous) upload.resumeFromPreviousUpload(previous)
upload.start()
