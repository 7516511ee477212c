import { PassThrough } from 'node:stream'
import { readForm } from '@millrace/api/direct/read-form.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('form')
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
    assert.is(await codeOf(readForm(body, contentType).nextFile()), 'invalid_request')
  }
})

test('a form whose client disconnects while it is read ends with an error', async () => {
  for (const error of [undefined, new Error('aborted')]) {
    const body = new PassThrough()
    const reading = codeOf(readForm(body, contentType).nextFile())
    body.write('--b\r\ncontent-disposition: form-data; name="preset"\r\n\r\nx')
    body.destroy(error)
    assert.is.not(await reading, 'read')
  }
})

test('a form that ends in the headers of a part, or in a part, ends with an error', async () => {
  for (const text of [
    '--b\r\ncontent-disp',
    '--b\r\ncontent-disposition: form-data; name="a"; filename="b"\r\n\r\nx',
  ]) {
    const body = new PassThrough()
    const form = readForm(body, contentType)
    body.end(text)
    const reading = form.nextFile().then((file) => file?.bytes.resume() && file.confirm())
    assert.is(await codeOf(reading), 'invalid_request')
  }
})

test('a form that ends while its file is read ends with an error: of the file, and of what would follow', async () => {
  for (const [rest, bytes] of [
    ['', 'invalid_request'],
    ['\r\n--b\r\ncontent-disp', 'read'],
  ] as const) {
    const body = new PassThrough()
    const form = readForm(body, contentType)
    body.write('--b\r\ncontent-disposition: form-data; name="a"; filename="b"\r\n\r\nx')
    const file = await form.nextFile()
    assert.ok(file)
    const outcomes = [file.bytes.toArray(), form.nextFile(), file.confirm()].map(codeOf)
    body.end(rest)
    assert.equal(await Promise.all(outcomes), [bytes, 'invalid_request', 'invalid_request'], rest)
  }
})

/** Reads a form that arrives in pieces of a size. */
async function readInPieces(bytes: Buffer, size: number) {
  const body = new PassThrough()
  const form = readForm(body, contentType)
  for (let at = 0; at < bytes.length; at += size) body.write(bytes.subarray(at, at + size))
  body.end()
  const files = []
  for (let file = await form.nextFile(); file; file = await form.nextFile()) {
    const chunks: Buffer[] = []
    for await (const chunk of file.bytes) chunks.push(chunk)
    await file.confirm()
    files.push([file.field, file.filename, Buffer.concat(chunks).toString(), [...file.fields].join()])
  }
  return files
}

test('files and fields of a form are the same in whichever pieces they arrive', async () => {
  const part = (disposition: string, content: string) =>
    `--b\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${content}\r\n`
  const form = Buffer.from(
    [
      part('name="note"', 'ü'),
      part('name="none"; filename=""', ''),
      part('name="file[0]"; filename="a.txt"', 'A\r\n--'),
      part('name="more"', 'x'),
      part('name="file[1]"; filename="C:\\dir\\é.txt"', ''),
      part('name="file[2]"; filename="c.txt"', 'C'),
      part('name="submit"', 'Send'),
      '--b--\r\nepilogue',
    ].join(''),
  )
  for (const size of [1, 3, 50, form.length]) {
    assert.equal(await readInPieces(form, size), [
      ['file[0]', 'a.txt', 'A\r\n--', 'note,ü'],
      ['file[1]', 'é.txt', '', 'note,ü,more,x'],
      ['file[2]', 'c.txt', 'C', 'note,ü,more,x'],
    ])
  }
})

const filenames: [sent: string, read: string][] = [
  ['filename="a.png"', 'a.png'],
  ['filename=a.png', 'a.png'],
  // Chrome, Firefox and Safari: UTF-8, and three escapes (HTML Standard).
  ['filename="Ärger %22Spaß%22 100%.png"', 'Ärger "Spaß" 100%.png'],
  ['filename="100%25 %41.png"', '100%25 %41.png'],
  ['filename="a%0D%0Ab.png"', 'ab.png'],
  // curl before 7.81, Python's email package
  ['filename="a \\"b\\".png"', 'a "b".png'],
  ['filename="C:\\fakepath\\a.png"', 'a.png'],
  ['filename="../../etc/passwd"', 'passwd'],
  ['filename="e.png"; filename*=UTF-8\'\'%E2%82%AC.png', '€.png'],
  ['filename*=utf-8\'\'%E2%82%AC.png; filename="e.png"', '€.png'],
  ['filename*=iso-8859-1\'en\'%A3.png; filename="e.png"', '£.png'],
  ['filename*=UTF-8\'\'%E2%82.png; filename="e.png"', 'e.png'],
  ['filename="=?UTF-8?B?w6ku?= =?utf-8?Q?=C3=A9_a=2Epng?="', 'é.é a.png'],
  ['filename="=?ISO-8859-1?Q?caf=E9?=.png"', 'café.png'],
  ['filename="=?none?B?w6k=?=.png"', '=?none?B?w6k=?=.png'],
  ['filename="a;b=c.png"', 'a;b=c.png'],
]
for (const [sent, read] of filenames) {
  test(`a form's ${sent} is read as ${JSON.stringify(read)}`, async () => {
    const form = `--b\r\nContent-Disposition: form-data; name="file"; ${sent}\r\n\r\nx\r\n--b--\r\n`
    assert.equal(await readInPieces(Buffer.from(form), form.length), [['file', read, 'x', '']])
  })
}

test("bytes of a form's filename that are not UTF-8 become U+FFFD", async () => {
  const form = '--b\r\nContent-Disposition: form-data; name="file"; filename="\xe9.png"\r\n\r\nx\r\n--b--\r\n'
  assert.equal(await readInPieces(Buffer.from(form, 'latin1'), form.length), [
    ['file', '\ufffd.png', 'x', ''],
  ])
})

test.run()
