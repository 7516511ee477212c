/** Timeout of one request in ms. The service runs on the instance's own host. */
const timeoutMs = 2_000
/** Lifetime of a token in seconds: six hours, the maximum. */
const tokenSeconds = 21_600

export type InstanceMetadata = ReturnType<typeof createInstanceMetadata>

/**
 * Reads EC2 instance metadata with IMDSv2: it fetches a token first and sends it with every request.
 *
 * Not `@aws-sdk/ec2-metadata-service`: that opens a connection and fetches a token for every request, and the worker
 * reads metadata every few seconds.
 *
 * @param deps.endpoint `http://169.254.169.254` on EC2
 */
export function createInstanceMetadata({ endpoint }: { endpoint: string }) {
  let token: string | undefined

  async function request(path: string, options: RequestInit): Promise<Response> {
    return fetch(`${endpoint}/latest/${path}`, { ...options, signal: AbortSignal.timeout(timeoutMs) })
  }

  async function fetchToken(): Promise<string> {
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': String(tokenSeconds) }
    const response = await request('api/token', { method: 'PUT', headers })
    const text = await response.text()
    if (!response.ok)
      throw new Error(`Instance metadata returned status ${response.status} instead of a token.`)
    return text
  }

  return {
    /**
     * Reads one item.
     * @param path below `meta-data/`
     * @returns undefined if the item does not exist, such as a notice that was not sent
     * @throws Error if the service does not respond, or with an error status
     */
    async read(path: string): Promise<string | undefined> {
      const hadToken = token !== undefined
      token ??= await fetchToken()
      const response = await request(`meta-data/${path}`, { headers: { 'x-aws-ec2-metadata-token': token } })
      const text = await response.text()
      if (response.ok) return text
      if (response.status === 404) return undefined
      // An expired token is refused with 401.
      token = undefined
      if (response.status === 401 && hadToken) return this.read(path)
      throw new Error(`Instance metadata returned status ${response.status} for ${path}.`)
    },
  }
}
