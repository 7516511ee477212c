import type { components, Upload } from '@millrace/client'
import { useMemo, useState } from 'preact/hooks'
import { thumbHashToDataURL } from 'thumbhash'

type Variant = components['schemas']['Variant']

/** The picture of a row: its blurred placeholder, which fades into the thumbnail, or the kind of file. */
export function Thumbnail({ filename, upload }: { filename: string; upload: Upload | undefined }) {
  const thumbnail = upload && thumbnailOf(upload.variants)
  const [shownUrl, setShownUrl] = useState('')
  const hash = upload?.placeholder
  const placeholder = useMemo(() => (hash ? thumbHashToDataURL(bytesOf(hash)) : undefined), [hash])
  return (
    <div class="thumbnail">
      {!placeholder && !thumbnail && <span aria-hidden="true">{extensionOf(filename)}</span>}
      {placeholder && <img src={placeholder} alt="" />}
      {thumbnail && (
        <img
          class={shownUrl === thumbnail.url ? 'thumbnail-image is-shown' : 'thumbnail-image'}
          src={thumbnail.url}
          width={thumbnail.width}
          height={thumbnail.height}
          alt={`Thumbnail of ${filename}`}
          loading="lazy"
          decoding="async"
          onLoad={() => setShownUrl(thumbnail.url)}
        />
      )}
    </div>
  )
}

/** The one of that name, or the smallest where the preset makes none. */
function thumbnailOf(variants: readonly Variant[]): Variant | undefined {
  const bySize = variants.toSorted((one, other) => one.width * one.height - other.width * other.height)
  return variants.find(({ name }) => name === 'thumbnail') ?? bySize[0]
}

/** @param base64 standard alphabet */
function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
}

function extensionOf(filename: string): string {
  const extension = /\.([a-z0-9]{1,4})$/i.exec(filename)?.[1]
  return extension ?? 'file'
}
