import { clamdProgram, findOnPath } from '@millrace/local/setup/system-programs.ts'
import { createClamd, parseClamdUrl } from '@millrace/worker/scanning/clamd.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { testSignature } from '../support/fake-clamd.ts'
import { startRealClamd } from '../support/real-clamd.ts'

const test = suite('real clamd')
// Debian installs it where only root's PATH looks.
const program = findOnPath(clamdProgram.names, `${process.env['PATH']}:/usr/sbin`)
const title = 'ClamAV says OK, FOUND and too large to files that are streamed in chunks'

if (program === undefined) test.skip(title, 'clamd is not installed; the fake one was tested')
else {
  test(title, async () => {
    const daemon = await startRealClamd(program, { maxBytes: 1_000_000 })
    const address = parseClamdUrl(daemon.url)
    if (!address) throw new Error(`not an address: ${daemon.url}`)
    const client = createClamd({ address, timeoutMs: 20_000 })
    const { signal } = new AbortController()

    async function scan(chunks: Buffer[]) {
      const stream = client.openStream(signal)
      try {
        for (const chunk of chunks) await stream.write(chunk)
        return await stream.finish()
      } finally {
        stream.close()
      }
    }

    const padding = Buffer.alloc(70_000, 'text ')
    const [before, after] = [Buffer.from(testSignature.slice(0, 7)), Buffer.from(testSignature.slice(7))]
    assert.equal(await scan([]), { result: 'clean' })
    assert.equal(await scan([padding, padding]), { result: 'clean' })
    const infected = { result: 'infected', signature: 'Millrace.Test.UNOFFICIAL' }
    assert.equal(await scan([padding, before, after, padding]), infected)
    // clamd closes the connection right after this reply. A write at that moment fails, and the reply is lost: a retry of
    // the job finds it.
    const tooLarge = Array.from({ length: 20 }, () => padding)
    const verdicts = await Promise.all(Array.from({ length: 8 }, () => scan(tooLarge).catch(String)))
    assert.ok(verdicts.some((verdict) => typeof verdict !== 'string' && verdict.result === 'too-large'))
    assert.is(
      verdicts.some((verdict) => typeof verdict !== 'string' && verdict.result !== 'too-large'),
      false,
    )
    assert.match((await client.version(signal)) ?? '', /^ClamAV \d/)
    await daemon.close()
  })
}

test.run()
