import { BlockList, isIPv6, SocketAddress } from 'node:net'

/** IPv4 addresses in IPv6 form (RFC 4291, 2.5.5.2). */
const mappedPrefix = '::ffff:'
const mapped = new BlockList()
mapped.addSubnet('::ffff:0:0', 96, 'ipv6')

const groupsInAddress = 8
const bitsPerGroup = 16

/** A network whose requests are counted together, and how much more than one address it may use. */
export type ClientNetwork = { name: string; share: number }

/**
 * A site of an IPv6 provider usually has a /48, which holds 65,536 networks. Together they may use this many times the
 * limit of one.
 */
const siteShare = 8

/**
 * Returns the networks to which a client's address counts. An IPv4 address counts alone. An IPv6 address counts to its
 * /64, because one machine can use all addresses of it, and to its /48 (RIPE-690, 4.2).
 *
 * @param address an IP address; any other text counts alone
 */
export function clientNetworks(address: string): ClientNetwork[] {
  const [withoutZone = ''] = address.split('%')
  if (!isIPv6(withoutZone)) return [{ name: address, share: 1 }]
  const { address: canonical } = new SocketAddress({ address: withoutZone, family: 'ipv6' })
  if (mapped.check(canonical, 'ipv6') && canonical.startsWith(mappedPrefix)) {
    return [{ name: canonical.slice(mappedPrefix.length), share: 1 }]
  }
  const groups = groupsOf(canonical)
  return [
    { name: networkOf(groups, 64), share: 1 },
    { name: networkOf(groups, 48), share: siteShare },
  ]
}

/** Returns the eight groups of a canonical IPv6 address (RFC 5952). */
function groupsOf(address: string): string[] {
  const [head = '', tail = ''] = address.split('::')
  const before = head.split(':').filter(Boolean)
  const after = tail.split(':').filter(Boolean)
  const zeros = Array.from({ length: groupsInAddress - before.length - after.length }, () => '0')
  return [...before, ...zeros, ...after]
}

function networkOf(groups: string[], bits: number): string {
  return `${groups.slice(0, bits / bitsPerGroup).join(':')}::/${bits}`
}
