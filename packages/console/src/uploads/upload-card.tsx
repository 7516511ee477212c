import type { components, Upload } from '@millrace/client'
import { momentText, pixelsText, sizeText } from '../format.ts'
import { type StateLine, stateLine } from './state-line.ts'
import { Thumbnail } from './thumbnail.tsx'
import type { Row } from './upload-list.ts'
import './upload-card.css'

type Variant = components['schemas']['Variant']
const actionNames = { cancel: 'Cancel', retry: 'Send again', remove: 'Remove' }

/** One row of the list. */
export function UploadCard(props: {
  row: Row
  onRetry: (key: string) => void
  onCancel: (key: string) => void
  onRemove: (id: string) => void
}) {
  const { row } = props
  const { key, filename, upload } = row
  const line = stateLine(row)
  const nameId = `name-${key}`
  const act = (action: StateLine['action']) => {
    if (action === 'cancel') props.onCancel(key)
    else if (action === 'retry') props.onRetry(key)
    else if (upload && confirm(`Remove ${filename} and all that was made of it, for good?`))
      props.onRemove(upload.id)
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
        {upload?.state === 'ready' && <Files upload={upload} />}
        {upload?.sha256 && (
          <details>
            <summary>Details</summary>
            <dl>
              <dt>Id</dt>
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
        // One button for all, so that it keeps the focus.
        <button type="button" onClick={() => act(line.action)}>
          {actionNames[line.action]}
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
      {facts.join(' · ')} · <time dateTime={new Date(at).toISOString()}>{momentText(at)}</time>
    </p>
  )
}

function Progress({ line: { progress }, filename }: { line: StateLine; filename: string }) {
  if (progress === undefined) return null
  const label = `Progress of ${filename}`
  // Without a value the bar only says that something is going on.
  return progress === null ? (
    <progress aria-label={label} />
  ) : (
    <progress aria-label={label} value={progress} />
  )
}

function Files({ upload }: { upload: Upload }) {
  // A small picture has several variants of its own size.
  const byWidth = upload.variants.toSorted(
    (one, other) => one.width - other.width || one.name.localeCompare(other.name, 'en', { numeric: true }),
  )
  return (
    <ul class="files">
      {byWidth.map((variant) => (
        <li key={variant.name}>
          <FileLink href={variant.url} name={variant.name} about={aboutVariant(variant)} />
        </li>
      ))}
      <li>
        <FileLink href={`/uploads/${upload.id}/original`} name="original" about={sizeText(upload.size)} />
      </li>
    </ul>
  )
}

function FileLink({ href, name, about }: { href: string; name: string; about: string }) {
  return (
    <a href={href} target="_blank" rel="noreferrer">
      <span>{name}</span> <small>{about}</small>
    </a>
  )
}

function aboutVariant({ width, height, size, contentType }: Variant): string {
  const format = contentType.slice(contentType.indexOf('/') + 1)
  return `${pixelsText(width, height)} ${format} · ${sizeText(size)}`
}
