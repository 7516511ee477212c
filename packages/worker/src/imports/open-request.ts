import type { LookupAddress } from 'node:dns'
import type { ClientRequest, RequestOptions } from 'node:http'
import https from 'node:https'
import type { LookupFunction } from 'node:net'
import { nodeHttp } from '@millrace/shared/service/node-http.ts'

/**
 * Opens a request to one of the addresses that were just checked, even if DNS changes meanwhile (decision 0010). It uses no
 * proxy of the environment and no kept connection, and follows no redirect.
 *
 * @param url http or https
 * @param addresses from `source-addresses.ts`
 */
export function openRequest(url: URL, addresses: LookupAddress[], options: RequestOptions): ClientRequest {
  const { request, Agent } = url.protocol === 'https:' ? https : nodeHttp
  return request(url, {
    ...options,
    // A separate agent, without kept connections and proxies.
    agent: new Agent({ keepAlive: false }),
    lookup: pinnedLookup(addresses),
    // TLS checks the certificate against the name, not the address.
    rejectUnauthorized: true,
    insecureHTTPParser: false,
  })
}

/** Returns a lookup function that always returns the checked addresses. */
function pinnedLookup(addresses: LookupAddress[]): LookupFunction {
  return (_hostname, { all }, done) => {
    const [first] = addresses
    if (all || !first) done(null, addresses)
    else done(null, first.address, first.family)
  }
}
