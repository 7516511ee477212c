import sharp from 'sharp'

/**
 * The only file that imports sharp, so that no image is decoded without these settings.
 *
 * Loaders: exactly the six formats that libvips decodes for us. PDF, raw camera files and future formats of libvips are
 * blocked, whatever a file claims to be, since each parser adds attack surface. SVG (librsvg) is allowed for files of this
 * kind only, while one is open.
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

const svgLoader = { operation: ['VipsForeignLoadSvg'] }
/** How many SVGs are open: tests run several at a time. */
let openSvgs = 0

/** Allows libvips to load SVG while `run` runs. */
export async function withSvgLoader<Result>(run: () => Promise<Result>): Promise<Result> {
  openSvgs += 1
  sharp.unblock(svgLoader)
  try {
    return await run()
  } finally {
    openSvgs -= 1
    if (openSvgs === 0) sharp.block(svgLoader)
  }
}

/** Returns the most memory for pixels that libvips used at once in this process, in bytes. sharp counts whole MiB. */
export function libvipsPeakBytes(): number {
  return sharp.cache().memory.high * 1024 ** 2
}
