import {
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3'
import type { FindTemporaryCredentials } from '@millrace/local-s3/signing/signature-v4.ts'
import { connectStreamingS3 } from '@millrace/shared/connections/connections.ts'
import { startApiInstances } from '../../support/api-instances.ts'
import { type ProxyAction, type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { cookieClient } from './cookie-client.ts'

type ClientOptions = NonNullable<Parameters<typeof cookieClient>[1]>

/** Credentials of the API's signatures, which S3 accepts besides its own. */
type SigningRole = {
  credentials: NonNullable<S3ClientConfig['credentials']>
  find: FindTemporaryCredentials
}

/**
 * Starts an API instance whose signed URLs lead through a proxy before S3.
 *
 * @param role signs the URLs; default: the credentials of S3
 */
export async function startApiWithS3Proxy(role?: SigningRole) {
  const proxies: S3Proxy[] = []
  const clients: S3Client[] = []
  const api = await startApiInstances({
    ...(role && { temporaryCredentials: role.find }),
    async connectS3({ endpoint, ...access }) {
      const proxy = await startS3Proxy(endpoint)
      const s3 = new S3Client({ endpoint, ...access })
      const publicS3 = new S3Client({
        endpoint: proxy.endpoint,
        ...access,
        ...(role && { credentials: role.credentials }),
      })
      proxies.push(proxy)
      clients.push(s3, publicS3)
      return { s3, publicS3, streamingS3: connectStreamingS3({ endpoint, ...access }) }
    },
  })
  const [proxy] = proxies
  if (!proxy) throw new Error('The API has asked for no S3 clients.')

  return {
    api,

    /** Records the PUTs and POSTs of clients to S3 by their part, 0 for a whole file, and decides about each. */
    watchBodies(
      decide: (body: { part: number; count: number }) => ProxyAction | Promise<ProxyAction> = () => 'pass',
    ): number[] {
      const parts: number[] = []
      proxy.intercept((seen) => {
        if (seen.method !== 'PUT' && seen.method !== 'POST') return 'pass'
        parts.push(partOf(seen))
        return decide({ part: partOf(seen), count: parts.length })
      })
      return parts
    },
    hold: proxy.hold,

    /** A client with a session, which records its requests to the API. `change` can replace responses. */
    client(options: ClientOptions = {}) {
      const calls: string[] = []
      const change = options.change ?? (async (_, same) => same)
      const client = cookieClient(api.url, {
        ...options,
        change(request, response) {
          calls.push(`${request.method} ${new URL(request.url).pathname.replace(/[0-9a-f-]{36}/, 'ID')}`)
          return change(request, response)
        },
      })
      return { ...client, calls }
    },

    /** Returns the bytes of an upload's original, and how many versions it has. */
    async readOriginal(id: string) {
      const { Versions = [] } = await api.s3.send(
        new ListObjectVersionsCommand({ Bucket: api.bucket, Prefix: 'originals/' }),
      )
      const own = Versions.filter(({ Key }) => Key?.endsWith(id))
      const Key = own[0]?.Key
      if (Key === undefined) return { bytes: undefined, versions: 0 }
      const { Body } = await api.s3.send(new GetObjectCommand({ Bucket: api.bucket, Key }))
      return { bytes: Buffer.from((await Body?.transformToByteArray()) ?? []), versions: own.length }
    },

    /** Returns the ids of uploads that have open parts in S3. */
    async openParts(): Promise<string[]> {
      const { Uploads = [] } = await api.s3.send(new ListMultipartUploadsCommand({ Bucket: api.bucket }))
      return Uploads.map(({ Key }) => Key?.split('/').at(-1) ?? '')
    },

    async close(): Promise<void> {
      await proxy.close()
      for (const client of clients) client.destroy()
      await api.close()
    },
  }
}

export type ApiWithS3Proxy = Awaited<ReturnType<typeof startApiWithS3Proxy>>

function partOf({ path }: SeenRequest): number {
  return Number(new URL(path, 'http://s3').searchParams.get('partNumber'))
}
