import { type Manifest, rejectsBytes } from '@millrace/shared/ledger/manifest.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import { recipeVersion } from '@millrace/shared/presets/recipe-version.ts'

/** Which uploads are processed again. Undefined: all. */
export type Filter = { preset: string | undefined }

/**
 * What a manifest says of its upload:
 *
 *   otherPreset    it was made with another preset than the filter's
 *   bytesDeleted   its bytes were rejected and deleted, so nothing can be made of them
 *   presetRemoved  its preset is not configured any more
 *   upToDate       the same recipe would make the same of it
 *   outdated       another recipe applies now
 */
export type Verdict = 'otherPreset' | 'bytesDeleted' | 'presetRemoved' | 'upToDate' | 'outdated'

/** Compares a manifest's recipe with the one that its preset has now. */
export function judgeManifest(manifest: Manifest, presets: Presets, filter: Filter): Verdict {
  const { preset: name } = manifest.intent
  if (filter.preset !== undefined && name !== filter.preset) return 'otherPreset'
  if (rejectsBytes(manifest)) return 'bytesDeleted'
  const preset = presets.get(name)
  if (!preset) return 'presetRemoved'
  return manifest.recipe === recipeVersion(preset, manifest.intent.metadata) ? 'upToDate' : 'outdated'
}
