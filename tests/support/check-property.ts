import fc from 'fast-check'

/** The seed of all properties of a run that repeats a failure. Without it each run draws its own. */
const fixedSeed = process.env['PROPERTY_SEED']

/**
 * Checks that a property holds for random values. A failure names the seed and the smallest counterexample.
 *
 * @param property of `fc.property` or `fc.asyncProperty`
 * @param options.runs how many values are drawn; default: 100
 * @throws Error if the property does not hold; `PROPERTY_SEED=<seed>` draws the same values again
 */
export async function checkProperty<T>(
  property: fc.IRawProperty<T>,
  options: { runs?: number } = {},
): Promise<void> {
  await fc.assert(property, {
    numRuns: options.runs ?? 100,
    ...(fixedSeed !== undefined && { seed: Number(fixedSeed) }),
  })
}
