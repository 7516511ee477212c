import { connect } from 'node:net'
import { addAbortSignal } from 'node:stream'
import { AppError } from '@millrace/shared/service/app-error.ts'

/** Where clamd listens: on TCP, or on a Unix socket. */
export type ClamdAddress = { host: string; port: number } | { path: string }

/** How long clamd may take to accept a connection, in ms. It is near, and refuses at once if it does not run. */
const connectTimeoutMs = 5_000

/** Limit of a reply, in characters. It is one line. */
const maxReplyLength = 4_096

/**
 * Opens a connection to clamd for one command. clamd ends each reply to a command with the prefix `z` by a NUL
 * (clamd(8), "COMMANDS").
 *
 * The methods throw AppError `scan_unavailable` as soon as the connection fails, closes before the reply, or clamd is
 * silent for too long while something waits for it.
 *
 * @param options.command without its prefix, such as `VERSION`
 * @param options.timeoutMs how long clamd may neither take bytes nor reply, in ms. Time in which nothing waits for it
 *   does not count
 * @param options.signal closes the connection
 */
export function openClamdConnection(
  address: ClamdAddress,
  { command, timeoutMs, signal }: { command: string; timeoutMs: number; signal: AbortSignal },
) {
  let received = ''
  let failure: AppError | undefined
  let wake = () => {}
  const fail = (cause: unknown) => {
    failure ??= new AppError('scan_unavailable', { cause })
    socket.destroy()
    wake()
  }
  const socket = addAbortSignal(signal, connect(address))
  const connecting = setTimeout(
    () => fail(new Error('clamd did not accept the connection in time.')),
    Math.min(connectTimeoutMs, timeoutMs),
  )
  socket.setEncoding('latin1')
  socket.on('connect', () => clearTimeout(connecting))
  socket.on('drain', () => wake())
  socket.on('data', (text: string) => {
    received += text
    if (received.length > maxReplyLength) fail(new Error('clamd sent a reply that is too long.'))
    wake()
  })
  socket.on('error', fail)
  socket.on('close', () => {
    clearTimeout(connecting)
    fail(new Error('clamd closed the connection before its reply.'))
  })
  socket.write(`z${command}\0`)

  const isReplied = () => received.includes('\0')

  /** Waits until a condition is true, which is checked after each event. */
  async function until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      if (failure) throw failure
      const woken = Promise.withResolvers<void>()
      wake = woken.resolve
      const timer = setTimeout(
        () => fail(new Error(`clamd neither took bytes nor replied for ${timeoutMs} ms.`)),
        timeoutMs,
      )
      await woken.promise
      clearTimeout(timer)
    }
  }

  return {
    /**
     * Sends buffers together. Does nothing after a reply: clamd has decided.
     * @returns undefined if the socket takes more at once, otherwise a promise that resolves when it does
     */
    send(...buffers: Buffer[]): Promise<void> | undefined {
      if (isReplied()) return undefined
      if (failure) throw failure
      socket.cork()
      for (const buffer of buffers) socket.write(buffer)
      socket.uncork()
      if (!socket.writableNeedDrain) return undefined
      return until(() => isReplied() || !socket.writableNeedDrain)
    },

    /** Waits for the reply. */
    async reply(): Promise<string> {
      await until(isReplied)
      return received.slice(0, received.indexOf('\0'))
    },

    /** Closes the connection, whatever its state. */
    close(): void {
      socket.destroy()
    },
  }
}
