import sharp from 'sharp'

/**
 * The only file that imports sharp, so that no image is decoded without these settings.
 *
 * Loaders: exactly the six rendered formats. SVG (librsvg), PDF, raw camera files and future formats of libvips are
 * blocked, whatever a file claims to be. An SVG may reference other files, and each parser adds attack surface.
 */
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({
  operation: [
    'VipsForeignLoadJpeg',
    'VipsForeignLoadPng',
    'VipsForeignLoadWebp',
    'VipsForeignLoadHeif',
    'VipsForeignLoadNsgif',
    'VipsForeignLoadTiff',
  ],
})
// One thread per image: several images at once use the cores better than several threads per image.
sharp.concurrency(1)
// libvips would cache results for repeated operations. Uploads do not repeat.
sharp.cache(false)

export { sharp }

/** sharp's default pixel limit (0x3FFF squared). It must never be raised for user files. */
export const libraryPixelLimit = 0x3fff * 0x3fff
