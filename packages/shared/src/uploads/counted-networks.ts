/**
 * A network of a client, under the name by which it is counted, and how much more than one address it may use. The name is
 * a hash: addresses are not stored.
 */
export type CountedNetwork = { name: string; share: number }

/** Formats networks for a field of a record in Redis. */
export function formatNetworks(networks: readonly CountedNetwork[]): string {
  return networks.map(({ name, share }) => `${name}:${share}`).join(' ')
}

/** Lua: defines `namesOf`, which returns the names of formatted networks. */
export const defineNamesOf = `
local function namesOf(networks)
  local names = {}
  for name in string.gmatch(networks, '([^ :]+):%d+') do names[#names + 1] = name end
  return names
end
`

/** Parses what `formatNetworks` wrote. */
export function parseNetworks(text: string): CountedNetwork[] {
  return [...text.matchAll(/([^ :]+):(\d+)/g)].map(([, name = '', share]) => ({ name, share: Number(share) }))
}
