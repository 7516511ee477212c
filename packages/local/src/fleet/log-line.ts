/** One line of a service's output. `event` and `port` are present only if a pino record contains them. */
export type LogLine = { level: number; event?: string; port?: number; text: string }

const levelNames = new Map([
  [10, 'trace'],
  [20, 'debug'],
  [30, 'info'],
  [40, 'warning'],
  [50, 'error'],
  [60, 'fatal'],
])

export const warningLevel = 40
const plainTextLevel = 30

/**
 * Parses one line of a service's output.
 * @returns its level, event and port, and readable text; a line that is not a JSON record is returned unchanged
 */
export function readLogLine(line: string): LogLine {
  const record = parseRecord(line)
  if (!record) return { level: plainTextLevel, text: line }
  const level = typeof record['level'] === 'number' ? record['level'] : plainTextLevel
  const { event, port, msg, err } = record
  const cause =
    err && typeof err === 'object' && 'message' in err && err.message !== msg ? `: ${err.message}` : ''
  return {
    level,
    text: `${levelNames.get(level) ?? level}: ${typeof msg === 'string' ? msg : line}${cause}`,
    ...(typeof event === 'string' && { event }),
    ...(typeof port === 'number' && { port }),
  }
}

function parseRecord(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
