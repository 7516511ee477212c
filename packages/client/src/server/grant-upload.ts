import type { Client } from 'openapi-fetch'
import type { paths } from '../api/api-types.ts'
import { dataOf } from '../api/millrace-error.ts'
import { isRetryable, retry } from '../api/retry.ts'
import { RouteError } from '../routes/route-error.ts'
import type { DeclaredFile, GrantRequest, RouteLimits, UploadGrant } from '../routes/upload-grant.ts'
import { readBody } from './read-body.ts'
import { stampMetadata } from './route-stamp.ts'
import type { UploadRoute } from './upload-route.ts'

/** How often Millrace is asked for a token. A person waits for the answer. */
const attempts = 3
/** How long Millrace may take for a token, in ms, with all attempts. */
const timeoutMs = 10_000
/** The preset of files that name none. */
const defaultPreset = 'default'

/**
 * Creates the function that answers a page's request for a token.
 *
 * @param deps.tokenSeconds how long a token lasts
 * @param deps.publicOrigin where pages reach the API
 */
export function createGrantUpload<Context>(deps: {
  api: Client<paths>
  routes: Readonly<Record<string, UploadRoute<unknown, Context>>>
  publicOrigin: string
  tokenSeconds: number
}) {
  const { api, routes, publicOrigin, tokenSeconds } = deps

  /**
   * @param name the route
   * @throws RouteError; what the route's middleware throws; ApiProblem
   */
  return async function grantUpload(request: Request, name: string, context: Context): Promise<UploadGrant> {
    const route = Object.hasOwn(routes, name) ? routes[name] : undefined
    if (!route) {
      throw new RouteError({ status: 404, code: 'route_unknown', detail: `There is no route "${name}".` })
    }
    const { files, renew: isRenewal = false, input } = await readGrantRequest(request)
    const authorized = await route.authorize({ request, files, input, isRenewal, context })
    if ('invalidInput' in authorized) throw invalid(authorized.invalidInput, 'input_invalid')
    if (!isRenewal) checkLimits(files, route.limits)
    const { user, metadata } = authorized
    const { accept, maxFileBytes } = route.limits
    const body = {
      user,
      expiresIn: tokenSeconds,
      scopes: ['uploads:read' as const, 'uploads:write' as const],
      presets: [route.preset ?? defaultPreset],
      ...(accept && { accept: [...accept] }),
      ...(maxFileBytes !== undefined && { maxFileBytes }),
      // The middleware has seen these files, so the token is for no others. A renewed one is for none.
      ...(isRenewal ? { maxFiles: 0 } : { maxFiles: files.length, maxBytes: totalBytes(files) }),
      metadata: stampMetadata(name, metadata),
    }
    const signal = AbortSignal.timeout(timeoutMs)
    const { token, expiresAt } = await retry(
      async () => dataOf(await api.POST('/tokens', { body, signal })),
      {
        signal,
        attempts,
      },
    ).catch((error) => {
      throw isRetryable(error) || signal.aborted ? unavailable(error) : error
    })
    return {
      ...{ token, expiresAt, origin: publicOrigin, limits: route.limits },
      ...(route.preset !== undefined && { preset: route.preset }),
    }
  }
}

/** @throws RouteError `request_invalid` */
async function readGrantRequest(request: Request): Promise<GrantRequest> {
  const type = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  // Pages of other origins cannot send this type without a preflight request.
  if (type !== 'application/json') {
    throw invalid('The content type must be application/json.', 'request_invalid', 415)
  }
  const text = await readBody(request)
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw invalid('The body is no JSON.')
  }
  if (!isGrantRequest(body)) {
    throw invalid('The body must be {"files": [{"filename": "…", "contentType": "…", "size": 1}]}.')
  }
  if (body.files.length === 0 && !body.renew) throw invalid('files is empty.')
  return body
}

function isGrantRequest(body: unknown): body is GrantRequest {
  if (typeof body !== 'object' || body === null || !('files' in body) || !Array.isArray(body.files))
    return false
  if ('renew' in body && typeof body.renew !== 'boolean') return false
  return body.files.every(isDeclaredFile)
}

function isDeclaredFile(file: unknown): file is DeclaredFile {
  return (
    typeof file === 'object' &&
    file !== null &&
    'filename' in file &&
    typeof file.filename === 'string' &&
    'contentType' in file &&
    typeof file.contentType === 'string' &&
    'size' in file &&
    Number.isSafeInteger(file.size) &&
    Number(file.size) >= 0
  )
}

/**
 * Types are checked by Millrace when the file is announced, before a byte is sent: it knows that `image/jpg` is `image/jpeg`.
 * @throws RouteError `too_many_files`, `file_too_large`
 */
function checkLimits(files: readonly DeclaredFile[], { maxFiles, maxFileBytes }: RouteLimits): void {
  if (maxFiles !== undefined && files.length > maxFiles) {
    throw invalid(`There are ${files.length} files; the limit is ${maxFiles}.`, 'too_many_files')
  }
  const large = files.find(({ size }) => maxFileBytes !== undefined && size > maxFileBytes)
  if (large) {
    const { filename, size } = large
    throw invalid(`${filename} has ${size} bytes; the limit is ${maxFileBytes}.`, 'file_too_large', 413)
  }
}

/** Millrace counts an empty file as one byte until it has arrived. */
function totalBytes(files: readonly DeclaredFile[]): number {
  return files.reduce((sum, { size }) => sum + Math.max(size, 1), 0)
}

function invalid(
  detail: string,
  code: 'request_invalid' | 'input_invalid' | 'too_many_files' | 'file_too_large' = 'request_invalid',
  status = 400,
): RouteError {
  return new RouteError({ status, code, detail })
}

/** What the API said is for the app's developers: `onError` gets it as the cause. */
function unavailable(cause: unknown): RouteError {
  const error = new RouteError({
    ...{ status: 503, code: 'unavailable' },
    detail: 'Files cannot be uploaded at the moment.',
  })
  error.cause = cause
  return error
}
