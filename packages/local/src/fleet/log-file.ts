import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'

/**
 * Appends lines to a log file. A line that cannot be written is lost, for example on a full disk: the services must go on,
 * and each later line is tried again.
 *
 * @param options.print receives one sentence when writing begins to fail
 */
export function openLogFile(options: { file: string; print: (line: string) => void }) {
  const { file, print } = options
  let stream: WriteStream | undefined
  let isFailing = false

  function open(): WriteStream {
    const opened = createWriteStream(file, { flags: 'a' })
    opened.on('error', (error) => {
      if (!isFailing) print(`The log ${file} cannot be written: ${error.message}.`)
      isFailing = true
      if (stream === opened) stream = undefined
    })
    return opened
  }

  return {
    write(line: string): void {
      stream ??= open()
      stream.write(`${line}\n`, (error) => {
        if (!error) isFailing = false
      })
    },
    async close(): Promise<void> {
      const last = stream
      if (last === undefined || last.destroyed) return
      // After an error as well.
      const closed = once(last, 'close').catch(() => undefined)
      last.end()
      await closed
    },
  }
}
