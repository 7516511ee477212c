import type { Upload } from '@millrace/client'
import type { ComponentChildren } from 'preact'
import { CopyButton } from '../../design/copy-button.tsx'
import { Explained } from '../../design/explained.tsx'
import { durationText, pixelsText, sizeText, timeText } from '../../format/format-quantities.ts'

/** All that is known of an upload. @param props.typeFoundBy what showed its type, such as `signature` */
export function Facts({ upload, typeFoundBy }: { upload: Upload; typeFoundBy: string | undefined }) {
  const {
    id,
    contentType,
    detectedType,
    size,
    width,
    height,
    sha256,
    preset,
    metadata = {},
    expiresAt,
  } = upload
  const { frames, pages, durationMs, videoCodec, audioCodec, dominantColor, user } = upload
  const codecs = [videoCodec, audioCodec].filter(Boolean).join(', ')
  return (
    <section class="panel-section" aria-labelledby="facts-heading">
      <h3 id="facts-heading">Details</h3>
      <dl class="facts">
        <Fact
          name={
            <Explained word="Type">
              Detected from the bytes. The type that the client declared is shown if it differs. It is never
              trusted.
            </Explained>
          }
        >
          {detectedType ?? 'Unknown'}
          {typeFoundBy && <small> by {typeFoundBy}</small>}
          {contentType !== detectedType && <small class="fact-line">declared as {contentType}</small>}
        </Fact>
        <Fact name="Size">
          {sizeText(size)} {size >= 1000 && <small>{size.toLocaleString()} bytes</small>}
        </Fact>
        {width && height && <Fact name="Pixels">{pixelsText(width, height)}</Fact>}
        {durationMs !== undefined && <Fact name="Duration">{durationText(durationMs)}</Fact>}
        {frames && <Fact name="Frames">{frames}</Fact>}
        {pages && <Fact name="Pages">{pages}</Fact>}
        {codecs && <Fact name="Codecs">{codecs}</Fact>}
        {dominantColor && (
          <Fact name="Main color">
            <span class="swatch" style={{ backgroundColor: dominantColor }} />
            {dominantColor}
          </Fact>
        )}
        <Fact name="Preset">{preset}</Fact>
        {user && <Fact name="User">{user}</Fact>}
        {Object.entries(metadata).map(([name, value]) => (
          <Fact key={name} name={name}>
            {value}
          </Fact>
        ))}
        <Fact name="Added">
          <time dateTime={upload.createdAt}>{timeText(Date.parse(upload.createdAt))}</time>
        </Fact>
        {expiresAt && <Fact name="Expires">{timeText(Date.parse(expiresAt))}</Fact>}
        <Fact name="Upload ID">
          <Code text={id} what="the upload ID" />
        </Fact>
        {sha256 && (
          <Fact name="SHA-256">
            <Code text={sha256} what="the SHA-256" />
          </Fact>
        )}
      </dl>
    </section>
  )
}

function Fact({ name, children }: { name: ComponentChildren; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

/** A long text of letters and digits, which is copied rather than read. */
function Code({ text, what }: { text: string; what: string }) {
  return (
    <span class="fact-code">
      <code title={text}>{text}</code>
      <CopyButton text={text} what={what} />
    </span>
  )
}
