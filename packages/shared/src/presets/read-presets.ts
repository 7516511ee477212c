import { readFileSync } from 'node:fs'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { EnvironmentError } from '../service/environment.ts'
import { builtInPresets, Preset, type Presets } from './preset.ts'

const presetList = Compile(Type.Array(Preset))

/** The variables that name them: a file, or the same itself where a service has no file of its own, as on AWS. */
export const presetVariables = {
  PRESETS_FILE: Type.Optional(Type.String()),
  PRESETS: Type.Optional(Type.String()),
}

/**
 * Reads the presets of one's own: a JSON array of presets, added to the built-in one. One that is named
 * `default` takes its place.
 *
 * @param variables `PRESETS_FILE` or `PRESETS`; none: the built-in preset only
 * @throws EnvironmentError that names each place that is wrong
 */
export function readPresets(variables: { PRESETS_FILE?: string; PRESETS?: string }): Presets {
  const { PRESETS_FILE: path, PRESETS: text } = variables
  if (path !== undefined && text !== undefined) {
    throw new EnvironmentError('PRESETS and PRESETS_FILE are both set; which of them is meant?')
  }
  if (path === undefined && text === undefined) return builtInPresets
  const source = path === undefined ? 'PRESETS' : 'PRESETS_FILE'
  const own = readJson(source, () => text ?? readFileSync(path ?? '', 'utf8'))
  if (!presetList.Check(own)) {
    const problems = presetList.Errors(own).map(({ instancePath, message }) => `${instancePath} ${message}`)
    throw new EnvironmentError(`${source} is not a list of presets: ${problems.join('; ').trim()}.`)
  }
  const repeated = [
    ...repeatedNames(own).map((name) => `the preset ${name}`),
    ...own.flatMap(({ name, variants }) => repeatedNames(variants).map((of) => `${name}'s variant ${of}`)),
  ]
  if (repeated.length > 0) throw new EnvironmentError(`${source} has twice: ${repeated.join(', ')}.`)
  return new Map([...builtInPresets, ...own.map((preset) => [preset.name, preset] as const)])
}

function readJson(source: keyof typeof presetVariables, read: () => string): unknown {
  try {
    return JSON.parse(read())
  } catch (error) {
    const why = error instanceof SyntaxError ? `is not JSON: ${error.message}` : 'cannot be read'
    throw new EnvironmentError(`${source} ${why}.`, { cause: error })
  }
}

function repeatedNames(named: { name: string }[]): string[] {
  const names = named.map(({ name }) => name)
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))]
}
