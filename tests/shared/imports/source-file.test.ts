import { filenameOfUrl } from '@millrace/shared/imports/source-file.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('source file')

test('the name in a URL is the last segment of its path, percent-decoded', () => {
  for (const [path, name] of [
    ['/a/h%C3%A4fen%201+2.jpg?name=other.jpg#x', 'häfen 1+2.jpg'],
    ['/写真.jpg', '写真.jpg'],
    ['/%E5%86%99%E7%9C%9F.jpg', '写真.jpg'],
    // Not UTF-8, or not percent-encoding at all.
    ['/h%E4fen.jpg', 'h%E4fen.jpg'],
    ['/100%.jpg', '100%.jpg'],
    ['/a%2Fb%5Cc.jpg', 'c.jpg'],
    ['/a/..%2F..', 'file'],
    ['/a%00%0Ab.jpg', 'ab.jpg'],
    ['/a/', 'file'],
    ['/', 'file'],
  ]) {
    assert.is(filenameOfUrl(new URL(path ?? '', 'https://example.com')), name, path)
  }
})

test.run()
