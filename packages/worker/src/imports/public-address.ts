import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
/** A block of addresses: its first one and how many of its bits count. */
type Block = [Address, number]

/**
 * Where clouds hand out credentials and answer for their own machinery. No setting opens these: whoever opens
 * `169.254.0.0/16` or `fd00::/8` for an intranet did not mean them.
 */
const neverAllowed: Block[] = [
  // AWS (instance metadata, ECS and EKS credentials), Google, Azure, Oracle and most others.
  ipaddr.parseCIDR('169.254.0.0/16'),
  // AWS, where the instance has IPv6: fd00:ec2::254 and its neighbours.
  ipaddr.parseCIDR('fd00:ec2::/32'),
  // Azure's host, at an address that looks public.
  ipaddr.parseCIDR('168.63.129.16/32'),
]

/** What IANA has given out as global unicast. All other IPv6 is special or not in use. */
const globalUnicast: Block = ipaddr.parseCIDR('2000::/3')

/** IPv4 as seen by machines that have IPv6 only (NAT64, RFC 6052): the last 32 bits are the IPv4 address. */
const nat64: Block = ipaddr.parseCIDR('64:ff9b::/96')

/**
 * Says which addresses a source may be fetched from: public ones, and the ones that the operator opened.
 * Everything that IANA's registries of special-purpose addresses (RFC 6890) name is refused, and so is what
 * cannot be read. IPv4 in IPv6's clothes (IPv4-mapped, NAT64) is judged as IPv4; 6to4 and Teredo, which are
 * out of use, are refused altogether.
 *
 * @param allowed addresses and CIDR blocks that are no public ones and yet permitted
 */
export function createPublicAddress(allowed: readonly string[]) {
  const opened = allowed.map(parseBlock)

  /** @param text an address as a resolver or a socket gives it */
  return function isPermitted(text: string): boolean {
    if (isIP(text) === 0) return false
    const address = unwrapped(ipaddr.parse(text))
    if (neverAllowed.some((block) => contains(block, address))) return false
    if (opened.some((block) => contains(block, address))) return true
    if (address.kind() === 'ipv6' && !contains(globalUnicast, address)) return false
    return address.range() === 'unicast'
  }
}

export type IsPermittedAddress = ReturnType<typeof createPublicAddress>

/** The IPv4 address that an IPv6 one stands for, or the address itself. */
function unwrapped(address: Address): Address {
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
