import { PutObjectCommand } from '@aws-sdk/client-s3'
import { createUrlSigner, type UrlToSign } from '@millrace/api/signing/sign-url.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { openContractTarget } from '../../local-s3/support/contract-target.ts'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('signed links')
const target = await openContractTarget()
const { bucket, client: s3, prefix } = target
const signer = createUrlSigner({ s3, bucket })
test.after(() => target.close())

const link = (fields: Partial<UrlToSign> = {}): UrlToSign => ({
  method: 'GET',
  key: `${prefix}originals/s-1/a b+ü.jpg`,
  query: { 'response-content-type': 'image/jpeg', 'response-content-disposition': 'attachment' },
  expiresInSeconds: 900,
  ...fields,
})

/** Returns what a URL asks for, so that two spellings of one request are equal. */
function meaningOf(url: URL): string {
  const parameters = [...url.searchParams].toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([url.pathname.split('/').map(decode), parameters])
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return `malformed: ${text}`
  }
}

test('a signed link opens its object, and nothing once any of its characters is another', async () => {
  await s3.send(new PutObjectCommand({ Bucket: bucket, Key: link().key, Body: 'content' }))
  const { url } = await signer.sign(link())
  const original = new URL(url)
  assert.is(await (await fetch(url)).text(), 'content')
  const relative = `${original.pathname}${original.search}`
  await checkProperty(
    fc.asyncProperty(
      fc.nat({ max: relative.length - 2 }),
      fc.constantFrom(...'abcxyzABCXYZ0123456789-_.~'),
      async (place, character) => {
        const at = place + 1
        const changed = new URL(`${relative.slice(0, at)}${character}${relative.slice(at + 1)}`, original)
        if (meaningOf(changed) === meaningOf(original)) return
        const { status } = await fetch(changed)
        assert.ok(status >= 400 && status < 500, `${status} for ${changed}`)
      },
    ),
    { runs: 150 },
  )
  for (const more of ['&versionId=null', '&x-read-by=script', '&response-cache-control=public']) {
    assert.is((await fetch(`${url}${more}`)).status, 403, more)
  }
  assert.is((await fetch(url, { method: 'DELETE' })).status, 403)
  assert.is((await fetch(url, { method: 'PUT', body: 'x' })).status, 403)
})

test('a signed link opens nothing after its end, nor before its start', async () => {
  const at = (ageSeconds: number) => signer.sign(link({ signedAt: new Date(Date.now() - ageSeconds * 1000) }))
  const statusAt = async (ageSeconds: number) => (await fetch((await at(ageSeconds)).url)).status
  assert.equal(
    [await statusAt(0), await statusAt(840), await statusAt(901), await statusAt(-3_600)],
    [200, 200, 403, 403],
  )
})

test.run()
