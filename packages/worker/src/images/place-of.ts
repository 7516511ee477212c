import type { Size } from '../pixels/raster.ts'

/** Returns where a part lies in a whole. @param position a gravity; any other name is the centre */
export function placeOf(position: string, part: Size, whole: Size): { left: number; top: number } {
  const words = position.split(' ')
  const along = (first: string, last: string, space: number) => {
    if (words.includes(first)) return 0
    return words.includes(last) ? space : Math.round(space / 2)
  }
  return {
    left: along('left', 'right', whole.width - part.width),
    top: along('top', 'bottom', whole.height - part.height),
  }
}
