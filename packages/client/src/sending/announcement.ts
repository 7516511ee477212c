import type { components } from '../api/api-types.ts'

export type Announcement = components['schemas']['Announcement']

/** Returns what the API needs to know of a file. The transport is a PUT, unless it is sent in parts. */
export function announcementOf(
  file: Blob,
  options: {
    filename?: string
    contentType?: string
    preset?: string
    metadata?: Record<string, string>
    sha256?: string
  },
): Announcement {
  const { preset, metadata, sha256 } = options
  return {
    filename: options.filename ?? ('name' in file && typeof file.name === 'string' ? file.name : 'file'),
    contentType: options.contentType ?? (file.type || 'application/octet-stream'),
    size: file.size,
    transport: 'put',
    ...(preset !== undefined && { preset }),
    ...(metadata && { metadata }),
    ...(sha256 !== undefined && { sha256 }),
  }
}

/** Whether two announcements would make the same upload. How a small file is sent is of no matter. */
export function isSameAnnouncement(one: Announcement, other: Announcement): boolean {
  return textOf(one) === textOf(other)
}

function textOf({ filename, contentType, size, preset, metadata = {}, sha256 }: Announcement): string {
  const fields = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([filename, contentType, size, preset, fields, sha256])
}
