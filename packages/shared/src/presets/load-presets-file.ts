import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'

/** The names of a presets file that is used without being named, the first one that exists. */
const fileNames = ['presets.config.ts', 'presets.config.mjs', 'presets.config.js', 'presets.json']

/**
 * Finds the presets file of a project, for a system that is started without the variables of presets.
 *
 * @param folder of the project
 * @param variables those that are set: with one of them, no file is looked for
 * @returns its absolute path, or undefined
 */
export function findPresetsFile(
  folder: string,
  { PRESETS, PRESETS_FILE }: { PRESETS?: string | undefined; PRESETS_FILE?: string | undefined },
): string | undefined {
  if (PRESETS || PRESETS_FILE) return undefined
  return fileNames.map((name) => resolve(folder, name)).find((path) => existsSync(path))
}

/**
 * Reads a presets file: JSON, or a module whose default export is the list. A module runs in this process, as the rest of
 * the configuration does.
 *
 * @param path relative to the working directory, or absolute
 * @returns the value, which is not checked
 * @throws Error with a message that completes the sentence "PRESETS_FILE …"
 */
export function loadPresetsFile(path: string): unknown {
  return /\.[cm]?[jt]s$/.test(path) ? loadModule(resolve(path)) : parseJson(readText(path))
}

/** Parses the JSON of a file or a variable. @throws Error as `loadPresetsFile` */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`is not JSON: ${oneLine(error)}.`)
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new Error(`cannot be read: ${oneLine(error)}.`)
  }
}

function loadModule(path: string): unknown {
  // Its message is clearer than that of a module that is not found.
  readText(path)
  let exported: unknown
  try {
    // Node loads ES modules and TypeScript with `require`, as long as they have no top-level await.
    exported = createRequire(path)(path)
  } catch (error) {
    throw new Error(`cannot be loaded: ${oneLine(error)}.`)
  }
  if (typeof exported !== 'object' || exported === null || !('default' in exported)) {
    throw new Error('has no default export; it must export a list of presets as default.')
  }
  return exported.default
}

/** An error's message on one line, without a full stop: parsers quote their input with line breaks. */
function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.replaceAll(/\s+/g, ' ').trim().replace(/\.$/, '')
}
