import type { components, Upload } from '@millrace/client'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { thumbHashToDataURL } from 'thumbhash'
import { iconOf, isShownAsImage, mediaTypeOf, typeWord } from './media-kind.ts'
import './picture.css'

export type Variant = components['schemas']['Variant']

/** A picture that was only scrolled past is not requested: it is requested after it was there for this time, in ms. */
const settleMs = 90
/** When a picture that could not be loaded is requested again, in ms: its signed URL may have ended. */
const retryMs = 4_000
/** Addresses of pictures that were shown, which come from the browser's cache. */
const shown = new Set<string>()

/**
 * The picture of an upload, as small as its place: a blurred placeholder that becomes the variant, the file itself while it
 * is being sent from this page, or else an icon of its type. It is decoration: the filename stands beside it.
 *
 * @param props.minPixels the picture is at least so wide and high, if there is such a variant
 * @param props.file the upload's file, if this page sends it
 */
export function Picture(props: { upload: Upload; minPixels: number; file?: File | undefined }) {
  const { upload, minPixels, file } = props
  const variant = variantOfSize(upload.variants, minPixels)
  // A variant that is rendered again has the same address.
  const address = variant && `${variant.url}#${variant.sha256 ?? upload.updatedAt}`
  const type = mediaTypeOf(upload)
  const Icon = iconOf(type)
  const { placeholder: hash } = upload
  const placeholder = useMemo(() => (hash ? thumbHashToDataURL(bytesOf(hash)) : undefined), [hash])
  const local = useFileAddress(variant || !isShownAsImage(type) ? undefined : file)
  return (
    <span class="picture">
      {!placeholder && !local && (
        <span class="picture-icon">
          <Icon aria-hidden="true" />
          <span aria-hidden="true">{typeWord(type)}</span>
        </span>
      )}
      {placeholder && <img src={placeholder} alt="" />}
      {local && <img src={local} alt="" />}
      {address && <LoadedImage key={address} address={address} />}
    </span>
  )
}

function LoadedImage({ address }: { address: string }) {
  const [isWanted, setIsWanted] = useState(shown.has(address))
  const [isShown, setIsShown] = useState(shown.has(address))
  const [attempt, setAttempt] = useState(0)
  useEffect(() => {
    if (isWanted) return
    const timer = setTimeout(() => setIsWanted(true), settleMs)
    return () => clearTimeout(timer)
  }, [isWanted])
  if (!isWanted) return null
  return (
    <img
      key={attempt}
      class={isShown ? 'picture-image is-shown' : 'picture-image'}
      src={address}
      alt=""
      decoding="async"
      draggable={false}
      onLoad={() => {
        shown.add(address)
        setIsShown(true)
      }}
      onError={() => {
        if (attempt === 0) setTimeout(() => setAttempt(1), retryMs)
      }}
    />
  )
}

/** Returns an address of a file of this page, as long as the component is shown. */
function useFileAddress(file: File | undefined): string | undefined {
  const [address, setAddress] = useState<string>()
  useEffect(() => {
    if (!file) return setAddress(undefined)
    const created = URL.createObjectURL(file)
    setAddress(created)
    return () => URL.revokeObjectURL(created)
  }, [file])
  return address
}

/** Returns the smallest variant of a size, or else the largest one, that browsers show. */
export function variantOfSize(variants: readonly Variant[], minPixels: number): Variant | undefined {
  const bySize = variants
    .filter(({ contentType }) => isShownAsImage(contentType))
    .sort((a, b) => a.width * a.height - b.width * b.height)
  return bySize.find(({ width, height }) => Math.min(width, height) >= minPixels) ?? bySize.at(-1)
}

/** @param base64 standard alphabet */
function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
}
