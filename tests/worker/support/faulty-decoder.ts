import { writeSync } from 'node:fs'
import { frameStart } from '@millrace/worker/decoders/frames.ts'
import { answersDescriptor, serveDecoder } from '@millrace/worker/decoders/serve-decoder.ts'

const kept: Buffer[] = []
let jobs = 0

/** A program like a decoder's whose images end with a command. It shows what the pool does when a decoder misbehaves. */
await serveDecoder(async ({ preset }, file, answer) => {
  jobs += 1
  // After the header of an image, if it has one.
  const command = file.toString('latin1').split('\0').at(-1)
  answer({ type: 'inspected', findings: { width: 1, height: jobs } })
  const [variant] = preset.variants
  if (variant)
    answer({ type: 'variant', name: variant.name, width: 1, height: 1 }, Buffer.from(`job ${jobs}`))
  if (command === 'nonsense') {
    // In one write, so that both arrive before the worker acts on the first.
    const unknown = frameStart({ type: 'inspected', findings: { width: 0, height: 0 } })
    const known = frameStart({ type: 'rendered', findings: {} })
    writeSync(answersDescriptor, Buffer.concat([unknown, known]))
    return new Promise(() => {})
  }
  if (command === 'broken') return answer({ type: 'broken', reason: 'a fault of ours' })
  if (command === 'crash') process.abort()
  if (command === 'exit') process.exit(3)
  if (command === 'spin') for (;;);
  if (command === 'grow') {
    // Above the limit of the test, and not as much as would make Linux end it.
    while (kept.length < 6) kept.push(Buffer.alloc(16 * 1024 ** 2, 1))
    return new Promise(() => {})
  }
  if (command === 'hang') return new Promise(() => {})
  if (command === 'keep') kept.push(Buffer.alloc(64 * 1024 ** 2, 1))
  if (command === 'write') process.stderr.write('text of a library\n')
  if (command === 'crash-first' && jobs > 1) process.abort()
  if (command === 'environment') {
    return answer({ type: 'rendered', findings: { placeholder: JSON.stringify(process.env) } })
  }
  answer({ type: 'rendered', findings: { placeholder: `${process.pid} ${jobs}` } })
})
