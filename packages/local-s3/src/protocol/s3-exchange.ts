import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { maxKeyBytes } from './object-keys.ts'
import { S3Error } from './s3-error.ts'
import { type XmlTree, xmlDocument } from './xml.ts'

/** How long a refused request's unread body is still taken in, so that the client can read the refusal (ms). */
const lingerMs = 10_000
/** The same for a client that was never told to send its body. */
const unsentBodyLingerMs = 1_000

/** One request and its response, the request taken apart in S3's terms. */
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

/** Header values arrive as Latin-1; clients mean UTF-8 where the bytes are UTF-8. */
function headerText(values: readonly string[]): string {
  const joined = values.join(',')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: tells ASCII from the rest
  if (/^[\u0000-\u007f]*$/.test(joined)) return joined
  const bytes = Buffer.from(joined, 'latin1')
  const text = bytes.toString('utf8')
  return Buffer.from(text).equals(bytes) ? text : joined
}

/**
 * Takes a request apart: path-style bucket and key, query parameters, headers.
 *
 * @param expectsContinue whether the client waits for `100 Continue` before it sends its body
 * @throws nothing; a path that cannot be parsed throws when `parse` is called
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
    /** Node takes it off a request that ended badly. */
    socket: req.socket,
    requestId,
    hostId: randomBytes(24).toString('base64'),
    method: req.method ?? '',
    rawPath,
    /** Lower-case names; repeated headers joined with a comma. A presigned URL's `x-amz-` parameters join these. */
    headers,
    /** Query parameters in the order sent, decoded. */
    parameters: [] as [name: string, value: string][],
    bucket: '',
    key: '',

    /**
     * Fills bucket, key and parameters.
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

    /** The first query parameter of that name. */
    query(name: string): string | undefined {
      return exchange.parameters.find(([candidate]) => candidate === name)?.[1]
    },

    /** Lets the client send its body, where it waits to be told. */
    acceptBody() {
      if (awaitsContinue) res.writeContinue()
      awaitsContinue = false
    },

    /** Sets headers of the response to come, whether it succeeds or fails. */
    setHeaders(fields: Readonly<Record<string, string>>) {
      for (const [name, value] of Object.entries(fields)) res.setHeader(name, value)
    },

    /** Responds with an XML document. */
    sendXml(status: number, root: string, tree: XmlTree, extra: Record<string, string> = {}) {
      const body = Buffer.from(xmlDocument(root, tree))
      exchange.send(status, { ...extra, 'content-type': 'application/xml' }, body)
    },

    /** Answers with headers and, where given, a small body. A body not taken in closes the connection. */
    send(status: number, extra: Record<string, string> = {}, body = Buffer.alloc(0)) {
      if (res.headersSent) {
        // The answer broke off midway: only a cut connection tells the client so.
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
      // Closing with unread bytes resets the connection, which can take the answer with it: the body is read
      // and dropped first, for a while.
      res.flushHeaders()
      if (body.length > 0 && req.method !== 'HEAD') res.write(body)
      const end = () => {
        clearTimeout(timer)
        res.end()
      }
      const timer = setTimeout(end, awaitsContinue ? unsentBodyLingerMs : lingerMs)
      // A listener rather than resume(), which does nothing while readRawBody has not let go of the request yet.
      req
        .once('end', end)
        .once('close', end)
        .on('data', () => undefined)
    },

    /** Starts an answer whose body the caller writes. */
    begin(status: number, extra: Record<string, string>) {
      res.writeHead(status, {
        'x-amz-request-id': requestId,
        'x-amz-id-2': exchange.hostId,
        server: 'AmazonS3',
        ...extra,
      })
    },

    /** Answers with S3's error document. */
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
