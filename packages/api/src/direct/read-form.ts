import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { type FormPart, invalidForm, readFormParts } from './form-parts.ts'
import { namesOfPart } from './part-name.ts'

/** Limit of a text field that is read, in bytes: enough for the largest `metadata` as JSON. Others are ignored. */
const fieldLimitBytes = 16 * 1024
/** Limit of all text fields together, in bytes, and of their number. */
const fieldsLimitBytes = 64 * 1024
const fieldLimit = 64

/** Fields that announce the files. They must come before the first one, because its bytes go to S3 at once. */
const announcingFields: ReadonlySet<string> = new Set(['preset', 'sha256', 'metadata'])

/** A file of a form. */
export type FormFile = {
  /** Name of the form field. */
  field: string
  /** Without directories and control characters. */
  filename: string
  /** As it is in the form, or an empty text. */
  contentType: string
  /** The text fields before the file. */
  fields: ReadonlyMap<string, string>
  /** Not yet read. */
  bytes: Readable
  /** Resolves once the file is known to be whole, and what follows it was seen; otherwise rejects with an AppError. */
  confirm(): Promise<void>
}

/** A form with files. */
export type Form = {
  /**
   * Returns the next file, once the bytes of the one before were read.
   * @returns undefined if the form ends
   * @throws AppError `invalid_request`
   */
  nextFile(): Promise<FormFile | undefined>
  /** Stops reading the form. */
  abandon(): void
}

/**
 * Reads a multipart/form-data body (RFC 7578) file by file, as browsers and their libraries send it: files in fields of any
 * name, text fields between them, and file fields in which no file was chosen.
 *
 * @param body the request's body. It stays open if the form is invalid, so that a response can be sent
 * @param contentType the request's `Content-Type`, with the boundary
 * @throws AppError `invalid_request` if there is no boundary
 */
export function readForm(body: Readable, contentType: string): Form {
  const { parts, end } = readFormParts(body, contentType)
  const fields = new Map<string, string>()
  let fieldCount = 0
  let fieldBytes = 0
  let upcoming = Promise.withResolvers<FormFile | undefined>()
  let previous: PromiseWithResolvers<void> | undefined
  let failure: Error | undefined

  readAll().catch((error: Error) => {
    failure = error
    end(error)
    upcoming.reject(error)
    previous?.reject(error)
  })
  // Until the caller awaits it, a rejection must not count as unhandled.
  upcoming.promise.catch(() => undefined)

  async function readAll(): Promise<void> {
    for await (const part of parts) {
      const names = namesOfPart(part.disposition)
      if (!names) part.bytes.resume()
      else if (names.filename === undefined && part.contentType !== 'application/octet-stream')
        await addField(names.field, part.bytes)
      // Browsers send an empty part for a file field in which no file was chosen (HTML Standard, "constructing the entry list").
      else if (names.filename || !(await isEmpty(part.bytes)))
        await offerFile(names.field ?? '', names.filename ?? '', part)
    }
    previous?.resolve()
    upcoming.resolve(undefined)
  }

  async function addField(name: string | undefined, bytes: Readable): Promise<void> {
    if (++fieldCount > fieldLimit) throw invalidForm(`The form must contain at most ${fieldLimit} fields.`)
    if (!name) throw invalidForm('A form field has no name.')
    const isAnnouncing = announcingFields.has(name)
    if (isAnnouncing && previous) throw invalidForm(`Form field "${name}" must come before the file.`)
    if (isAnnouncing && fields.has(name)) throw invalidForm(`Form field "${name}" is sent more than once.`)
    const value = await readText(bytes)
    if (value !== undefined) {
      fieldBytes += value.length
      if (fieldBytes > fieldsLimitBytes)
        throw invalidForm(`The fields of the form have more than ${fieldsLimitBytes} bytes.`)
      fields.set(name, value.toString())
    } else if (isAnnouncing) throw invalidForm(`Form field "${name}" has more than ${fieldLimitBytes} bytes.`)
  }

  async function offerFile(field: string, filename: string, { contentType = '', bytes }: FormPart) {
    if (previous && fields.has('sha256')) {
      throw invalidForm('Form field "sha256" is for one file, and the form contains several.')
    }
    previous?.resolve()
    const confirmed = Promise.withResolvers<void>()
    confirmed.promise.catch(() => undefined)
    previous = confirmed
    upcoming.resolve({
      ...{ field, filename, contentType, bytes },
      fields: new Map(fields),
      confirm: () => confirmed.promise,
    })
    await finished(bytes, { writable: false })
  }

  return {
    async nextFile() {
      if (failure) throw failure
      const file = await upcoming.promise
      if (file) {
        upcoming = Promise.withResolvers()
        upcoming.promise.catch(() => undefined)
      }
      return file
    },
    abandon: () => end(),
  }
}

/** Reads a text field. @returns undefined if it is over the limit */
async function readText(bytes: Readable): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.length
    if (size <= fieldLimitBytes) chunks.push(chunk)
  }
  return size <= fieldLimitBytes ? Buffer.concat(chunks) : undefined
}

/** Whether a part has no bytes. Those of any other stay unread. */
async function isEmpty(bytes: Readable): Promise<boolean> {
  const iterator = bytes.iterator({ destroyOnReturn: false })
  const { done, value } = await iterator.next()
  if (done) return true
  await iterator.return?.()
  bytes.unshift(value)
  return false
}
