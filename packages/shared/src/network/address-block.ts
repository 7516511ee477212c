import { isIP } from 'node:net'

/** Whether a text is an IP address or a network in CIDR notation: `192.0.2.1`, `10.0.0.0/8`, `fd00::/8`. */
export function isAddressBlock(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || address.includes('%') || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 6 ? 128 : 32))
}
