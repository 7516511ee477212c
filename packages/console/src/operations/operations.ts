import { type Client, dataOf } from '@millrace/client'
import type { Identity } from '../frame/identity.ts'

/** What the pages for operators share: requests, and who asks. */
export type Operations = ReturnType<typeof createOperations>

/** Creates the requests of the pages for operators. A failure that is the end of the sign-in is told to the frame. */
export function createOperations({ client, identity }: { client: Client; identity: Identity }) {
  return {
    api: client.api,
    identity,

    /** Returns the data of a response. @throws ApiProblem; TypeError if the API cannot be reached */
    async send<Data>(request: Promise<{ data?: Data; error?: unknown; response: Response }>): Promise<Data> {
      return noteFailure(async () => dataOf(await request))
    },

    /** Waits for a response without data. @throws as `send` */
    async sendOnly(request: Promise<{ error?: unknown; response: Response }>): Promise<void> {
      return noteFailure(async () => {
        const result = await request
        if (!result.response.ok) dataOf(result)
      })
    },
  }

  async function noteFailure<Data>(send: () => Promise<Data>): Promise<Data> {
    try {
      return await send()
    } catch (error) {
      identity.noteFailure(error)
      throw error
    }
  }
}
