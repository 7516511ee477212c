import sharp from 'sharp'

/**
 * The only place that imports sharp, so that nothing ever decodes an image without these settings.
 *
 * Loaders: exactly the six kinds that are rendered. SVG (through librsvg), PDF, raw camera files and all that
 * libvips learns in future stay closed, whatever a file claims to be: an SVG may reference other files, and
 * every further parser is a way in.
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
// One thread an image: several images at once fill the cores better than several threads in one image.
sharp.concurrency(1)
// libvips would keep the results of operations for the next one that is the same; no two uploads are.
sharp.cache(false)

export { sharp }

/** The highest number of pixels that sharp opens by default (0x3FFF squared); never lifted above it. */
export const libraryPixelLimit = 0x3fff * 0x3fff
