import Type from 'typebox'
import { Compile } from 'typebox/compile'
import type { ReportProblem } from '../service/environment.ts'
import { loadPresetsFile, parseJson } from './load-presets-file.ts'
import { builtInPresets, type Preset, type Presets } from './preset.ts'
import { PresetList, presetProblems } from './preset-problems.ts'

const presetList = Compile(PresetList)

/** The variables of presets: a file, or their JSON itself if a service has no file of its own, as on AWS. */
export const presetVariables = {
  PRESETS_FILE: Type.Optional(Type.String()),
  PRESETS: Type.Optional(Type.String()),
}

type PresetVariables = { PRESETS_FILE?: string | undefined; PRESETS?: string | undefined }

/**
 * Reads the configured presets and adds them to the built-in one. A preset with the name `default` replaces the built-in
 * one.
 *
 * @param variables `PRESETS_FILE`: the path of a JSON file or of a module; `PRESETS`: the JSON itself. Without both, the
 *   built-in preset is the only one
 * @param report receives one sentence per problem; then the returned presets are not complete
 */
export function readPresets(variables: PresetVariables, report: ReportProblem): Presets {
  const { PRESETS_FILE: path, PRESETS: text } = variables
  if (path !== undefined && text !== undefined) {
    report('PRESETS and PRESETS_FILE are both set; set only one of them.')
    return builtInPresets
  }
  if (path === undefined && text === undefined) return builtInPresets
  const own = readOwnPresets(variables, report)
  return new Map([...builtInPresets, ...own.map((preset) => [preset.name, preset] as const)])
}

/** Reads the presets of one variable without the built-in one. Parameters as of `readPresets`. */
export function readOwnPresets(variables: PresetVariables, report: ReportProblem): readonly Preset[] {
  const { PRESETS_FILE: path, PRESETS: text = '' } = variables
  const source = path === undefined ? 'PRESETS' : 'PRESETS_FILE'
  let value: unknown
  try {
    value = path === undefined ? parseJson(text) : loadPresetsFile(path)
  } catch (error) {
    report(`${source} ${error instanceof Error ? error.message : String(error)}`)
    return []
  }
  const problems = presetProblems(value, source)
  for (const problem of problems) report(problem)
  return problems.length === 0 && presetList.Check(value) ? value : []
}
