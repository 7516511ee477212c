import { findPresetsFile } from '@millrace/shared/presets/load-presets-file.ts'
import { readOwnPresets } from '@millrace/shared/presets/read-presets.ts'

/**
 * Reads the presets file of the project, such as `presets.config.ts`. Instances have no file of their own, so they get the
 * presets as JSON.
 *
 * @param folder of the project
 * @param environment of the services, as the settings have it. If it names presets, no file is read
 * @param report receives one sentence per problem
 * @returns the variable `PRESETS`, or no variable
 */
export function readProjectPresets(
  folder: string,
  environment: Readonly<Record<string, string>>,
  report: (problem: string) => void,
): { PRESETS?: string } {
  const path = findPresetsFile(folder, environment)
  if (path === undefined) return {}
  const presets = readOwnPresets({ PRESETS_FILE: path }, report)
  return { PRESETS: JSON.stringify(presets) }
}
