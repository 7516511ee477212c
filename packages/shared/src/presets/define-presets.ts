import type { Preset } from './preset.ts'

/**
 * Gives the types of presets to a file such as `presets.config.ts`, so that an editor completes names and marks mistakes.
 * The services check the values when they start.
 *
 * ```ts
 * import { definePresets } from '@millrace/shared/presets/define-presets.ts'
 *
 * export default definePresets([
 *   { name: 'avatar', variants: [{ name: 'small', fit: 'cover', width: 64, height: 64, format: 'webp' }] },
 * ])
 * ```
 *
 * @returns the same list
 */
export function definePresets(presets: readonly Preset[]): readonly Preset[] {
  return presets
}
