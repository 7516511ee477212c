import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isObject } from './decent-client.ts'

const maxDetail = 140
const infoLevel = 30

/**
 * Creates the reader of what the services logged about an upload.
 * @param logDirectory has one file for each service, with JSON lines
 * @param startedAtMs the begin of the run, in ms since 1970: times are shown from there
 */
export function createLogExcerpt(logDirectory: string, startedAtMs: number) {
  const lines = readdirSync(logDirectory).flatMap((name) =>
    readFileSync(join(logDirectory, name), 'utf8').split('\n'),
  )

  /** Returns the last lines that contain the upload's id, in the order of their times, short enough to read. */
  return function excerpt(id: string, count: number): string[] {
    return (
      lines
        .filter((line) => line.startsWith('{') && line.includes(id))
        .map((line): unknown => JSON.parse(line))
        .filter(isObject)
        // Also the check at the end of the run reads every upload.
        .filter(({ operation, level }) => operation !== 'getUpload' || Number(level) > infoLevel)
        .sort((a, b) => Number(a['time']) - Number(b['time']))
        .slice(-count)
        .map(shorten)
    )
  }

  function shorten(record: Record<string, unknown>): string {
    const { time, instance, operation, event, code, outcome, msg, res, err } = record
    const status = isObject(res) ? res['statusCode'] : undefined
    const message = isObject(err) ? String(err['message']).slice(0, maxDetail) : undefined
    const details = [operation, event ?? msg, outcome, code, status, message]
    const seconds = ((Number(time) - startedAtMs) / 1000).toFixed(1)
    return [`${seconds} s`, instance, ...details].filter((detail) => detail !== undefined).join('  ')
  }
}
