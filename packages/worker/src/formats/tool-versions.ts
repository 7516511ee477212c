import { encodedFormat } from '@millrace/shared/presets/complete-recipe.ts'
import type { Preset } from '@millrace/shared/presets/preset.ts'
import packageJson from '../../package.json' with { type: 'json' }
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
  ['image/svg+xml', ['rsvg']],
])

/** The packages that decode further kinds. Their versions are pinned in package.json. */
const packages = {
  'image/heic': 'libheif-js',
  'image/heif': 'libheif-js',
  'image/jxl': 'jxl-oxide-wasm',
  'application/pdf': '@hyzyla/pdfium',
} as const

/** Returns the version of what reads video and audio, by name. */
export function mediaToolVersions(): Record<string, string> {
  return { mediabunny: packageJson.dependencies.mediabunny }
}

/**
 * Returns the versions of the libraries that render one image, by name: sharp, libvips, what libvips uses for the image's
 * kind and for the formats of its variants, and another decoder of the kind. A library that sharp does not name is left out.
 *
 * @param kind the image's media type
 */
export function toolVersions(kind: string, { variants }: Preset): Record<string, string> {
  const versions: ReadonlyMap<string, string | undefined> = new Map(Object.entries(sharp.versions))
  const formats = variants.map(({ format }) => encodedFormat(format, kind))
  const used = [kind, ...formats.map((format) => `image/${format}`)].flatMap(
    (type) => libraries.get(type) ?? [],
  )
  const own = Object.entries(packages).flatMap(([type, name]) =>
    type === kind ? [[name, packageJson.dependencies[name]]] : [],
  )
  return Object.fromEntries([
    ...['sharp', 'vips', ...used].flatMap((name) => {
      const version = versions.get(name)
      return version === undefined ? [] : [[name, version]]
    }),
    ...own,
  ])
}
