import Type, { type Static } from 'typebox'

/** The names of all jobs. Each has exactly one handler in the worker, which checks this at start. */
export const JobName = Type.Union([
  Type.Literal('process-upload'),
  Type.Literal('import-upload'),
  Type.Literal('distribute-event'),
  Type.Literal('deliver-event'),
])
export type JobName = Static<typeof JobName>
