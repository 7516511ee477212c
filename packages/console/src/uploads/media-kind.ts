import type { Upload } from '@millrace/client'
import { File, FileArchive, FileText, Film, ImageIcon, type LucideIcon, Music } from 'lucide-preact'

/** The media type of an upload: as detected from its bytes, or else as its client declared it. */
export function mediaTypeOf({ detectedType, contentType }: Upload): string {
  return detectedType ?? contentType
}

/** The icon of a media type. */
export function iconOf(mediaType: string): LucideIcon {
  if (mediaType.startsWith('image/')) return ImageIcon
  if (mediaType.startsWith('video/')) return Film
  if (mediaType.startsWith('audio/')) return Music
  if (mediaType.startsWith('text/') || mediaType === 'application/pdf') return FileText
  return /zip|tar|compressed|7z|rar/.test(mediaType) ? FileArchive : File
}

/** Types whose files are known by another word. */
const knownWords: Record<string, string> = {
  'text/plain': 'Text',
  'audio/mpeg': 'MP3',
  'video/quicktime': 'MOV',
  'application/octet-stream': 'File',
}

/** The media type in a short word: `image/svg+xml` → "SVG". */
export function typeWord(mediaType: string): string {
  const known = knownWords[mediaType]
  if (known !== undefined) return known
  const name = mediaType.slice(mediaType.indexOf('/') + 1).replace(/^(?:x-|vnd\.)/, '')
  const [first = ''] = name.split(/[+;]/)
  return first.length > 8 ? first : first.toUpperCase()
}

/** Image types that every current browser shows. */
const shownTypes = new Set(['image/jpeg', 'image/png', 'image/webp', 'image/gif', 'image/avif', 'image/bmp'])

/** Whether a browser shows a media type in an image element. */
export function isShownAsImage(mediaType: string): boolean {
  return shownTypes.has(mediaType)
}
