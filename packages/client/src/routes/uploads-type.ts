/**
 * What a page knows of a route of the app's backend, as a type only.
 * @template Input what the page sends with its files; undefined: nothing
 */
export type RouteType<Input = unknown> = { readonly '~types'?: { input: Input } }

/** What `createUploads` returns, as far as pages need it: `createRouteClient<typeof uploads>`. */
export type UploadsType = { routes: Record<string, RouteType> }

/** The names of the routes. */
export type RouteName<Uploads extends UploadsType> = keyof Uploads['routes'] & string

/** What a page sends with its files to a route. */
export type RouteInput<Uploads extends UploadsType, Name extends RouteName<Uploads>> =
  Uploads['routes'][Name] extends RouteType<infer Input> ? Input : never

/** The option `input`, which is required if the route needs one. */
export type InputOption<Input> = undefined extends Input ? { input?: Input } : { input: Input }

/** Parameters of options which may be left out unless one of them is required. */
export type OptionsParameter<Options> =
  Record<never, never> extends Options ? [options?: Options] : [options: Options]
