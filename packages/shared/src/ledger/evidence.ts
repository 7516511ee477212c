import Type, { type Static } from 'typebox'

/**
 * How an upload's outcome came about, for those who must explain it later: what was checked with which tools and limits,
 * and what each step took. It is in the manifest only, not in the record.
 *
 * A manifest whose evidence does not match is unreadable as a whole. So a later version may add optional fields, but must not
 * change these: instances of the version before read its manifests during a rolling deploy.
 */
export const Evidence = Type.Object({
  attempt: Type.Optional(
    Type.Integer({
      minimum: 1,
      description: 'which attempt of the job; faults of Redis or S3 count as none',
    }),
  ),
  receivedAt: Type.Optional(
    Type.String({
      description: 'ISO 8601; when the bytes had arrived, or the upload was to be processed again',
    }),
  ),
  startedAt: Type.Optional(Type.String({ description: 'ISO 8601; when the attempt began' })),
  typeFoundBy: Type.Optional(
    Type.String({ description: 'what showed the type: `signature`, `container`, `text` and so on' }),
  ),
  checks: Type.Array(
    Type.Object({
      name: Type.String({ description: 'such as size, sha256, type, clamd' }),
      result: Type.Union([Type.Literal('passed'), Type.Literal('failed'), Type.Literal('skipped')]),
      detail: Type.Optional(Type.String()),
    }),
  ),
  limits: Type.Record(Type.String(), Type.Number(), { description: 'limits in force, by name' }),
  tools: Type.Record(Type.String(), Type.String(), {
    description: 'versions of what worked on the file, by name',
  }),
  steps: Type.Array(
    Type.Object({
      name: Type.String(),
      ms: Type.Integer({ description: 'wall time' }),
      cpuMs: Type.Optional(Type.Integer({ description: 'of the decoder' })),
      bytes: Type.Optional(Type.Integer({ description: 'read or written' })),
    }),
  ),
  lastError: Type.Optional(
    Type.Object(
      {
        code: Type.String({ description: 'of the error catalogue, or the name of another error' }),
        cause: Type.Optional(Type.String({ description: 'the name of the error behind it' })),
      },
      { description: 'why the last attempt failed, if the upload is `failed`; the log has more' },
    ),
  ),
})
export type Evidence = Static<typeof Evidence>
