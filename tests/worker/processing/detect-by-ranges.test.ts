import type { Preset } from '@millrace/shared/presets/preset.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { compoundFile, contentTypes, mp4File, zipFile } from '../support/sample-containers.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('types of files in S3')
const docx = 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'
const typed: Preset = {
  name: 'typed',
  accept: [docx, 'application/msword', 'audio/mp4', 'image/png', 'text/plain'],
  variants: [],
}
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet({ environment: { PRESETS: JSON.stringify([typed]) } })
  await fleet.startWorker()
})
test.after(() => fleet.close())

/** Longer than what a stream delivers at once. */
const padding = Buffer.from(
  Array.from({ length: 300_000 }, (_, i) => (Math.imul(i, 2654435761) >>> 13) & 255),
)
const files: [name: string, bytes: () => Promise<Buffer> | Buffer, type: string, foundBy: string][] = [
  [
    'a Word document whose content types come last',
    () => zipFile([['word/media/1.png', padding], contentTypes('/word/document.xml', `${docx}.main+xml`)]),
    docx,
    'container',
  ],
  [
    'an old Word document with its directory at the end',
    () => compoundFile([{ name: 'WordDocument' }], { paddingBytes: 50_176 }),
    'application/msword',
    'container',
  ],
  [
    'an MP4 file with sound only and its track list at the end',
    () => mp4File(['soun'], { isMovieLast: true, mediaBytes: 300_000 }),
    'audio/mp4',
    'container',
  ],
  ['an animated PNG', () => fixtureImage('apng-3-frames.png'), 'image/apng', 'signature'],
  ['CSV', () => Buffer.alloc(300_000, 'a,b,c\n1,2,3\n'), 'text/csv', 'text'],
]
for (const [name, bytes, type, foundBy] of files) {
  test(`${name} is accepted as ${type}, and the manifest says that it was found by ${foundBy}`, async () => {
    const address = await fleet.arrive(await bytes(), { preset: 'typed' })
    const upload = await fleet.finished(address)
    assert.equal([upload.state, upload.findings.detectedType], ['ready', type])
    assert.is((await fleet.manifests.read(address))?.evidence?.typeFoundBy, foundBy)
  })
}

test('a ZIP file without content types is refused where only Word documents are accepted', async () => {
  const upload = await fleet.finished(
    await fleet.arrive(zipFile([['word/document.xml', padding]]), { preset: 'typed' }),
  )
  assert.equal(
    [upload.state, upload.error?.code, upload.findings.detectedType],
    ['rejected', 'type_not_allowed', 'application/zip'],
  )
})

test.run()
