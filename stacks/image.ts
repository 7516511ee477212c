import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'
import type { Place } from './place.ts'
import { architectureOf } from './settings.ts'

/** How many images of a tier the repository keeps, for rollbacks. */
const imagesKept = 20

/**
 * Builds a tier's image once and pushes it to a repository in each region.
 *
 * @param options.places the regions, the home region first
 * @param options.instanceType determines the architecture
 * @returns by region: the repository, and the image as `host/repository@sha256:…`
 */
export function createImage(options: { places: readonly Place[]; tier: Tier; instanceType: string }) {
  const { places, tier, instanceType } = options
  const id = tier === 'api' ? 'ApiImage' : 'WorkerImage'
  const repositories = places.map((place) => createRepository(place, id, tier))
  const image = new dockerbuild.Image(id, {
    context: { location: $cli.paths.root },
    dockerfile: { location: `${$cli.paths.root}/Dockerfile` },
    target: tier,
    platforms: [architectureOf(instanceType) === 'arm64' ? 'linux/arm64' : 'linux/amd64'],
    tags: repositories.map(({ repository }) => $interpolate`${repository.repositoryUrl}:latest`),
    registries: repositories.map(({ login }) => login),
    push: true,
    buildOnPreview: false,
  })
  return new Map(
    repositories.map(({ place, repository }) => [
      place.region,
      { repository, uri: $interpolate`${repository.repositoryUrl}@${image.digest}` },
    ]),
  )
}

export type Image = ReturnType<typeof createImage> extends Map<string, infer One> ? One : never

function createRepository(place: Place, id: string, tier: Tier) {
  const repository = new aws.ecr.Repository(
    place.id(`${id}Repository`),
    {
      name: place.name(tier),
      imageScanningConfiguration: { scanOnPush: true },
      encryptionConfigurations: [{ encryptionType: 'AES256' }],
      // The tag moves with each deploy. Earlier images stay, by digest, until the rule below expires them.
      imageTagMutability: 'MUTABLE',
      forceDelete: true,
    },
    place.options,
  )
  new aws.ecr.LifecyclePolicy(
    place.id(`${id}Lifecycle`),
    {
      repository: repository.name,
      policy: JSON.stringify({
        rules: [
          {
            rulePriority: 1,
            description: `Keep ${imagesKept}`,
            selection: { tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: imagesKept },
            action: { type: 'expire' },
          },
        ],
      }),
    },
    place.options,
  )
  const token = aws.ecr.getAuthorizationTokenOutput({ registryId: repository.registryId }, place.options)
  const login = {
    address: repository.repositoryUrl,
    username: token.userName,
    password: $util.secret(token.password),
  }
  return { place, repository, login }
}
