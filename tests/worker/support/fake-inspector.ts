import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

const Question = Type.Object(
  {
    id: Type.String(),
    owner: Type.String(),
    filename: Type.String(),
    contentType: Type.String(),
    detectedType: Type.Optional(Type.String()),
    size: Type.Integer(),
    sha256: Type.String(),
    metadata: Type.Record(Type.String(), Type.String()),
    url: Type.String(),
  },
  { additionalProperties: false },
)
export type Question = Static<typeof Question>
const question = Compile(Question)

const key = Buffer.alloc(24, 7)

/** The secret that the fake inspector checks signatures with. */
export const inspectSecret = `whsec_${key.toString('base64')}`

/**
 * Starts an HTTP inspector on loopback. It checks the form and the signature of each request.
 *
 * @param answer sends the response to a question
 */
export async function startFakeInspector(answer: (question: Question, response: ServerResponse) => unknown) {
  const questions: Question[] = []
  const server = createServer(async (request, response) => {
    const body = await text(request)
    const { 'webhook-id': id, 'webhook-timestamp': timestamp } = request.headers
    const hash = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
    const isFresh = Math.abs(Number(timestamp) * 1000 - Date.now()) < 60_000
    if (!isFresh || request.headers['webhook-signature'] !== `v1,${hash}`) {
      response.writeHead(401).end()
      return
    }
    const asked = question.Parse(JSON.parse(body))
    questions.push(asked)
    await answer(asked, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The inspector has no port.')
  return {
    url: `http://127.0.0.1:${address.port}/inspect`,
    /** The questions so far, in their order. */
    questions,
    close(): void {
      server.close()
      server.closeAllConnections()
    },
  }
}
