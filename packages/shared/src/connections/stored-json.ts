import { AppError } from '../service/app-error.ts'

/** The part of a compiled TypeBox schema that is used here. */
export type Validator<Value> = {
  Check(value: unknown): value is Value
  Errors(value: unknown): { instancePath: string; message: string }[]
}

/**
 * Reads stored JSON that another version of Millrace may have written: during a rolling deploy, or before a rollback.
 * Fields that the schema does not know are kept.
 *
 * @param name names the text in the log, for example its key; never part of a response
 * @throws AppError `unreadable_record` if the text is not JSON or does not match the schema. Its cause names the text
 *   and the place of the first difference, but no value
 */
export function parseStored<Value>(validator: Validator<Value>, text: string, name: string): Value {
  const value = parseJson(text)
  if (validator.Check(value)) return value
  throw unreadableRecord(`${name} ${problemOf(validator, value)}`)
}

/** Creates the error for stored data of an unknown form. @param problem for the log: names the data, without values */
export function unreadableRecord(problem: string): AppError {
  return new AppError('unreadable_record', { cause: new Error(problem) })
}

/** Whether an error means that stored data has an unknown form. The data exists and must not be replaced by a guess. */
export function isUnreadable(error: unknown): error is AppError {
  return error instanceof AppError && error.code === 'unreadable_record'
}

/** Whether Redis refused a command because the key has another type than this version gives it. */
export function isWrongType(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('WRONGTYPE ')
}

/**
 * Handles a rejection where unreadable data counts as none.
 * @throws any other error
 */
export function undefinedIfUnreadable(error: unknown): undefined {
  if (!isUnreadable(error)) throw error
}

/** Parses JSON. Returns undefined if the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function problemOf(validator: Validator<unknown>, value: unknown): string {
  if (value === undefined) return 'is not JSON.'
  const [first] = validator.Errors(value)
  return `does not match its schema: ${first?.instancePath || 'the whole'} ${first?.message ?? 'is invalid'}.`
}
