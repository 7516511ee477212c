import type { DeclaredFile, RouteLimits } from '../routes/upload-grant.ts'
import type { RouteType } from '../routes/uploads-type.ts'
import type { WebhookEvent } from '../webhooks/webhook-event.ts'

/** Metadata of an upload: texts. What is undefined is left out. */
type Texts<Metadata> = { [Name in keyof Metadata]: string | undefined }

/** A schema of any library that supports Standard Schema (https://standardschema.dev), such as Zod, Valibot and ArkType. */
export type InputSchema<Input, Output> = {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}
type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string }[] }

/** What a route's `middleware` gets. */
export type MiddlewareArguments<Output = unknown, Context = unknown> = {
  /** The page's request. Its body has been read. */
  request: Request
  /** The files as the page declares them. Names and types are claims; the sizes and the number are enforced. */
  files: readonly DeclaredFile[]
  /** What the route's `input` returned. */
  input: Output
  /** Whether the files were allowed before, and the page only needs a new token. It announces no file. */
  isRenewal: boolean
  /** What the handler was called with, beside the request: with `toNodeHandler`, the framework's own request. */
  context: Context
}

type EventOf<Type extends WebhookEvent['type']> = Extract<WebhookEvent, { type: Type }>
type OutcomeType = 'upload.ready' | 'upload.rejected' | 'upload.failed'

/** What a route's callbacks get. */
export type OutcomeArguments<Type extends OutcomeType, Metadata> = {
  /** The upload as it was then. Its `metadata` also has what the page added. */
  upload: EventOf<Type>['data']
  /** The user that `middleware` returned. */
  user: string
  /** The metadata that `middleware` returned. The page cannot change it. */
  metadata: Metadata
  /** The same each time the event is delivered. An event can come more than once: do nothing the second time. */
  eventId: string
}

export type RouteDefinition<Metadata, Input, Output, Context> = RouteLimits & {
  /** The preset by which variants are made; otherwise `default`. */
  preset?: string
  /** Describes what the page sends with its files. Without it, `input` of `middleware` is undefined. */
  input?: InputSchema<Input, Output>
  /**
   * Decides who uploads: authenticate the request here. Runs for each request for a token, so also when a token is renewed.
   *
   * @returns `user`: your own id of the user, up to 256 characters; `metadata`: is stored with each file (names: letters,
   *   digits, `_ . -`; values: up to 256 characters)
   * @throws UploadRefused to refuse the files
   */
  middleware: (
    given: MiddlewareArguments<Output, Context>,
  ) => Authorization<Metadata> | Promise<Authorization<Metadata>>
  /**
   * The variants are made. As for all callbacks: an error makes Millrace deliver the event again later. Return within 15
   * seconds.
   */
  onReady?: (outcome: OutcomeArguments<'upload.ready', Metadata>) => unknown
  /** The file was refused after it had been inspected; `upload.error` says why. Final. */
  onRejected?: (outcome: OutcomeArguments<'upload.rejected', Metadata>) => unknown
  /** Processing failed after all attempts, for a reason that is not the file's. It can be processed again. */
  onFailed?: (outcome: OutcomeArguments<'upload.failed', Metadata>) => unknown
}

type Authorization<Metadata> = { user: string; metadata?: Metadata }

/** An outcome of an upload, and what its token stamped on it. */
export type Outcome = { event: EventOf<OutcomeType>; user: string; metadata: Record<string, string> }

/** A route of `createUploads`. */
export type UploadRoute<Input = unknown, Context = unknown> = RouteType<Input> & {
  readonly limits: RouteLimits
  readonly preset: string | undefined
  /** @returns why the input is invalid, or who uploads. @throws what the middleware throws */
  readonly authorize: (
    given: MiddlewareArguments<unknown, Context>,
  ) => Promise<{ invalidInput: string } | { user: string; metadata: Record<string, string> }>
  /** Calls the callback of an outcome. @throws what it throws */
  receive(outcome: Outcome): Promise<void>
}

/**
 * Declares a route for `createUploads`. What `middleware` returns is what the callbacks get, and TypeScript knows it if
 * `middleware` stands before them.
 */
export function route<
  Metadata extends Texts<Metadata> = Record<never, never>,
  Input = undefined,
  Output = undefined,
  Context = unknown,
>(definition: RouteDefinition<Metadata, Input, Output, Context>): UploadRoute<Input, Context> {
  const { preset, middleware, input: schema, accept, maxFileBytes, maxFiles } = definition
  return {
    preset,
    limits: {
      ...(accept && { accept }),
      ...(maxFileBytes !== undefined && { maxFileBytes }),
      ...(maxFiles !== undefined && { maxFiles }),
    },

    async authorize({ input: given, ...rest }) {
      // Without a schema, `Output` is `undefined`.
      const checked = schema ? await schema['~standard'].validate(given) : { value: undefined as Output }
      if (checked.issues) {
        return { invalidInput: checked.issues.map(({ message }) => message).join('; ') }
      }
      const { user, metadata } = await middleware({ ...rest, input: checked.value })
      return { user, metadata: textsOf(metadata ?? {}) }
    },

    async receive({ event, user, metadata }) {
      const { id: eventId } = event
      // The token stamped what the middleware returned, and nobody but the tenant's backend can change it since.
      const given = { user, eventId, metadata: metadata as Metadata }
      if (event.type === 'upload.ready') await definition.onReady?.({ upload: event.data, ...given })
      else if (event.type === 'upload.rejected')
        await definition.onRejected?.({ upload: event.data, ...given })
      else await definition.onFailed?.({ upload: event.data, ...given })
    },
  }
}

function textsOf(metadata: Record<string, string | undefined>): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(metadata)) if (value !== undefined) texts[name] = value
  return texts
}
