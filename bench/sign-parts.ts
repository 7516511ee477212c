import type { ServerProcess } from './server-process.ts'

const GiB = 1024 ** 3
const warmUpRequests = 20

/** Requests signatures for 100 parts at a time. @returns the server's CPU time per request, in ms */
export async function signParts({ port, cpuSeconds }: ServerProcess, batches: number): Promise<number> {
  const url = `http://127.0.0.1:${port}/uploads`
  const post = async (address: string, body: unknown, cookie = '') => {
    const headers = { 'content-type': 'application/json', cookie }
    const response = await fetch(address, { method: 'POST', headers, body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
    return response
  }
  const announced = await post(url, { filename: 'a', contentType: 'video/mp4', size: GiB })
  const cookie = announced.headers.getSetCookie()[0]?.split(';')[0]
  const { pathname } = new URL(announced.headers.get('location') ?? '', url)
  const partNumbers = Array.from({ length: 100 }, (_, index) => index + 1)
  const sign = async () => {
    const response = await post(`http://127.0.0.1:${port}${pathname}/parts`, { partNumbers }, cookie)
    const { parts } = Object(await response.json())
    if (parts.length !== partNumbers.length)
      throw new Error(`Expected ${partNumbers.length} signed parts, got ${parts.length}.`)
  }
  for (let count = 0; count < warmUpRequests; count++) await sign()
  const cpuSecondsBefore = cpuSeconds()
  for (let count = 0; count < batches; count++) await sign()
  return ((cpuSeconds() - cpuSecondsBefore) / batches) * 1000
}
