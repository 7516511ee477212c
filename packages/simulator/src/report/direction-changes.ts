/**
 * Counts how often a fleet changed from growing to shrinking or back.
 * @param sizes fleet sizes in order of time
 */
export function countDirectionChanges(sizes: readonly number[]): number {
  let direction = 0
  let changes = 0
  for (let index = 1; index < sizes.length; index += 1) {
    const step = Math.sign((sizes[index] ?? 0) - (sizes[index - 1] ?? 0))
    if (step === 0) continue
    if (direction !== 0 && step !== direction) changes += 1
    direction = step
  }
  return changes
}
