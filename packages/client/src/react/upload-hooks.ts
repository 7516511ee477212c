import type { Fetch } from '../api/authorized-fetch.ts'
import { createRouteClient, type PrepareOptions } from '../routes/route-client.ts'
import type { OptionsParameter, RouteInput, RouteName, UploadsType } from '../routes/uploads-type.ts'
import type { UploadListOptions } from './upload-list.ts'
import { type Uploading, useUploadList } from './use-upload-list.ts'

/**
 * Creates the hook of an app's own upload routes, once, outside of components.
 *
 * ```tsx
 * import type { uploads } from '../server/uploads.ts'
 * const { useUpload } = createUploadHooks<typeof uploads>({ endpoint: '/api/uploads' })
 *
 * function Avatar() {
 *   const { start, uploads } = useUpload('avatar')
 *   return <input type="file" onChange={({ target }) => start(target.files ?? [])} />
 * }
 * ```
 *
 * @template Uploads the type of the backend's `createUploads(…)`
 * @param options.endpoint where the backend's handler is mounted: a path, or a URL on another origin
 * @param options.fetch replaces the global `fetch` for requests to the endpoint, for example to send headers
 */
export function createUploadHooks<Uploads extends UploadsType>(options: { endpoint: string; fetch?: Fetch }) {
  const client = createRouteClient<Uploads>(options)
  return {
    /**
     * Sends files to a route, and follows them.
     *
     * @returns `start`, which takes files and the route's `input` if it has one, and the list of the files that it was called
     *   with. It belongs to this component: pass it on to others
     */
    useUpload<Name extends RouteName<Uploads>>(
      route: Name,
      listOptions: UploadListOptions = {},
    ): Uploading<OptionsParameter<PrepareOptions<RouteInput<Uploads, Name>>>> {
      return useUploadList(
        (files, ...parameters) => client.prepareUploads(route, files, ...parameters),
        listOptions,
      )
    },
  }
}
