import createFetchClient from 'openapi-fetch'
import type { paths } from '../api/api-types.ts'
import { createAuthorizedFetch, type Fetch } from '../api/authorized-fetch.ts'
import { createSending } from '../sending/sending.ts'
import type { UploadStorage } from '../sending/upload-storage.ts'
import type { DeclaredFile, GrantRequest, UploadGrant } from './upload-grant.ts'

type Ask = (body: GrantRequest) => Promise<UploadGrant>

/** The status and the code of an announcement for which the token has no files left. */
const usedUpStatus = 429
const usedUpCode = 'token_used_up'

/**
 * Opens the API for files that the app's backend has allowed. The token is renewed by asking the backend again. A renewed
 * token announces no files: a file that was not announced before, or must be announced again, is allowed by a token of its
 * own, for which the backend is asked when the API refuses the announcement.
 *
 * @param ask asks the backend, with the same input each time
 * @param files what the page is about to send, or has announced in an earlier page
 * @param options.isRenewal the files are announced already
 * @param options.storage remembers uploads that are being sent
 * @returns `grant`; `api`, which sends the token with each request; `startUpload`
 */
export async function openRouteSession(
  ask: Ask,
  files: readonly DeclaredFile[],
  options: { isRenewal?: boolean; storage?: UploadStorage | undefined } = {},
) {
  const grant = await ask({ files, ...(options.isRenewal && { renew: true }) })
  let first: UploadGrant | undefined = grant
  const getToken = async () => {
    const { token } = first ?? (await ask({ files, renew: true }))
    first = undefined
    return token
  }
  const fetch = createAuthorizedFetch({ fetch: createGrantingFetch(ask), getToken })
  const { origin } = grant
  const api = createFetchClient<paths>({ baseUrl: origin, fetch })
  const { startUpload } = createSending({ api, origin, storage: options.storage })
  return { grant, api, startUpload }
}

export type RouteSession = Awaited<ReturnType<typeof openRouteSession>>

/** Returns a fetch that asks for another token if an announcement is refused because the token has no files left. */
function createGrantingFetch(ask: Ask): Fetch {
  return async (request) => {
    const again = isAnnouncement(request) ? request.clone() : undefined
    const response = await globalThis.fetch(request)
    if (!again || response.status !== usedUpStatus) return response
    const problem: unknown = await response
      .clone()
      .json()
      .catch(() => undefined)
    if (!hasCode(problem, usedUpCode)) return response
    const { filename, contentType, size }: DeclaredFile = JSON.parse(await again.clone().text())
    const { token } = await ask({ files: [{ filename, contentType, size }] })
    again.headers.set('authorization', `Bearer ${token}`)
    return globalThis.fetch(again)
  }
}

function isAnnouncement({ method, url }: Request): boolean {
  return method === 'POST' && new URL(url).pathname.endsWith('/uploads')
}

function hasCode(problem: unknown, code: string): boolean {
  return typeof problem === 'object' && problem !== null && 'code' in problem && problem.code === code
}
