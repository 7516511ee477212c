import type { Preset } from '@millrace/shared/presets/preset.ts'
import { sharp } from '../pixels/sharp-setup.ts'

/** The libraries within libvips that decode and encode each format, as sharp names them. */
const libraries: ReadonlyMap<string, readonly string[]> = new Map([
  ['image/jpeg', ['mozjpeg']],
  ['image/png', ['png']],
  ['image/apng', ['png']],
  ['image/webp', ['webp']],
  ['image/avif', ['heif', 'aom']],
  // GIF is decoded by libvips itself.
  ['image/gif', []],
  ['image/tiff', ['tiff']],
])

/**
 * Returns the versions of the libraries that render one image, by name: sharp, libvips, and what libvips uses for the
 * image's kind and for the formats of its variants. A library that sharp does not name is left out.
 *
 * @param kind the image's media type
 */
export function toolVersions(kind: string, { variants }: Preset): Record<string, string> {
  const versions: ReadonlyMap<string, string | undefined> = new Map(Object.entries(sharp.versions))
  const used = [kind, ...variants.map(({ format }) => `image/${format}`)].flatMap(
    (type) => libraries.get(type) ?? [],
  )
  return Object.fromEntries(
    ['sharp', 'vips', ...used].flatMap((name) => {
      const version = versions.get(name)
      return version === undefined ? [] : [[name, version]]
    }),
  )
}
