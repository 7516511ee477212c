import { sharp } from './sharp-setup.ts'

/** In pixels. */
export type Size = { width: number; height: number }

/** Decoded pixels: rows from the top, 8 bits a channel, sRGB, alpha (where there is one) not premultiplied. */
export type Raster = Size & { data: Buffer; channels: 1 | 2 | 3 | 4 }

/** Opens a raster for further work. */
export function openRaster({ data, width, height, channels }: Raster) {
  return sharp(data, { raw: { width, height, channels } })
}

/**
 * Scales a raster down. Exact sizes are given rather than one side, so that a cascade of several steps ends
 * on the same size as one step would.
 */
export async function shrinkRaster(raster: Raster, size: Size): Promise<Raster> {
  if (raster.width === size.width && raster.height === size.height) return raster
  const { data, info } = await openRaster(raster)
    .resize({ ...size, fit: 'fill' })
    .raw()
    .toBuffer({ resolveWithObject: true })
  return { data, width: info.width, height: info.height, channels: info.channels }
}
