import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { wrongSettingsExitCode } from '@millrace/shared/service/read-config-or-exit.ts'
import { hasErrorCode } from './error-code.ts'
import { StartError } from './start-error.ts'

/** The file in the working directory, which for npm is the project's folder. */
const defaultFile = '.env'
/** A setting, up to the quotation mark with which its value begins, if it has one. */
const setting = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=[^\S\n]*(["'`]?)/

/**
 * Adds the variables of `.env` to an environment, as Node's `process.loadEnvFile` does: those that are set already stay.
 * Node ignores a line that it does not understand, so the lines are checked first.
 *
 * @param environment usually `process.env`
 * @param file a path; if it does not exist, nothing is added
 * @returns the variables of the file
 * @throws StartError with one sentence that names the file and the line, but never a value
 */
export function loadEnvFile(environment: NodeJS.ProcessEnv, file = defaultFile): NodeJS.Dict<string> {
  const text = readIfPresent(file)
  checkLines(text, file)
  const variables = parseEnv(text)
  for (const [name, value] of Object.entries(variables)) environment[name] ??= value
  return variables
}

function readIfPresent(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return ''
    const reason = error instanceof Error ? error.message : String(error)
    throw new StartError(`${file} cannot be read: ${reason}.`)
  }
}

/** @throws StartError for the first wrong line */
function checkLines(text: string, file: string): void {
  const lines = text.split('\n')
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? ''
    const where = `${file}, line ${index + 1}`
    if (/^\s*(#|$)/.test(line)) continue
    const [start, name, quote] = setting.exec(line) ?? []
    if (start === undefined) {
      throw new StartError(
        `${where} is not a setting: it must be NAME=value, or a comment that begins with #.`,
        wrongSettingsExitCode,
      )
    }
    if (!quote) continue
    // A value in quotation marks may have several lines.
    const rest = [line.slice(start.length), ...lines.slice(index + 1)]
    const end = rest.findIndex((part) => part.includes(quote))
    if (end === -1) {
      throw new StartError(
        `${where}: the value of ${name} begins with ${quote}, but has no ${quote} at its end.`,
        wrongSettingsExitCode,
      )
    }
    index += end
  }
}
