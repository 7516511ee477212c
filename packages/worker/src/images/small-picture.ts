import type { Size } from '../formats/raster.ts'

/** A few pixels of a picture: rows from the top, red, green, blue and alpha of 8 bits, alpha not premultiplied. */
export type SmallPicture = Size & { rgba: Uint8Array }
