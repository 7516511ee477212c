import { readFileSync } from 'node:fs'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { EnvironmentError } from './environment.ts'
import { builtInPresets, Preset, type Presets } from './preset.ts'

const presetList = Compile(Type.Array(Preset))

/**
 * Reads the presets of one's own: a JSON array of presets, added to the built-in one. One that is named
 * `default` takes its place.
 *
 * @param path of the file; none: the built-in preset only
 * @throws EnvironmentError that names each place that is wrong
 */
export function readPresets(path: string | undefined): Presets {
  if (path === undefined) return builtInPresets
  const own = readJson(path)
  if (!presetList.Check(own)) {
    const problems = presetList.Errors(own).map(({ instancePath, message }) => `${instancePath} ${message}`)
    throw new EnvironmentError(`PRESETS_FILE is not a list of presets: ${problems.join('; ').trim()}.`)
  }
  const repeated = [
    ...repeatedNames(own).map((name) => `the preset ${name}`),
    ...own.flatMap(({ name, variants }) => repeatedNames(variants).map((of) => `${name}'s variant ${of}`)),
  ]
  if (repeated.length > 0) throw new EnvironmentError(`PRESETS_FILE has twice: ${repeated.join(', ')}.`)
  return new Map([...builtInPresets, ...own.map((preset) => [preset.name, preset] as const)])
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    const why = error instanceof SyntaxError ? `is not JSON: ${error.message}` : 'cannot be read'
    throw new EnvironmentError(`PRESETS_FILE ${why}.`, { cause: error })
  }
}

function repeatedNames(named: { name: string }[]): string[] {
  const names = named.map(({ name }) => name)
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))]
}
