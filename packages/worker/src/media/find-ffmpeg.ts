import { accessSync, constants } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'

/**
 * Finds the program that decodes video frames.
 *
 * @param setting an absolute path, or `off`; undefined: `ffmpeg` on the search path, if there is one
 * @param searchPath in the form of PATH
 * @returns its path; undefined: there is none, so videos get no poster
 * @throws Error if the path in the setting is not absolute, or names no program
 */
export function findFfmpeg(setting: string | undefined, searchPath = ''): string | undefined {
  if (setting === 'off') return undefined
  if (setting === undefined) {
    return searchPath
      .split(delimiter)
      .filter(isAbsolute)
      .map((directory) => join(directory, 'ffmpeg'))
      .find(isProgram)
  }
  if (!isAbsolute(setting) || !isProgram(setting)) {
    throw new Error('FFMPEG is neither the absolute path of a program nor "off".')
  }
  return setting
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
