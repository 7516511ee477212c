import type { Fetch } from '../api/authorized-fetch.ts'
import type { Upload } from '../api/upload.ts'
import { createWaitUntilFinished } from '../following/wait-until-finished.ts'
import type { UploadOptions, UploadTask } from '../sending/upload.ts'
import type { UploadStorage } from '../sending/upload-storage.ts'
import { requestGrant } from './request-grant.ts'
import { openRouteSession, type RouteSession } from './route-session.ts'
import { startRouteTask } from './route-task.ts'
import type { DeclaredFile, GrantRequest } from './upload-grant.ts'
import type { InputOption, OptionsParameter, RouteInput, RouteName, UploadsType } from './uploads-type.ts'

/** Options of one file. The route decides the preset. */
export type RouteUploadOptions<Input = undefined> = FileOptions & InputOption<Input>

/** Options of several files. */
export type RouteUploadsOptions<Input = undefined> = InputOption<Input> & {
  /** Returns the options of one of the files. */
  optionsOf?: (file: Blob, index: number) => FileOptions
}

export type RouteWaitOptions<Input = undefined> = InputOption<Input> & FollowOptions

/** Options of files that are sent one after the other: what the route needs to know of all of them. */
export type PrepareOptions<Input = undefined> = InputOption<Input>

/** What can be said of a single file. */
type FileOptions = Omit<UploadOptions, 'preset'>

type FollowOptions = NonNullable<Parameters<ReturnType<typeof createWaitUntilFinished>>[1]>

/**
 * Creates the client of an app's own upload routes, for its pages. It asks the app's backend, which knows its user, for a
 * token, and sends the files straight to Millrace.
 *
 * ```ts
 * import type { uploads } from '../server/uploads.ts'
 * const client = createRouteClient<typeof uploads>({ endpoint: '/api/uploads' })
 * const { id } = await client.upload('avatar', file)
 * const { variants } = await client.waitUntilFinished('avatar', id)
 * ```
 *
 * @template Uploads the type of the backend's `createUploads(…)`: its routes and their input
 * @param options.endpoint where the backend's handler is mounted: a path, or a URL on another origin
 * @param options.fetch replaces the global `fetch` for requests to the endpoint, for example to send headers. Requests to
 *   Millrace have the token instead
 * @param options.storage remembers uploads that are being sent, so that they can be resumed: localStorage in browsers, nothing
 *   elsewhere
 */
