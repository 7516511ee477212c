import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
/** A block of addresses: its first address and the length of its prefix in bits. */
type Block = [Address, number]

/**
 * Addresses of cloud metadata and credential services. No setting can allow them: an operator who allows
 * `169.254.0.0/16` or `fd00::/8` for an intranet does not mean these.
 */
const neverAllowed: Block[] = [
  // AWS (instance metadata, ECS and EKS credentials), Google, Azure, Oracle and most others.
  ipaddr.parseCIDR('169.254.0.0/16'),
  // AWS over IPv6: fd00:ec2::254 and others.
  ipaddr.parseCIDR('fd00:ec2::/32'),
  // Azure's host service, at an address in a public range.
  ipaddr.parseCIDR('168.63.129.16/32'),
]

/** IANA's global unicast block. All other IPv6 addresses are special or unused. */
const globalUnicast: Block = ipaddr.parseCIDR('2000::/3')

/** IPv4 addresses for IPv6-only hosts (NAT64, RFC 6052). The last 32 bits are the IPv4 address. */
const nat64: Block = ipaddr.parseCIDR('64:ff9b::/96')

/**
 * Decides which addresses a source of an import or a receiver of webhooks may have: public ones, and those that the operator allowed. All special-purpose
 * addresses in IANA's registries (RFC 6890) are refused, as are invalid ones. IPv4 addresses inside IPv6 (IPv4-mapped,
 * NAT64) are checked as IPv4. 6to4 and Teredo, which are obsolete, are refused.
 *
 * @param allowed addresses and CIDR blocks that are permitted although they are not public
 */
export function createPublicAddress(allowed: readonly string[]) {
  const allowedBlocks = allowed.map(parseBlock)

  /** @param text an address from a resolver or a socket */
  return function isPermitted(text: string): boolean {
    if (isIP(text) === 0) return false
    const address = toIPv4IfEmbedded(ipaddr.parse(text))
    if (neverAllowed.some((block) => contains(block, address))) return false
    if (allowedBlocks.some((block) => contains(block, address))) return true
    if (address.kind() === 'ipv6' && !contains(globalUnicast, address)) return false
    return address.range() === 'unicast'
  }
}

export type IsPermittedAddress = ReturnType<typeof createPublicAddress>

/** Returns the IPv4 address that is embedded in an IPv6 address, or the address itself. */
function toIPv4IfEmbedded(address: Address): Address {
  if (!(address instanceof ipaddr.IPv6)) return address
  if (address.isIPv4MappedAddress()) return address.toIPv4Address()
  return contains(nat64, address) ? new ipaddr.IPv4(address.toByteArray().slice(12)) : address
}

function contains(block: Block, address: Address): boolean {
  return block[0].kind() === address.kind() && address.match(block)
}

function parseBlock(text: string): Block {
  if (text.includes('/')) return ipaddr.parseCIDR(text)
  const address = ipaddr.parse(text)
  return [address, address.kind() === 'ipv4' ? 32 : 128]
}
