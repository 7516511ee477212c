import { sharp } from '../pixels/sharp-setup.ts'

/** In pixels. */
export type Size = { width: number; height: number }

/** Decoded pixels: rows from the top, 8 bits per channel, sRGB; alpha, if present, is not premultiplied. */
export type Raster = Size & { data: Buffer; channels: 1 | 2 | 3 | 4 }

/** Opens a raster with sharp. */
export function openRaster({ data, width, height, channels }: Raster) {
  return sharp(data, { raw: { width, height, channels } })
}

/**
 * Scales a raster down. It takes an exact size, not one side, so that several steps give the same size as one.
 */
export async function shrinkRaster(raster: Raster, size: Size): Promise<Raster> {
  if (raster.width === size.width && raster.height === size.height) return raster
  const { data, info } = await openRaster(raster)
    .resize({ ...size, fit: 'fill' })
    .raw()
    .toBuffer({ resolveWithObject: true })
  return { data, width: info.width, height: info.height, channels: info.channels }
}
