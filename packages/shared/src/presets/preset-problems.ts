import Type from 'typebox'
import { schemaProblems, shown } from '../service/schema-problems.ts'
import { arrayOf, fieldOf } from './fields.ts'
import { Preset } from './preset.ts'
import { variantProblems } from './variant-problems.ts'

export const PresetList = Type.Array(Preset)

/**
 * Lists the problems of a list of presets, one sentence each. Rules between fields apply to the presets and variants that
 * have the fields.
 *
 * @param source the name of the variable that the list comes from
 */
export function presetProblems(value: unknown, source: string): string[] {
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

function repeatedNames(entries: unknown[], path: string): string[] {
  const names = entries.map((entry) => fieldOf(entry, 'name'))
  return names.flatMap((name, index) => {
    const first = names.indexOf(name)
    return typeof name === 'string' && first < index
      ? [`${path}[${index}].name is ${shown(name)}; it must differ from ${path}[${first}].name.`]
      : []
  })
}
