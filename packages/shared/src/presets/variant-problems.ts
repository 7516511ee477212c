import { integerFrom, shown } from '../service/schema-problems.ts'
import { fieldOf } from './fields.ts'
import { effortRanges, picturePositions, type VariantRecipe } from './preset.ts'
import { watermarkProblem } from './watermark-problem.ts'

/** The largest picture that may be made larger than its original, in pixels: as many as an original has by default. */
const maxDrawnPixels = 100_000_000

/** Reads fields of a variant whose form is unknown, so that each rule applies to what is there. */
type Fields = (name: keyof VariantRecipe) => unknown

/**
 * Lists which settings of a variant contradict each other, one sentence each.
 *
 * @param variant of any form: its single fields are checked elsewhere
 * @param path its place, such as `PRESETS[0].variants[1]`
 */
export function variantProblems(variant: unknown, path: string): string[] {
  const field: Fields = (name) => fieldOf(variant, name)
  return [
    ...boxProblems(field, path),
    ...positionProblems(field, path),
    ...encodingProblems(field, path),
    ...animationProblems(field, path),
    ...drawingProblems(field, path),
  ]
}

function boxProblems(field: Fields, path: string): string[] {
  const fit = field('fit')
  const [width, height] = [field('width'), field('height')]
  if (fit === 'cover' || fit === 'contain' || fit === 'fill') {
    const missing = (['width', 'height'] as const).filter((side) => field(side) === undefined)
    if (missing.length > 0) {
      return missing.map((side) => `${path}.${side} is missing; fit "${fit}" requires it.`)
    }
  }
  const isExact = fit === 'contain' || field('withoutEnlargement') === false
  const pixels = typeof width === 'number' && typeof height === 'number' ? width * height : 0
  if (!isExact || pixels <= maxDrawnPixels) return []
  const reason = fit === 'contain' ? 'fit "contain"' : 'withoutEnlargement false'
  return [`${path}: width × height is ${pixels}; with ${reason} it must be at most ${maxDrawnPixels}.`]
}

function positionProblems(field: Fields, path: string): string[] {
  const position = field('position')
  if (position === undefined) return []
  const fit = field('fit')
  const shownPosition = `${path}.position is ${shown(position)}`
  if (fit !== 'cover' && fit !== 'contain') {
    return [`${shownPosition}; only the fits "cover" and "contain" have a position.`]
  }
  const dependsOnPicture = picturePositions.some((name) => name === position)
  if (fit === 'contain' && dependsOnPicture) {
    return [
      `${shownPosition}; with fit "contain" nothing is cropped, so it must be a side, a corner or center.`,
    ]
  }
  if ((position === 'attention' || position === 'entropy') && field('animated') === true) {
    return [`${shownPosition}; an animated variant has a fixed position or focus.`]
  }
  return []
}

function encodingProblems(field: Fields, path: string): string[] {
  const format = field('format')
  if (!isFormat(format)) return []
  const problems = [...effortProblems(field, format, path)]
  const mayBeLossless = format === 'webp' || format === 'avif'
  if (field('lossless') === true && !mayBeLossless) {
    problems.push(`${path}.lossless is true; only webp and avif can be lossless or not.`)
  }
  if (field('lossless') === true && mayBeLossless && field('quality') !== undefined) {
    problems.push(`${path}.quality is ${shown(field('quality'))}; a lossless variant has none.`)
  }
  const background = field('background')
  if (format === 'jpeg' && isTranslucent(background)) {
    problems.push(`${path}.background is ${shown(background)}; jpeg has no transparency.`)
  }
  return problems
}

function effortProblems(field: Fields, format: VariantRecipe['format'], path: string): string[] {
  const effort = field('effort')
  if (effort === undefined) return []
  const range = effortRanges[format]
  if (range === undefined) {
    return [`${path}.effort is ${shown(effort)}; ${format} has no effort, so it must be left out.`]
  }
  if (typeof effort !== 'number' || (effort >= range.minimum && effort <= range.maximum)) return []
  const allowed = integerFrom(range.minimum, range.maximum)
  return [`${path}.effort is ${shown(effort)}; for ${format} it must be ${allowed}.`]
}

function animationProblems(field: Fields, path: string): string[] {
  if (field('animated') !== true) return []
  const format = field('format')
  if (isFormat(format) && format !== 'webp' && format !== 'original') {
    return [`${path}.animated is true; ${format} variants are not animated.`]
  }
  if (field('frame') !== undefined) return [`${path}.frame is set, so animated must not be true.`]
  for (const effect of ['blur', 'sharpen'] as const) {
    const value = field(effect)
    if (value !== undefined && value !== false) {
      return [`${path}.${effect} is ${shown(value)}; an animated variant cannot have it.`]
    }
  }
  return []
}

function drawingProblems(field: Fields, path: string): string[] {
  const sharpen = field('sharpen')
  const problems: string[] = []
  if (field('blur') !== undefined && sharpen !== undefined && sharpen !== false) {
    problems.push(`${path}.sharpen is ${shown(sharpen)}; a blurred variant cannot be sharpened.`)
  }
  const image = fieldOf(field('watermark'), 'image')
  const problem = typeof image === 'string' ? watermarkProblem(image) : undefined
  if (problem !== undefined) problems.push(`${path}.watermark.image ${problem}.`)
  return problems
}

/** Whether a colour lets something of what is behind it through. */
function isTranslucent(color: unknown): boolean {
  if (color === 'transparent') return true
  return typeof color === 'string' && color.length === 9 && !/ff$/i.test(color)
}

function isFormat(value: unknown): value is VariantRecipe['format'] {
  return typeof value === 'string' && Object.hasOwn(effortRanges, value)
}
