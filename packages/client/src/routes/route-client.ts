import type { Fetch } from '../api/authorized-fetch.ts'
import { createWaitUntilFinished } from '../following/wait-until-finished.ts'
import type { Upload, UploadOptions } from '../sending/upload.ts'
import { requestGrant } from './request-grant.ts'
import { openRouteSession } from './route-session.ts'
import { startRouteTask, type UploadTask } from './route-task.ts'
import type { DeclaredFile, GrantRequest } from './upload-grant.ts'
import type { InputOption, OptionsParameter, RouteInput, RouteName, UploadsType } from './uploads-type.ts'

/** Options of one file. The route decides the preset. */
export type RouteUploadOptions<Input = undefined> = Omit<UploadOptions, 'preset'> & InputOption<Input>

/** Options of several files. */
export type RouteUploadsOptions<Input = undefined> = InputOption<Input> & {
  /** Returns the options of one of the files. */
  optionsOf?: (file: Blob, index: number) => Omit<UploadOptions, 'preset'>
}

export type RouteWaitOptions<Input = undefined> = InputOption<Input> &
  NonNullable<Parameters<ReturnType<typeof createWaitUntilFinished>>[1]>

type Session = Awaited<ReturnType<typeof openRouteSession>>

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
 */
export function createRouteClient<Uploads extends UploadsType>(options: { endpoint: string; fetch?: Fetch }) {
  const { endpoint } = options
  const fetch: Fetch = options.fetch ?? ((request) => globalThis.fetch(request))
  /** The sessions of files that this page sends, by the upload's id. */
  const sessions = new Map<string, Promise<Session>>()

  /** Opens a session with the first call, for one or several files. */
  function createSession(
    route: string,
    input: unknown,
    files: readonly DeclaredFile[],
    isRenewal: boolean,
    signal: AbortSignal,
  ): () => Promise<Session> {
    const ask = (body: GrantRequest) =>
      requestGrant({ endpoint, fetch }, route, { ...body, ...(input !== undefined && { input }) }, signal)
    let session: Promise<Session> | undefined
    return () => {
      session ??= openRouteSession(ask, files, { isRenewal })
      return session
    }
  }

  function startAll(
    route: string,
    files: readonly { file: Blob; options: Omit<UploadOptions, 'preset'> }[],
    input: unknown,
  ): UploadTask[] {
    // The token serves all files, so no file's signal may end it.
    const { signal } = new AbortController()
    const isRenewal = files.every(({ options }) => options.resume !== undefined)
    const declared = files.map(({ file, options }) => declare(file, options))
    const session = createSession(route, input, declared, isRenewal, signal)
    return files.map(({ file, options }) =>
      startRouteTask(
        async () => {
          const { api, grant } = await session()
          const { preset } = grant
          const onAnnounced = (id: string) => {
            sessions.set(id, session())
            options.onAnnounced?.(id)
          }
          return { api, options: { ...options, onAnnounced, ...(preset !== undefined && { preset }) } }
        },
        file,
        options.signal,
      ),
    )
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
    async waitUntilFinished<Name extends RouteName<Uploads>>(
      route: Name,
      id: string,
      ...[options]: OptionsParameter<RouteWaitOptions<RouteInput<Uploads, Name>>>
    ): Promise<Upload> {
      const { input, ...rest }: RouteWaitOptions<unknown> = options ?? {}
      const signal = rest.signal ?? new AbortController().signal
      const session = sessions.get(id) ?? createSession(route, input, [], true, signal)()
      const { api } = await session
      const upload = await createWaitUntilFinished({ api })(id, rest)
      sessions.delete(id)
      return upload
    },
  }
}

export type RouteClient<Uploads extends UploadsType> = ReturnType<typeof createRouteClient<Uploads>>

function declare(file: Blob, { filename, contentType }: Pick<UploadOptions, 'filename' | 'contentType'>) {
  return {
    filename: filename ?? ('name' in file && typeof file.name === 'string' ? file.name : 'file'),
    contentType: contentType ?? file.type,
    size: file.size,
  }
}
