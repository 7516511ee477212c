/** One line of a service's output. `sentence` is the text without the name of its level. */
export type LogLine = { level: number; text: string; sentence: string }

const levelNames = new Map([
  [10, 'trace'],
  [20, 'debug'],
  [30, 'info'],
  [40, 'warning'],
  [50, 'error'],
  [60, 'fatal'],
])

export const warningLevel = 40
export const errorLevel = 50
const plainTextLevel = 30

/**
 * Parses one line of a service's output.
 * @returns its level and readable text; a line that is not a JSON record is returned unchanged
 */
export function readLogLine(line: string): LogLine {
  const record = parseRecord(line)
  if (!record) return { level: plainTextLevel, text: line, sentence: line }
  const level = typeof record['level'] === 'number' ? record['level'] : plainTextLevel
  const { msg, err } = record
  const cause = err && typeof err === 'object' && 'message' in err ? String(err.message) : undefined
  const what = typeof msg === 'string' ? msg : line
  const sentence = cause === undefined || cause === what ? what : `${what}: ${cause}`
  return { level, text: `${levelNames.get(level) ?? level}: ${sentence}`, sentence }
}

function parseRecord(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
