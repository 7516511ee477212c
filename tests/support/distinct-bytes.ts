import { randomBytes } from 'node:crypto'

/** How many calls return bytes that begin at different places. */
const places = 4096
let pool = randomBytes(0)
let place = 0

/**
 * Returns random bytes that are not those of the calls before. Calls share one pool: making random bytes costs more CPU than
 * sending them. The bytes must not be changed.
 */
export function distinctBytes(size: number): Uint8Array<ArrayBuffer> {
  place = (place + 1) % places
  if (pool.length < size + places) pool = randomBytes(size + places)
  return new Uint8Array(pool.buffer, pool.byteOffset + place, size)
}
