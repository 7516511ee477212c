import { AppError } from '@millrace/shared/service/app-error.ts'
import { type ClamdAddress, openClamdConnection } from './clamd-connection.ts'

/** What clamd says of a file. `too-large`: it is above clamd's StreamMaxLength, and was not scanned. */
export type ClamdVerdict =
  | { result: 'clean' }
  | { result: 'infected'; signature: string }
  | { result: 'too-large' }

/** How long clamd's version is kept, in ms. Its database changes a few times a day. */
const versionLifeMs = 60_000

/** How long clamd may take to tell its version, in ms. */
const versionTimeoutMs = 5_000

/** A chunk of length 0 ends the file. */
const endOfFile = Buffer.alloc(4)

/**
 * Reads the address of clamd.
 *
 * @param url `tcp://host:port` or `unix:/path`
 * @returns undefined if it has another form
 */
export function parseClamdUrl(url: string): ClamdAddress | undefined {
  const [, path] = /^unix:(\/.+)$/.exec(url) ?? []
  if (path !== undefined) return { path }
  const [, host, port] = /^tcp:\/\/(\[[0-9a-f:]+\]|[^\s/:@[\]]+):(\d{1,5})$/i.exec(url) ?? []
  if (host === undefined || !(Number(port) >= 1 && Number(port) <= 65_535)) return undefined
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}

/**
 * A client of clamd, ClamAV's daemon (clamd(8)). A file is sent while it is read, on a connection of its own: clamd scans
 * it when it is complete.
 *
 * @param deps.timeoutMs how long clamd may neither take bytes nor reply, in ms
 */
export function createClamd({ address, timeoutMs }: { address: ClamdAddress; timeoutMs: number }) {
  let known: { version: string; readAtMs: number } | undefined

  return {
    /**
     * Begins to send a file (`INSTREAM`).
     * @param signal closes the connection
     */
    openStream(signal: AbortSignal) {
      const connection = openClamdConnection(address, { command: 'INSTREAM', timeoutMs, signal })
      return {
        /**
         * Sends the next bytes. They must not change afterwards.
         * @returns undefined, or a promise that resolves when more may be sent
         * @throws AppError `scan_unavailable`
         */
        write(chunk: Buffer): Promise<void> | undefined {
          // A chunk of length 0 would end the file.
          if (chunk.length === 0) return undefined
          const length = Buffer.alloc(4)
          length.writeUInt32BE(chunk.length)
          return connection.send(length, chunk)
        },
        /**
         * Ends the file and waits for the verdict.
         * @throws AppError `scan_unavailable`, also if clamd says that it failed
         */
        async finish(): Promise<ClamdVerdict> {
          await connection.send(endOfFile)
          return verdictOf(await connection.reply())
        },
        close: connection.close,
      }
    },

    /** Returns the versions of clamd and its database; undefined if clamd does not say. */
    async version(signal: AbortSignal): Promise<string | undefined> {
      const nowMs = performance.now()
      if (known && nowMs - known.readAtMs < versionLifeMs) return known.version
      const connection = openClamdConnection(address, {
        command: 'VERSION',
        timeoutMs: Math.min(versionTimeoutMs, timeoutMs),
        signal,
      })
      try {
        known = { version: printable(await connection.reply()), readAtMs: nowMs }
        return known.version
      } catch {
        // The scan itself succeeded. Its evidence then lacks the version.
        return undefined
      } finally {
        connection.close()
      }
    },
  }
}

export type Clamd = ReturnType<typeof createClamd>
export type ClamdStream = ReturnType<Clamd['openStream']>

function verdictOf(reply: string): ClamdVerdict {
  if (reply === 'stream: OK') return { result: 'clean' }
  const [, signature] = /^stream: (.+) FOUND$/.exec(reply) ?? []
  if (signature !== undefined) return { result: 'infected', signature: printable(signature) }
  if (reply === 'INSTREAM size limit exceeded. ERROR') return { result: 'too-large' }
  throw new AppError('scan_unavailable', { cause: new Error(`clamd replied "${printable(reply)}".`) })
}

/** Returns a text of clamd for logs, manifests and messages. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200)
}
