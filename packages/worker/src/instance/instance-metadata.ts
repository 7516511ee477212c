/** How long the service, which is on the instance's own host, may take to answer, in milliseconds. */
const timeoutMs = 2_000
/** The longest that it takes: six hours. */
const tokenSeconds = 21_600

export type InstanceMetadata = ReturnType<typeof createInstanceMetadata>

/**
 * What EC2 tells an instance of itself, by IMDSv2: a token first, which every question then carries.
 *
 * Not `@aws-sdk/ec2-metadata-service`: it opens a connection and fetches a token for every question, and this
 * asks every few seconds for as long as the instance lives.
 *
 * @param deps.endpoint `http://169.254.169.254` on EC2
 */
export function createInstanceMetadata({ endpoint }: { endpoint: string }) {
  let token: string | undefined

  async function ask(path: string, more: RequestInit): Promise<Response> {
    return fetch(`${endpoint}/latest/${path}`, { ...more, signal: AbortSignal.timeout(timeoutMs) })
  }

  async function fetchToken(): Promise<string> {
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': String(tokenSeconds) }
    const response = await ask('api/token', { method: 'PUT', headers })
    const text = await response.text()
    if (!response.ok) throw new Error(`Instance metadata gave no token: ${response.status}`)
    return text
  }

  return {
    /**
     * @param path below `meta-data/`
     * @returns undefined where there is no such item, as for a notice that was not given
     * @throws Error where the service does not answer or refuses to
     */
    async read(path: string): Promise<string | undefined> {
      const wasKnown = token !== undefined
      token ??= await fetchToken()
      const response = await ask(`meta-data/${path}`, { headers: { 'x-aws-ec2-metadata-token': token } })
      const text = await response.text()
      if (response.ok) return text
      if (response.status === 404) return undefined
      // A token that ran out is refused.
      token = undefined
      if (response.status === 401 && wasKnown) return this.read(path)
      throw new Error(`Instance metadata refused ${path}: ${response.status}`)
    },
  }
}
