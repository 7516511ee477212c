/** The point of a picture that crops keep: fractions of its width and height, from the top left. */
export type Focus = { x: number; y: number }

/** The name of the metadata with which a client sends the focal point of its image. */
export const focusField = 'focus'

/**
 * Reads the focal point of an upload: `metadata.focus` is two fractions such as `0.5,0.25`.
 *
 * @returns undefined if there is none, or if it is not two numbers from 0 to 1
 */
export function readFocus(metadata: Record<string, string> | undefined): Focus | undefined {
  const [, x, y] =
    /^\s*([01](?:\.\d+)?|\.\d+)\s*,\s*([01](?:\.\d+)?|\.\d+)\s*$/.exec(metadata?.[focusField] ?? '') ?? []
  if (x === undefined || y === undefined) return undefined
  const focus = { x: Number(x), y: Number(y) }
  return focus.x <= 1 && focus.y <= 1 ? focus : undefined
}
