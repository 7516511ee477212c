/**
 * Creates the place of resources: one region of a stage, with its provider and its naming rules.
 *
 * Every resource of the region uses its provider, which tags all resources that can have tags. Logical names of the home
 * region have no suffix, so adding a region to a stage replaces nothing in the first one.
 */
export function createPlace({ stage, region, isHome }: { stage: string; region: string; isHome: boolean }) {
  const suffix = isHome ? '' : pascal(region)
  const provider = new aws.Provider(`Provider${suffix}`, {
    // AWS opens regions earlier than the provider's type lists them.
    region: region as aws.Region,
    defaultTags: { tags: tagsOf(stage) },
  })
  return {
    stage,
    region,
    isHome,
    /** Returns the logical name of a resource within the stack. */
    id: (part: string) => `${part}${suffix}`,
    /** Returns the name of a resource within the region, as it appears in AWS, logs and policies. */
    name: (part: string) => `millrace-${stage}-${part}`,
    tags: tagsOf(stage),
    options: { provider },
  }
}

export type Place = ReturnType<typeof createPlace>

/** Returns the tags of all resources. Instances read their own `Stage`, and the budget filters by it. */
export function tagsOf(stage: string) {
  return { Project: 'millrace', Stage: stage }
}

/** `eu-west-1` → `EuWest1` */
function pascal(region: string): string {
  return region.replace(/(^|-)(\w)/g, (_, _dash, letter: string) => letter.toUpperCase())
}
