import type { components, Upload } from '@millrace/client'
import { pixelsText, sizeText, timeText } from '../format/format-quantities.ts'
import { type StateLine, stateLine } from './state-line.ts'
import { Thumbnail } from './thumbnail.tsx'
import type { Row } from './upload-list.ts'
import './upload-card.css'

type Variant = components['schemas']['Variant']

/** One upload of the list. */
export function UploadCard(props: { row: Row; onErase: (id: string) => void }) {
  const { row } = props
  const { key, filename, upload } = row
  const line = stateLine(row)
  const nameId = `name-${key}`
  const erase = () => {
    if (upload && confirm(`Delete ${filename} and all its variants? This cannot be undone.`))
      props.onErase(upload.id)
  }
  return (
    <li class={`card is-${line.tone}`} aria-labelledby={nameId}>
      <Thumbnail filename={filename} upload={upload} />
      <div class="card-body">
        <h3 id={nameId} title={filename}>
          {filename}
        </h3>
        <Facts row={row} />
        <p class="state">
          <span class="state-text">{line.text}</span>
          {line.detail && <span class="state-detail">{line.detail}</span>}
        </p>
        <Progress line={line} filename={filename} />
        {upload?.state === 'ready' && <FileLinks upload={upload} />}
        {upload?.sha256 && (
          <details>
            <summary>Details</summary>
            <dl>
              <dt>Upload ID</dt>
              <dd>{upload.id}</dd>
              <dt>SHA-256</dt>
              <dd>{upload.sha256}</dd>
              <dt>Preset</dt>
              <dd>{upload.preset}</dd>
            </dl>
          </details>
        )}
      </div>
      {line.action && (
        <button type="button" onClick={erase}>
          Delete
          <span class="visually-hidden"> {filename}</span>
        </button>
      )}
    </li>
  )
}

function Facts({ row: { size, at, upload } }: { row: Row }) {
  const facts = [sizeText(size)]
  if (upload?.detectedType) facts.push(upload.detectedType)
  if (upload?.width && upload.height) facts.push(pixelsText(upload.width, upload.height))
  return (
    <p class="facts">
      {facts.join(' · ')} · <time dateTime={new Date(at).toISOString()}>{timeText(at)}</time>
    </p>
  )
}

function Progress({ line: { progress }, filename }: { line: StateLine; filename: string }) {
  if (progress === undefined) return null
  const label = `Progress of ${filename}`
  // Without a value the bar is indeterminate.
  return progress === null ? (
    <progress aria-label={label} />
  ) : (
    <progress aria-label={label} value={progress} />
  )
}

function FileLinks({ upload }: { upload: Upload }) {
  // Variants of a small image can all have its own width: those are sorted by name.
  const byWidth = upload.variants.toSorted(
    (a, b) => a.width - b.width || a.name.localeCompare(b.name, 'en', { numeric: true }),
  )
  return (
    <ul class="files">
      {byWidth.map((variant) => (
        <li key={variant.name}>
          <FileLink href={variant.url} name={variant.name} description={describeVariant(variant)} />
        </li>
      ))}
      <li>
        <FileLink
          href={`uploads/${upload.id}/original`}
          name="original"
          description={sizeText(upload.size)}
        />
      </li>
    </ul>
  )
}

function FileLink({ href, name, description }: { href: string; name: string; description: string }) {
  return (
    <a href={href} target="_blank" rel="noreferrer">
      <span>{name}</span> <small>{description}</small>
    </a>
  )
}

function describeVariant({ width, height, size, contentType }: Variant): string {
  const format = contentType.slice(contentType.indexOf('/') + 1)
  return `${pixelsText(width, height)} ${format} · ${sizeText(size)}`
}