export function createRouteClient<Uploads extends UploadsType>(options: {
  endpoint: string
  fetch?: Fetch
  storage?: UploadStorage
}) {
  const { endpoint, storage } = options
  const fetch: Fetch = options.fetch ?? ((request) => globalThis.fetch(request))
  /** The sessions of files that this page sends, by the upload's id. */
  const sessions = new Map<string, RouteSession>()

  /** Opens a session with the first call, for one or several files. */
  function createSession(
    route: string,
    input: unknown,
    files: readonly DeclaredFile[],
    isRenewal: boolean,
    signal: AbortSignal,
  ): () => Promise<RouteSession> {
    const ask = (body: GrantRequest) =>
      requestGrant({ endpoint, fetch }, route, { ...body, ...(input !== undefined && { input }) }, signal)
    let session: Promise<RouteSession> | undefined
    return () => {
      if (session) return session
      const opened = openRouteSession(ask, files, { isRenewal, storage })
      session = opened
      // The backend is asked again if a file that it refused, or did not answer for, is started again.
      opened.catch(() => {
        session = undefined
      })
      return opened
    }
  }

  /** Prepares files to be sent with one token, for which the backend is asked with the first of them. */
  function prepare(route: string, declared: readonly DeclaredFile[], input: unknown, isRenewal: boolean) {
    // The token serves all files, so no file's signal may end it.
    const { signal } = new AbortController()
    const session = createSession(route, input, declared, isRenewal, signal)
    // What the backend stamps on a file follows from the route and its input.
    const defaultScope = JSON.stringify([endpoint, route, input])
    return (file: Blob, options: FileOptions): UploadTask =>
      startRouteTask(async () => {
        const opened = await session()
        const { preset } = opened.grant
        const onAnnounced = (id: string) => {
          sessions.set(id, opened)
          options.onAnnounced?.(id)
        }
        const { resumeScope = defaultScope } = options
        return () =>
          opened.startUpload(file, {
            ...{ ...options, resumeScope, onAnnounced },
            ...(preset !== undefined && { preset }),
          })
      }, options.signal)
  }

  function startAll(
    route: string,
    files: readonly { file: Blob; options: FileOptions }[],
    input: unknown,
  ): UploadTask[] {
    const isRenewal = files.every(({ options }) => isIdOfUpload(options.resume))
    const declared = files.map(({ file, options }) => declare(file, options))
    const start = prepare(route, declared, input, isRenewal)
    return files.map(({ file, options }) => start(file, options))
  }

  async function follow(route: string, id: string, input: unknown, options: FollowOptions): Promise<Upload> {
    const signal = options.signal ?? new AbortController().signal
    const { api } = sessions.get(id) ?? (await createSession(route, input, [], true, signal)())
    const upload = await createWaitUntilFinished({ api })(id, options)
    sessions.delete(id)
    return upload
  }

  function startUpload<Name extends RouteName<Uploads>>(
    route: Name,
    file: Blob,
    ...[options]: OptionsParameter<RouteUploadOptions<RouteInput<Uploads, Name>>>
  ): UploadTask {
    const { input, ...rest }: RouteUploadOptions<unknown> = options ?? {}
    const [task] = startAll(route, [{ file, options: rest }], input)
    if (!task) throw new TypeError('There is no file to send.')
    return task
  }

  return {
    /**
     * Starts to send a file to a route.
     *
     * @param options those of `startUpload` of `createClient`, and `input`, if the route has one
     * @returns a task. Its `sent` rejects with a RouteError if the backend refuses the file
     */
    startUpload,

    /**
     * Starts to send several files to a route. The backend is asked once, so that its `maxFiles` counts them together.
     * @returns a task for each file, in the same order
     */
    startUploads<Name extends RouteName<Uploads>>(
      route: Name,
      files: readonly Blob[],
      ...[options]: OptionsParameter<RouteUploadsOptions<RouteInput<Uploads, Name>>>
    ): UploadTask[] {
      const { input, optionsOf }: RouteUploadsOptions<unknown> = options ?? {}
      const all = files.map((file, index) => ({ file, options: optionsOf?.(file, index) ?? {} }))
      return startAll(route, all, input)
    },

    /**
     * Prepares several files to be sent one after the other. The backend is asked once, when the first one is started.
     *
     * @returns `startUpload`, which starts one of the files, also again after it failed, and `waitUntilFinished`, both without
     *   the route and its input
     */
    prepareUploads<Name extends RouteName<Uploads>>(
      route: Name,
      files: readonly Blob[],
      ...[options]: OptionsParameter<PrepareOptions<RouteInput<Uploads, Name>>>
    ) {
      const { input }: PrepareOptions<unknown> = options ?? {}
      const declared = files.map((file) => declare(file, {}))
      const start = prepare(route, declared, input, false)
      return {
        startUpload: (file: Blob, fileOptions: FileOptions = {}) => start(file, fileOptions),
        waitUntilFinished: (id: string, followOptions: FollowOptions = {}) =>
          follow(route, id, input, followOptions),
      }
    },

    /**
     * Sends a file to a route.
     * @returns the upload, once S3 has all its bytes
     * @throws RouteError if the backend refuses the file; what `upload` of `createClient` throws
     */
    upload<Name extends RouteName<Uploads>>(
      route: Name,
      file: Blob,
      ...options: OptionsParameter<RouteUploadOptions<RouteInput<Uploads, Name>>>
    ): Promise<Upload> {
      return startUpload(route, file, ...options).sent
    },

    /**
     * Waits until an upload is finished, also one that was sent from an earlier page.
     *
     * @param route the route that it was sent to
     * @param options those of `waitUntilFinished` of `createClient`, and `input`, if the route has one
     * @returns the upload once it is `ready`, `rejected` or `failed`
     */
    waitUntilFinished<Name extends RouteName<Uploads>>(
      route: Name,
      id: string,
      ...[options]: OptionsParameter<RouteWaitOptions<RouteInput<Uploads, Name>>>
    ): Promise<Upload> {
      const { input, ...rest }: RouteWaitOptions<unknown> = options ?? {}
      return follow(route, id, input, rest)
    },
  }
}

export type RouteClient<Uploads extends UploadsType> = ReturnType<typeof createRouteClient<Uploads>>

/** Returns whether the option names an upload that was announced before. */
function isIdOfUpload(resume: UploadOptions['resume']): boolean {
  return resume !== undefined && resume !== 'auto' && resume !== 'never'
}

function declare(file: Blob, { filename, contentType }: Pick<UploadOptions, 'filename' | 'contentType'>) {
  return {
    filename: filename ?? ('name' in file && typeof file.name === 'string' ? file.name : 'file'),
    contentType: contentType ?? file.type,
    size: file.size,
  }
}
