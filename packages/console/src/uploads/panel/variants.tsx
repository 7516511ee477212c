import type { Client, Upload } from '@millrace/client'
import { Check, ExternalLink, Link2 } from 'lucide-preact'
import { useState } from 'preact/hooks'
import { Button } from '../../design/button.tsx'
import type { Toasts } from '../../design/toasts.tsx'
import { pixelsText, sizeText, timeText } from '../../format/format-quantities.ts'
import { isShownAsImage, mediaTypeOf, typeWord } from '../media-kind.ts'
import { Picture, type Variant } from '../picture.tsx'
import { savingText } from './saving-text.ts'

/** The picture of a variant with more bytes is not loaded only to be shown small. */
const maxSmallPictureBytes = 300_000

/** How long a button says that it copied, in ms. */
const confirmedMs = 2_500

/** The original and its variants side by side: size in pixels and bytes, what is saved, and links. */
export function Variants(props: {
  upload: Upload
  client: Client
  toasts: Toasts
  shownVariant: string | undefined
  onShow: (name: string) => void
}) {
  const { upload, client, toasts, shownVariant, onShow } = props
  const { id, width, height, size, variants } = upload
  // Variants of a small image can all have its own width: those are sorted by name.
  const byWidth = variants.toSorted(
    (a, b) => b.width - a.width || a.name.localeCompare(b.name, 'en', { numeric: true }),
  )
  const links = (variant?: string) => ({ id, variant, client, toasts })
  return (
    <section class="panel-section" aria-labelledby="variants-heading">
      <h3 id="variants-heading">{variants.length === 0 ? 'File' : 'Original and variants'}</h3>
      <ul class="variants">
        <li class="variant">
          <span class="variant-picture">
            <Picture upload={upload} minPixels={0} />
          </span>
          <span class="variant-name">original</span>
          <span class="variant-facts">
            {[width && height && pixelsText(width, height), typeWord(mediaTypeOf(upload))]
              .filter(Boolean)
              .join(' · ')}
          </span>
          <span class="variant-size">{sizeText(size)}</span>
          <span class="variant-saving" />
          <LinkButtons {...links()} href={`uploads/${id}/original`} name="the original" />
        </li>
        {byWidth.map((variant) => (
          <li key={variant.name} class={variant.name === shownVariant ? 'variant is-shown' : 'variant'}>
            <span class="variant-picture">
              {isShownAsImage(variant.contentType) && variant.size <= maxSmallPictureBytes && (
                <img src={`${variant.url}#${variant.sha256 ?? ''}`} alt="" loading="lazy" decoding="async" />
              )}
            </span>
            <VariantName variant={variant} isShown={variant.name === shownVariant} onShow={onShow} />
            <span class="variant-facts">
              {pixelsText(variant.width, variant.height)} · {typeWord(variant.contentType)}
            </span>
            <span class="variant-size">{sizeText(variant.size)}</span>
            <span class="variant-saving">
              <meter
                aria-label={`Bytes of ${variant.name} beside the original`}
                max={size}
                value={variant.size}
              />
              {savingText(variant.size, size)}
            </span>
            <LinkButtons {...links(variant.name)} href={variant.url} name={variant.name} />
          </li>
        ))}
      </ul>
    </section>
  )
}

function VariantName(props: { variant: Variant; isShown: boolean; onShow: (name: string) => void }) {
  const { variant, isShown, onShow } = props
  const { name, contentType } = variant
  if (!isShownAsImage(contentType)) return <span class="variant-name">{name}</span>
  return (
    <button type="button" class="variant-name" aria-pressed={isShown} onClick={() => onShow(name)}>
      {name}
    </button>
  )
}

function LinkButtons(props: {
  id: string
  variant: string | undefined
  client: Client
  toasts: Toasts
  href: string
  name: string
}) {
  const { id, variant, client, toasts, href, name } = props
  const [isCopied, setIsCopied] = useState(false)
  const copy = async () => {
    try {
      const signed = client.downloadUrl(id, variant === undefined ? {} : { variant })
      await copyLater(signed.then(({ url }) => url))
      const { expiresAt } = await signed
      setIsCopied(true)
      setTimeout(() => setIsCopied(false), confirmedMs)
      toasts.tell(`Copied the link of ${name}. It works until ${timeText(Date.parse(expiresAt))}.`)
    } catch (error) {
      toasts.tellFailure('The link could not be copied', error)
    }
  }
  return (
    <span class="variant-links">
      <Button
        label={`Copy the link of ${name}`}
        icon={isCopied ? Check : Link2}
        look="quiet"
        iconOnly
        onClick={copy}
      />
      <a
        class="button is-quiet is-icon"
        href={href}
        target="_blank"
        rel="noreferrer"
        aria-label={`Open ${name} in a new tab`}
        title={`Open ${name} in a new tab`}
      >
        <ExternalLink aria-hidden="true" />
      </a>
    </span>
  )
}

/** Copies a text that is still being requested. Safari allows copying only while it handles the click. */
async function copyLater(text: Promise<string>): Promise<void> {
  if (!navigator.clipboard) throw new Error('the browser allows copying only on secure pages (https).')
  const blob = text.then((plain) => new Blob([plain], { type: 'text/plain' }))
  await navigator.clipboard.write([new ClipboardItem({ 'text/plain': blob })])
}
