import { buildCloud, bundleConfig } from '../support/mock-cloud.ts'
import { readStoredClouds } from './cloud-cache.ts'
import { type CloudName, cloudOptions } from './cloud-options.ts'

const stored = readStoredClouds(process.env)
if (!stored) await bundleConfig()

async function provide(name: CloudName) {
  return stored?.[name] ?? (await buildCloud(cloudOptions[name]))
}

export const sstDev = await provide('sstDev')
export const dev = await provide('dev')
export const staging = await provide('staging')
export const production = await provide('production')
export const twoRegions = await provide('twoRegions')
export const irish = await provide('irish')

export const deployed = { dev, staging, production, twoRegions }
export const all = { sstDev, ...deployed }
