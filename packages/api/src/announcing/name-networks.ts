import { createHmac } from 'node:crypto'
import { clientNetworks } from '@millrace/shared/network/client-networks.ts'
import type { CountedNetwork } from '@millrace/shared/uploads/counted-networks.ts'

/** Bytes of the hash that names a network: enough that two networks do not meet by chance. */
const nameBytes = 12
/** Begins what is hashed, so that the same name follows from nothing else. */
const label = 'millrace network'

/**
 * Creates the function that names the networks of clients for counts in Redis. Names are keyed hashes: a list of all IPv4
 * addresses does not tell which address was counted.
 *
 * @param deps.key a secret that all instances have. With another one, counts begin at 0
 */
export function createNameNetworks({ key }: { key: Buffer }) {
  /** @param address an IP address; undefined for a client with an API key, which counts to no network */
  return function nameNetworks(address: string | undefined): CountedNetwork[] {
    if (address === undefined) return []
    return clientNetworks(address).map(({ name, share }) => {
      const digest = createHmac('sha256', key).update(`${label}\0${name}`).digest()
      return { name: digest.subarray(0, nameBytes).toString('base64url'), share }
    })
  }
}

export type NameNetworks = ReturnType<typeof createNameNetworks>
