import { createHash } from 'node:crypto'
import { completeRecipe } from './complete-recipe.ts'
import { readFocus } from './focus.ts'
import type { Preset } from './preset.ts'

/** Raise it when rendering changes in a way that makes other bytes or findings out of the same preset. */
const rendererVersion = 2
/**
 * As `rendererVersion`, for presets whose variants keep the copyright: others need not be rendered again. Version 2 leaves out
 * the thumbnail that animations kept beside it.
 */
const copyrightVersion = 2

/** Whether what is made of an original depends on the metadata of its upload. */
export function usesMetadata({ variants }: Preset): boolean {
  return variants.some((recipe) => completeRecipe(recipe).position === 'focus')
}

/**
 * Names everything that determines what is made of an original: the renderer, the preset, and the focal point if the
 * preset uses it. The same work has the same version, whether defaults are written out or not.
 *
 * @param metadata of the upload
 */
export function recipeVersion(preset: Preset, metadata?: Record<string, string>): string {
  const { name, accept, variants } = preset
  const recipes = variants.map((recipe) => completeRecipe(recipe))
  const recipe = {
    name,
    accept: accept && [...new Set(accept)].sort(),
    recipes,
    ...(usesMetadata(preset) && { focus: readFocus(metadata) }),
    ...(recipes.some(({ keepsCopyright }) => keepsCopyright) && { copyrightVersion }),
  }
  const digest = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 12)
  return `${rendererVersion}-${digest}`
}
