import type { components, Upload } from '@millrace/client'
import { useMemo, useState } from 'preact/hooks'
import { thumbHashToDataURL } from 'thumbhash'

type Variant = components['schemas']['Variant']

/** The image of a row: a blurred placeholder that fades into the thumbnail, or else the file extension. */
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

/** Returns the variant named `thumbnail`, or the smallest one if the preset has no such variant. */
function thumbnailOf(variants: readonly Variant[]): Variant | undefined {
  const bySize = variants.toSorted((a, b) => a.width * a.height - b.width * b.height)
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
