import { readFileSync } from 'node:fs'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import type { ReportProblem } from '../service/environment.ts'
import { integerFrom, schemaProblems, shown } from '../service/schema-problems.ts'
import { builtInPresets, effortRanges, Preset, type Presets, type VariantRecipe } from './preset.ts'

const PresetList = Type.Array(Preset)
const presetList = Compile(PresetList)

/** The variables of presets: a file, or their JSON itself if a service has no file of its own, as on AWS. */
export const presetVariables = {
  PRESETS_FILE: Type.Optional(Type.String()),
  PRESETS: Type.Optional(Type.String()),
}

/**
 * Reads the configured presets, a JSON array, and adds them to the built-in one. A preset with the name
 * `default` replaces the built-in one.
 *
 * @param variables `PRESETS_FILE` or `PRESETS`; without both, the built-in preset is the only one
 * @param report receives one sentence per problem; then the returned presets are not complete
 */
export function readPresets(
  variables: { PRESETS_FILE?: string | undefined; PRESETS?: string | undefined },
  report: ReportProblem,
): Presets {
  const { PRESETS_FILE: path, PRESETS: text } = variables
  if (path !== undefined && text !== undefined) {
    report('PRESETS and PRESETS_FILE are both set; set only one of them.')
    return builtInPresets
  }
  if (path !== undefined) {
    const content = readText(path, report)
    return content === undefined ? builtInPresets : parsePresets('PRESETS_FILE', content, report)
  }
  return text === undefined ? builtInPresets : parsePresets('PRESETS', text, report)
}

function readText(path: string, report: ReportProblem): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    report(`PRESETS_FILE cannot be read: ${messageOf(error)}.`)
    return undefined
  }
}

function parsePresets(source: keyof typeof presetVariables, text: string, report: ReportProblem): Presets {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    report(`${source} is not JSON: ${messageOf(error)}.`)
    return builtInPresets
  }
  const problems = [...presetProblems(value, source)]
  for (const problem of problems) report(problem)
  if (problems.length > 0 || !presetList.Check(value)) return builtInPresets
  return new Map([...builtInPresets, ...value.map((preset) => [preset.name, preset] as const)])
}

/** The problems of a list of presets. Rules between fields apply to the presets and variants that have the fields. */
function presetProblems(value: unknown, source: string): string[] {
  const presets = arrayOf(value)
  return [
    ...schemaProblems(PresetList, value, source),
    ...repeatedNames(presets, source),
    ...presets.flatMap((preset, index) => {
      const path = `${source}[${index}].variants`
      const variants = arrayOf(fieldOf(preset, 'variants'))
      return [
        ...repeatedNames(variants, path),
        ...variants.flatMap((variant, place) => variantProblems(variant, `${path}[${place}]`)),
      ]
    }),
  ]
}

/** The rules that depend on two fields of a variant. */
function variantProblems(variant: unknown, path: string): string[] {
  const problems: string[] = []
  if (fieldOf(variant, 'fit') === 'cover' && fieldOf(variant, 'height') === undefined) {
    problems.push(`${path}.height is missing; fit "cover" requires it.`)
  }
  const effort = fieldOf(variant, 'effort')
  const format = fieldOf(variant, 'format')
  if (effort === undefined || !isFormat(format)) return problems
  const range = effortRanges[format]
  if (range === undefined) {
    problems.push(`${path}.effort is ${shown(effort)}; ${format} has no effort, so it must be left out.`)
  } else if (typeof effort === 'number' && (effort < range.minimum || effort > range.maximum)) {
    const allowed = integerFrom(range.minimum, range.maximum)
    problems.push(`${path}.effort is ${shown(effort)}; for ${format} it must be ${allowed}.`)
  }
  return problems
}

function repeatedNames(entries: unknown[], path: string): string[] {
  const names = entries.map((entry) => fieldOf(entry, 'name'))
  return names.flatMap((name, index) => {
    const first = names.indexOf(name)
    return typeof name === 'string' && first < index
      ? [`${path}[${index}].name is ${shown(name)}; it must differ from ${path}[${first}].name.`]
      : []
  })
}

function isFormat(value: unknown): value is VariantRecipe['format'] {
  return typeof value === 'string' && Object.hasOwn(effortRanges, value)
}

function arrayOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined
}

/** An error's message on one line: a JSON parser quotes its input with line breaks. */
function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.replaceAll(/\s+/g, ' ') : String(error)
}
