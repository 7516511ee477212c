import { serveDecoder } from '@millrace/worker/decoders/serve-decoder.ts'

/** A program like a decoder's that misbehaves with video, as the job's kind says. */
await serveDecoder(async ({ kind }, _file, answer, readRange) => {
  answer({ type: 'inspected', findings: { videoCodec: String(process.pid) } })
  switch (kind) {
    case 'crash':
      return process.abort()
    case 'spin':
      for (;;);
    case 'throw':
      return answer({ type: 'broken', reason: 'a fault of ours' })
    case 'two ranges':
      answer({ type: 'range', start: 0, end: 1 })
      readRange(0, 1)
      break
    case 'end while reading':
      answer({ type: 'range', start: 0, end: 1 })
      break
    case 'outside':
      readRange(99, 101)
      break
    case 'too much':
      for (;;) readRange(0, 100)
    default:
      readRange(0, 1)
  }
  answer({ type: 'rendered', findings: {} })
})
