import { MIMEType } from 'node:util'

/**
 * Returns how much a client wants a media type: its weight, or that of the closest range that contains it (RFC 9110, 12.5.1).
 *
 * Own code, because libraries return an order, in which types of equal weight are ordered by how closely they are named. So
 * the default of axios, which is JSON or anything, would mean JSON also where a file is wanted.
 *
 * @param accept the header `Accept`; undefined: all types are wanted alike. Parts that are no media ranges are ignored
 * @param type without parameters, in lower case
 * @returns 0 (not acceptable) to 1
 */
export function weightOfType(accept: string | undefined, type: string): number {
  if (accept === undefined || accept.trim() === '') return 1
  const ranges = [type, type.replace(/\/.*/, '/*'), '*/*']
  let closest = ranges.length
  let weight = 0
  for (const { essence, params } of mediaRanges(accept)) {
    const closeness = ranges.indexOf(essence)
    if (closeness === -1 || closeness >= closest) continue
    closest = closeness
    const quality = Number(params.get('q') ?? '1')
    weight = quality >= 0 && quality <= 1 ? quality : 0
  }
  return weight
}

function mediaRanges(accept: string): MIMEType[] {
  return accept.split(',').flatMap((text) => {
    try {
      return [new MIMEType(text)]
    } catch {
      return []
    }
  })
}
