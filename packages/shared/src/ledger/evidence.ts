import Type, { type Static } from 'typebox'

/**
 * How an upload's outcome came about, for those who must explain it later: what was checked with which tools and limits,
 * and what each step took. It is in the manifest only, not in the record.
 */
export const Evidence = Type.Object({
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
  tools: Type.Record(Type.String(), Type.String(), { description: 'versions by name' }),
  steps: Type.Array(
    Type.Object({
      name: Type.String(),
      ms: Type.Integer({ description: 'wall time' }),
      cpuMs: Type.Optional(Type.Integer({ description: 'of the decoder' })),
      bytes: Type.Optional(Type.Integer({ description: 'read or written' })),
    }),
  ),
})
export type Evidence = Static<typeof Evidence>
