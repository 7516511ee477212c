import { PresetName, type Presets } from '@millrace/shared/presets/preset.ts'
import Type from 'typebox'
import type { Api } from '../http/api.ts'

export const PresetList = Type.Object(
  {
    presets: Type.Array(
      Type.Object(
        {
          name: PresetName,
          variants: Type.Array(PresetName, { description: 'names of the variants that it makes' }),
        },
        { title: 'Preset' },
      ),
    ),
  },
  { title: 'PresetList' },
)

/** `GET /presets`: the presets that uploads can name. */
export function presetRoutes(api: Api, { presets }: { presets: Presets }): void {
  const listed = [...presets.values()].map(({ name, variants }) => ({
    name,
    variants: variants.map((variant) => variant.name),
  }))

  api.get('/presets', { schema: { response: { 200: PresetList } } }, async () => ({ presets: listed }))
}
