import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { maxKeyBytes } from './object-keys.ts'
import { S3Error } from './s3-error.ts'
import { type XmlTree, xmlDocument } from './xml.ts'

/** After an early response the rest of the body is read for this long, so that the response is not lost (ms). */
const lingerMs = 10_000
/** The same for a client that still waits for `100 Continue` and has sent no body (ms). */
const unsentBodyLingerMs = 1_000

/** One request, parsed into S3's terms, and its response. */
export type S3Exchange = ReturnType<typeof createS3Exchange>

/**
 * Percent-decodes into a string.
 *
 * @throws S3Error InvalidURI when an escape is broken or the bytes are not UTF-8
 */
export function decodeUri(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new S3Error('InvalidURI')
  }
}

/** Joins a header's values. Node decodes them as Latin-1; they are UTF-8 if their bytes are valid UTF-8. */
function headerText(values: readonly string[]): string {
  const joined = values.join(',')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of all ASCII characters
  if (/^[\u0000-\u007f]*$/.test(joined)) return joined
  const bytes = Buffer.from(joined, 'latin1')
  const text = bytes.toString('utf8')
  return Buffer.from(text).equals(bytes) ? text : joined
}

/**
 * Creates the exchange of a request: path-style bucket and key, query parameters, headers, response.
 *
 * @param expectsContinue whether the client waits for `100 Continue` before it sends its body
 * @throws nothing; `parse` throws if the path is not valid
 */
export function createS3Exchange(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) {
  const requestId = randomBytes(8).toString('hex').toUpperCase()
  const url = req.url ?? '/'
  const questionMark = url.indexOf('?')
  const rawPath = questionMark < 0 ? url : url.slice(0, questionMark)
  const rawQuery = questionMark < 0 ? '' : url.slice(questionMark + 1)
  let awaitsContinue = expectsContinue
  const headers: Record<string, string> = {}
  for (const [name, values] of Object.entries(req.headersDistinct)) {
    if (values !== undefined) headers[name] = headerText(values)
  }

  const exchange = {
    req,
    res,
    /** Stored here because Node removes it from a request that was aborted. */
    socket: req.socket,
    requestId,
    hostId: randomBytes(24).toString('base64'),
    method: req.method ?? '',
    rawPath,
    /** Lower-case names; repeated headers joined with a comma. `verify` adds a presigned URL's `x-amz-` parameters. */
    headers,
    /** Query parameters in the order of the URL, decoded. */
    parameters: [] as [name: string, value: string][],
    bucket: '',
    key: '',

    /**
     * Sets bucket, key and parameters.
     * @throws S3Error InvalidURI, KeyTooLongError
     */
    parse() {
      if (!rawPath.startsWith('/')) throw new S3Error('InvalidURI')
      const slash = rawPath.indexOf('/', 1)
      exchange.bucket = decodeUri(slash < 0 ? rawPath.slice(1) : rawPath.slice(1, slash))
      exchange.key = slash < 0 ? '' : decodeUri(rawPath.slice(slash + 1))
      for (const pair of rawQuery.split('&')) {
        if (pair === '') continue
        const [name = '', ...value] = pair.replaceAll('+', ' ').split('=')
        exchange.parameters.push([decodeUri(name), decodeUri(value.join('='))])
      }
      if (exchange.bucket === '' && exchange.key !== '') throw new S3Error('InvalidURI')
      if (Buffer.byteLength(exchange.key) > maxKeyBytes) {
        throw new S3Error('KeyTooLongError', undefined, {
          Size: String(Buffer.byteLength(exchange.key)),
          MaxSizeAllowed: String(maxKeyBytes),
        })
      }
    },

    /** Returns the first query parameter of that name. */
    query(name: string): string | undefined {
      return exchange.parameters.find(([candidate]) => candidate === name)?.[1]
    },

    /** Sends `100 Continue` if the client waits for it. */
    acceptBody() {
      if (awaitsContinue) res.writeContinue()
      awaitsContinue = false
    },

    /** Sets headers of the later response, success or error. */
    setHeaders(fields: Readonly<Record<string, string>>) {
      for (const [name, value] of Object.entries(fields)) res.setHeader(name, value)
    },

    /** Responds with an XML document. */
    sendXml(status: number, root: string, content: XmlTree | string, extra: Record<string, string> = {}) {
      const body = Buffer.from(xmlDocument(root, content))
      exchange.send(status, { ...extra, 'content-type': 'application/xml' }, body)
    },

    /** Responds with headers and a small body. Closes the connection if the request's body was not read. */
    send(status: number, extra: Record<string, string> = {}, body = Buffer.alloc(0)) {
      if (res.headersSent) {
        // The response failed halfway. Only a closed connection shows this to the client.
        res.destroy()
        return
      }
      const unread =
        !req.complete &&
        (req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length']) > 0)
      exchange.begin(status, {
        ...(status === 204 || status === 304 ? {} : { 'content-length': String(body.length) }),
        ...extra,
        ...(unread ? { connection: 'close' } : {}),
      })
      if (!unread) {
        res.end(body)
        return
      }
      // Closing with unread bytes resets the connection and can lose the response (RFC 9112, 9.6). So the body is
      // first read and dropped, for a limited time.
      res.flushHeaders()
      if (body.length > 0 && req.method !== 'HEAD') res.write(body)
      const end = () => {
        clearTimeout(timer)
        res.end()
      }
      const timer = setTimeout(end, awaitsContinue ? unsentBodyLingerMs : lingerMs)
      // A listener, because resume() does nothing while readRawBody still has its listeners on the request.
      req
        .once('end', end)
        .once('close', end)
        .on('data', () => undefined)
    },

    /** Sends the response's status and headers. The caller writes the body. */
    begin(status: number, extra: Record<string, string>) {
      res.writeHead(status, {
        'x-amz-request-id': requestId,
        'x-amz-id-2': exchange.hostId,
        server: 'AmazonS3',
        ...extra,
      })
    },

    /** Responds with S3's error document. */
    sendError(error: S3Error) {
      exchange.sendXml(error.status, 'Error', {
        Code: error.code,
        Message: error.message,
        ...error.details,
        Resource: rawPath,
        RequestId: requestId,
        HostId: exchange.hostId,
      })
    },
  }
  return exchange
}
