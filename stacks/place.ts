/**
 * One region of a stage: where resources go and what they are called.
 *
 * Everything is made by a provider of the region's own, which tags whatever can have tags. The home region's logical
 * names have no suffix, so a stage can get another region without anything in the first one being made anew.
 */
export function createPlace({ stage, region, isHome }: { stage: string; region: string; isHome: boolean }) {
  const suffix = isHome ? '' : pascal(region)
  const provider = new aws.Provider(`Provider${suffix}`, {
    // AWS has new regions sooner than the provider's list of them.
    region: region as aws.Region,
    defaultTags: { tags: tagsOf(stage) },
  })
  return {
    stage,
    region,
    isHome,
    /** Names a resource within the stack. */
    id: (part: string) => `${part}${suffix}`,
    /** Names a resource within the region, for people, logs and policies. */
    name: (part: string) => `millrace-${stage}-${part}`,
    tags: tagsOf(stage),
    options: { provider },
  }
}

export type Place = ReturnType<typeof createPlace>

/** `Stage` is read by instances about themselves, and by the budget. */
export function tagsOf(stage: string) {
  return { Project: 'millrace', Stage: stage }
}

/** `eu-west-1` → `EuWest1` */
function pascal(region: string): string {
  return region.replace(/(^|-)(\w)/g, (_, _dash, letter: string) => letter.toUpperCase())
}
