import type { Upload } from '@millrace/client'
import { useState } from 'preact/hooks'
import { isShownAsImage, mediaTypeOf } from '../media-kind.ts'
import { Picture, variantOfSize } from '../picture.tsx'

/** The picture is at least so wide and high, in pixels, if there is such a variant. */
const previewPixels = 640

/**
 * An upload, large: a variant of a fitting size, the original if browsers show it, a player, or an icon.
 *
 * @param props.variantName the variant to show, if one was chosen
 */
export function Preview(props: { upload: Upload; variantName: string | undefined; file: File | undefined }) {
  const { upload, variantName, file } = props
  const { id, filename, state, variants } = upload
  const type = mediaTypeOf(upload)
  const chosen = variants.find(({ name }) => name === variantName)
  const variant = chosen ?? variantOfSize(variants, previewPixels)
  const original = `uploads/${id}/original`
  const [isBroken, setIsBroken] = useState(false)
  if (state !== 'ready' || isBroken) return <Icon upload={upload} file={file} />
  if (type.startsWith('video/') && !chosen) {
    return (
      <div class="preview">
        {/* biome-ignore lint/a11y/useMediaCaption: the API knows no captions of a file. */}
        <video
          controls
          preload="metadata"
          src={original}
          poster={variant?.url}
          aria-label={filename}
          onError={() => setIsBroken(true)}
        />
      </div>
    )
  }
  if (type.startsWith('audio/') && !chosen) {
    return (
      <div class="preview is-audio">
        <Picture upload={upload} minPixels={previewPixels} file={file} />
        {/* biome-ignore lint/a11y/useMediaCaption: the API knows no captions of a file. */}
        <audio
          controls
          preload="metadata"
          src={original}
          aria-label={filename}
          onError={() => setIsBroken(true)}
        />
      </div>
    )
  }
  const source = variant?.url ?? (isShownAsImage(type) ? original : undefined)
  if (source === undefined) return <Icon upload={upload} file={file} />
  const { width, height } = variant ?? upload
  return (
    <a
      class="preview"
      href={source}
      target="_blank"
      rel="noreferrer"
      title="Open in a new tab"
      aria-label={`Open ${variant?.name ?? 'the original'} in a new tab`}
    >
      <img
        key={`${source} ${upload.updatedAt}`}
        src={source}
        width={width}
        height={height}
        alt={`${variant?.name ?? 'Original'} of ${filename}`}
        onError={() => setIsBroken(true)}
      />
    </a>
  )
}

function Icon({ upload, file }: { upload: Upload; file: File | undefined }) {
  return (
    <div class="preview">
      <Picture upload={upload} minPixels={previewPixels} file={file} />
    </div>
  )
}
