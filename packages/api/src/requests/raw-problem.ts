import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import { statusOfCode, toProblem } from './problem.ts'

/**
 * Writes a problem to a connection and closes it. Used if Fastify cannot respond, because the request is not
 * valid HTTP or incomplete.
 *
 * @param headers further headers of the response
 */
export function closeWithProblem(
  socket: Socket,
  code: ErrorCode,
  headers: [name: string, value: string][] = [],
): void {
  const body = JSON.stringify(toProblem(new AppError(code), randomUUID()))
  const status = statusOfCode[code]
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    'x-content-type-options: nosniff',
    'connection: close',
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  socket.destroySoon()
}
