import { setTimeout as delay } from 'node:timers/promises'
import { isObject } from './decent-client.ts'
import type { Owner } from './fleet.ts'
import { inParallel } from './in-parallel.ts'
import type { View } from './judge.ts'
import { authorization } from './send-file.ts'

const requestsAtOnce = 16
const pageSize = 200
const attempts = 5

/**
 * Creates the reader of what the API says at the end of a run. No fault is active then, so an error status is what the API
 * says, except for one that a retry turns into another.
 */
export function createReadViews({ nextApi }: { nextApi: () => Promise<string> }) {
  async function get(owner: Owner, path: string): Promise<{ status: number; body: Record<string, unknown> }> {
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await fetch(new URL(path, await nextApi()), { headers: authorization({ owner }) })
        const body: unknown = await response.json()
        if (response.status < 500 || attempt === attempts) {
          return { status: response.status, body: isObject(body) ? body : {} }
        }
      } catch (error) {
        if (attempt === attempts) throw error
      }
      await delay(500)
    }
  }

  async function readView(owner: Owner, id: string): Promise<View> {
    const { status, body } = await get(owner, `/uploads/${id}`)
    const variants = Array.isArray(body['variants']) ? body['variants'].filter(isObject) : []
    return {
      status,
      ...(typeof body['state'] === 'string' && { state: body['state'] }),
      ...(typeof body['sha256'] === 'string' && { sha256: body['sha256'] }),
      variants: variants.map(({ name }) => String(name)),
    }
  }

  return {
    /** Reads `GET /uploads/{id}` of all these uploads. */
    async views(uploads: Iterable<{ owner: Owner; id: string }>): Promise<Map<string, View>> {
      const views = new Map<string, View>()
      await inParallel(requestsAtOnce, uploads, async ({ owner, id }) => {
        views.set(id, await readView(owner, id))
      })
      return views
    },
    /** Reads an owner's whole list. @returns states by id */
    async list(owner: Owner): Promise<Map<string, string>> {
      const states = new Map<string, string>()
      let cursor: unknown
      do {
        const page = typeof cursor === 'string' ? `&cursor=${cursor}` : ''
        const { status, body } = await get(owner, `/uploads?limit=${pageSize}${page}`)
        if (status !== 200) throw new Error(`GET /uploads says ${status} although no fault is active.`)
        const uploads = Array.isArray(body['uploads']) ? body['uploads'].filter(isObject) : []
        for (const { id, state } of uploads) states.set(String(id), String(state))
        cursor = body['nextCursor']
      } while (cursor !== undefined)
      return states
    },
  }
}
